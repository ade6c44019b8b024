"""truth.json: what really was. Written by rendering; read by the scorecard and the tests, and by nothing that is scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.camera_model import CameraModel
from devices.errors import DeviceError
from devices.transform import Transform
from devices.virtual.board import Carried
from devices.virtual.clocks import DeviceClock
from devices.virtual.motion import Motion
from devices.virtual.robot import Episode

CLOCK_FORM = (
    "device_ns = host_ns + offset_ns + drift_ppm * 1e-6 * (host_ns - start_host_ns); start_host_ns: play.json. "
    "arrival_ns >= captured_host_ns + least_latency_ns"
)


@dataclass(frozen=True, slots=True, eq=False)
class TruthObject:
    """A labelled thing. motion: of the point below its box's middle, on the ground."""

    id: str
    name: str
    category: str
    size_m: tuple[float, float, float]  # length, width, height
    motion: Motion


@dataclass(frozen=True, slots=True, eq=False)
class TruthBox:
    """One object's tight cuboid at one instant, in the frame that was asked for. The lidar is mounted within 2 degrees of level, and
    yaw is the heading in its xy plane.
    """

    id: str
    name: str
    category: str
    center_m: NDArray[np.float64]  # (3,)
    size_m: tuple[float, float, float]
    yaw_rad: float
    frame_from_box: Transform  # x forward, y left, z up, origin in the cuboid's middle

    def contains(self, points_m: NDArray[np.floating], margin_m: float = 0.0) -> NDArray[np.bool_]:
        """(N, 3) points in the same frame -> (N,)"""
        own = np.abs(self.frame_from_box.inverse().apply(points_m))
        return np.asarray((own <= np.array(self.size_m) / 2 + margin_m).all(axis=1))


def boxes_of(objects: Sequence[TruthObject], frame_from_world: Transform, t_ns: int) -> list[TruthBox]:
    """The objects' cuboids at one instant, in the frame that frame_from_world leads to."""
    boxes = []
    for item in objects:
        ground = Transform("world", "ground", item.motion.matrices([t_ns])[0])
        own = frame_from_world @ ground @ Transform.of("ground", "box", np.eye(3), (0, 0, item.size_m[2] / 2))
        boxes.append(TruthBox(item.id, item.name, item.category, own.translation_m, item.size_m, own.yaw_rad, own))
    return boxes


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One take. Every t_ns counts from the take's start; start_host_ns of play.json makes it the host's time."""

    take: str
    length_ns: int
    cameras: Mapping[str, CameraModel]
    rig_from: Mapping[str, Transform]
    clocks: Mapping[str, DeviceClock]
    least_latency_ns: Mapping[str, int]
    noise: Mapping[str, float]
    robot: Motion
    objects: tuple[TruthObject, ...]
    episodes: tuple[Episode, ...]
    board: Carried | None
    description: str

    def world_from_rig(self, t_ns: int) -> Transform:
        return Transform("world", "rig", self.robot.matrices([t_ns])[0])

    def world_from(self, sensor: str, t_ns: int) -> Transform:
        return self.world_from_rig(t_ns) @ self.rig_from[sensor]

    def between(self, to: str, from_: str) -> Transform:
        """E.g. camera_left_from_lidar."""
        return self.rig_from[to].inverse() @ self.rig_from[from_]

    def boxes(self, t_ns: int, frame: str = "lidar") -> list[TruthBox]:
        """Every object's cuboid in a sensor's frame, at that instant."""
        return boxes_of(self.objects, self.world_from(frame, t_ns).inverse(), t_ns)

    def world_from_board(self, t_ns: int) -> Transform:
        if self.board is None:
            raise DeviceError(f"no board is carried in the take '{self.take}'")
        return Transform("world", "board", self.board.matrices([t_ns])[0])

    def take_ns(self, host_ns: int, start_host_ns: int) -> int:
        return host_ns - start_host_ns

    def device_ns(self, sensor: str, host_ns: int, start_host_ns: int) -> int:
        """What the sensor's clock showed at a host time."""
        return int(self.clocks[sensor].device_ns(np.array([host_ns - start_host_ns]), start_host_ns)[0])


@dataclass(frozen=True, slots=True)
class PlayedTake:
    """play.json: when a take was played. start_host_ns: the host's UTC time of the take's t_ns 0."""

    take: str
    start_host_ns: int
    latest_ns: int  # the largest lateness of a packet behind its plan


def load_truth(path: Path) -> Truth:
    """From truth.json."""
    table = json.loads(path.read_text(encoding="utf-8"))
    return Truth(
        take=table["take"],
        length_ns=table["length_ns"],
        cameras={
            name: CameraModel(**{**row, "distortion": tuple(row["distortion"])})
            for name, row in table["cameras"].items()
        },
        rig_from={name: Transform("rig", name, np.array(rows)) for name, rows in table["rig_from"].items()},
        clocks={name: DeviceClock(row["offset_ns"], row["drift_ppm"]) for name, row in table["clocks"].items()},
        least_latency_ns={name: row["least_latency_ns"] for name, row in table["clocks"].items()},
        noise=table["noise"],
        robot=_motion(table["robot"]),
        objects=tuple(
            TruthObject(row["id"], row["name"], row["category"], tuple(row["size_m"]), _motion(row["motion"]))
            for row in table["objects"]
        ),
        episodes=tuple(Episode(**row) for row in table["episodes"]),
        board=Carried(np.array(table["board"]["world_from_board"])) if table["board"] else None,
        description=table["description"],
    )


def load_played(path: Path) -> PlayedTake:
    """From play.json."""
    return PlayedTake(**json.loads(path.read_text(encoding="utf-8")))


def truth_table(truth: Truth) -> dict[str, Any]:
    """What truth.json holds; load_truth reads it back."""
    return {
        "take": truth.take,
        "length_ns": truth.length_ns,
        "description": truth.description,
        "clock_form": CLOCK_FORM,
        "clocks": {
            name: {
                "offset_ns": clock.offset_ns,
                "drift_ppm": clock.drift_ppm,
                "least_latency_ns": truth.least_latency_ns[name],
            }
            for name, clock in truth.clocks.items()
        },
        "cameras": {
            name: {
                "lens": m.lens,
                "width_px": m.width_px,
                "height_px": m.height_px,
                "fx": m.fx,
                "fy": m.fy,
                "cx": m.cx,
                "cy": m.cy,
                "distortion": list(m.distortion),
            }
            for name, m in truth.cameras.items()
        },
        "rig_from": {name: transform.matrix.tolist() for name, transform in truth.rig_from.items()},
        "noise": dict(truth.noise),
        "robot": _motion_table(truth.robot),
        "episodes": [{"text": e.text, "start_ns": e.start_ns, "stop_ns": e.stop_ns} for e in truth.episodes],
        "board": {"world_from_board": truth.board.poses.tolist(), "still_ns": truth.board.still_ns}
        if truth.board
        else None,
        "objects": [
            {
                "id": o.id,
                "name": o.name,
                "category": o.category,
                "size_m": list(o.size_m),
                "motion": _motion_table(o.motion),
            }
            for o in truth.objects
        ],
    }


def _motion(table: dict[str, Any]) -> Motion:
    return Motion(
        np.array(table["times_ns"], dtype=np.int64),
        np.array(table["position_m"]).reshape(-1, 3),
        np.array(table["yaw_rad"]),
    )


def _motion_table(motion: Motion) -> dict[str, Any]:
    return {
        "times_ns": motion.times_ns.tolist(),
        "position_m": motion.position_m.round(7).tolist(),
        "yaw_rad": motion.yaw_rad.round(9).tolist(),
    }
