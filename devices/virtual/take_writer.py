"""Writes one take: what every sensor of the rig would have sent of a scene, and the truth beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.virtual import rig_truth as rig
from devices.virtual.filming import film
from devices.virtual.imu import imu_packets
from devices.virtual.lidar import Sweeps
from devices.virtual.motion import Motion
from devices.virtual.ouster_packets import COLUMNS_A_PACKET
from devices.virtual.rig_truth import CAMERAS, PACES, RIG_FROM, TRANSPORTS
from devices.virtual.scenes import Scene
from devices.virtual.shading import Shading
from devices.virtual.take_files import (
    ACTION_STREAM,
    IMU_STREAM,
    LIDAR_STREAM,
    MARKS_STREAM,
    STATE_STREAM,
    Timing,
    image_stream,
    save_schedule,
)
from devices.virtual.truth import Truth, TruthObject, truth_table

_STATE = (
    "pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz", "velocity.forward_m_s", "velocity.yaw_rad_s",
)  # fmt: skip
_ACTION = ("command.forward_m_s", "command.yaw_rad_s")
_TRUTH_NS = 20_000_000


def write_take(folder: Path, name: str, scene: Scene, progress: Callable[[float], None] | None = None) -> None:
    """Every file of a take but made.json. The same scene and name give the same bytes. progress: called with the share done."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little"))
    share = _Share(progress)
    end = scene.length_ns
    captured, offsets = {}, {}
    captured[LIDAR_STREAM] = _write_sweeps(folder, scene, PACES["lidar"].times_ns(end), rng, share)
    captured[IMU_STREAM] = PACES["imu"].times_ns(end)
    (folder / "imu.packets").write_bytes(
        imu_packets(scene.robot.motion, RIG_FROM["lidar"], captured[IMU_STREAM], rng).tobytes()
    )
    shading = Shading(scene.world)
    for camera in CAMERAS:
        captured[image_stream(camera)] = PACES[camera].times_ns(end)
        offsets[camera] = _write_pictures(folder, scene, shading, camera, captured[image_stream(camera)], rng, share)
    lines = {
        STATE_STREAM: _state(scene, PACES["state"].times_ns(end), rng),
        ACTION_STREAM: _action(scene, PACES["action"].times_ns(end)),
        MARKS_STREAM: _marks(scene),
    }
    captured |= {stream: times for stream, (times, _) in lines.items()}
    (folder / "lines.json").write_text(
        json.dumps({stream: rows for stream, (_, rows) in lines.items()}), encoding="utf-8"
    )
    timing = {
        s: Timing(times, TRANSPORTS[s.partition("/")[0]].departures_ns(times, rng)) for s, times in captured.items()
    }
    save_schedule(folder, timing, offsets)
    (folder / "truth.json").write_text(json.dumps(truth_table(_truth(name, scene))), encoding="utf-8")


class _Share:
    """Adds up the steps of a take."""

    def __init__(self, progress: Callable[[float], None] | None) -> None:
        self._progress, self._done = progress, 0.0

    def add(self, share: float) -> None:
        self._done += share
        if self._progress:
            self._progress(min(self._done, 0.999))


def _write_sweeps(
    folder: Path, scene: Scene, first_columns: NDArray[np.int64], rng: np.random.Generator, share: _Share
) -> NDArray[np.int64]:
    """lidar.packets; returns each packet's last column's time."""
    sweeps = Sweeps.of(scene.world, scene.robot.motion, RIG_FROM["lidar"], scene.still_rig)
    last = []
    with (folder / "lidar.packets").open("wb") as file:
        for number, first in enumerate(first_columns.tolist()):
            packets = sweeps.packets(first, 1 + number, rng)
            last.append(packets["columns"]["t_ns"][:, COLUMNS_A_PACKET - 1].astype(np.int64))
            file.write(packets.tobytes())
            share.add(0.2 / len(first_columns))
    return np.concatenate(last)


def _write_pictures(
    folder: Path,
    scene: Scene,
    shading: Shading,
    camera: str,
    t_ns: NDArray[np.int64],
    rng: np.random.Generator,
    share: _Share,
) -> NDArray[np.int64]:
    """CAMERA.jpegs; returns where each JPEG begins, and the end."""
    offsets = [0]
    with (folder / f"{camera}.jpegs").open("wb") as file:
        for jpeg in film(scene, shading, camera, t_ns, rng):
            file.write(jpeg)
            offsets.append(offsets[-1] + len(jpeg))
            share.add(0.4 / len(t_ns))
    return np.array(offsets, dtype=np.int64)


_Lines = tuple[NDArray[np.int64], list[dict[str, Any]]]  # capture times, and each line's object without its stamp


def _state(scene: Scene, t_ns: NDArray[np.int64], rng: np.random.Generator) -> _Lines:
    """What the robot's own localisation makes of its pose."""
    position, yaw = scene.robot.motion.at(t_ns)
    position = position + rig.POSITION_NOISE_M * rng.standard_normal(position.shape) * (1, 1, 0)
    yaw = yaw + rig.YAW_NOISE_RAD * rng.standard_normal(yaw.shape)
    quaternion = np.column_stack([np.cos(yaw / 2), np.zeros((len(yaw), 2)), np.sin(yaw / 2)])
    rows = np.column_stack([position, quaternion, scene.robot.velocity_at(t_ns)]).round(6)
    return t_ns, [{"topic": "state", "names": _STATE, "values": row} for row in rows.tolist()]


def _action(scene: Scene, t_ns: NDArray[np.int64]) -> _Lines:
    rows = scene.robot.command_at(t_ns).round(6)
    return t_ns, [{"topic": "action", "names": _ACTION, "values": row} for row in rows.tolist()]


def _marks(scene: Scene) -> _Lines:
    """The operator points out where tasks begin and end, and when the board comes to rest."""
    marks = []
    for episode in scene.robot.episodes:
        marks.append((episode.start_ns, {"kind": "episode_start", "text": episode.text}))
        marks.append((episode.stop_ns, {"kind": "episode_stop", "text": episode.text}))
    if scene.carried:
        marks += [
            (at, {"kind": "board_pose", "text": f"pose {k + 1}"}) for k, (at, _) in enumerate(scene.carried.still_ns)
        ]
    marks = [(at, mark) for at, mark in marks if at < scene.length_ns]
    return np.array([at for at, _ in marks], dtype=np.int64), [mark for _, mark in marks]


def _truth(name: str, scene: Scene) -> Truth:
    times = np.arange(0, scene.length_ns + _TRUTH_NS, _TRUTH_NS, dtype=np.int64)
    return Truth(
        take=name,
        length_ns=scene.length_ns,
        cameras=rig.CAMERA_MODELS,
        rig_from=RIG_FROM,
        clocks=rig.CLOCKS,
        least_latency_ns={sensor: transport.least_latency_ns for sensor, transport in TRANSPORTS.items()},
        noise={
            "range_m": rig.RANGE_NOISE_M,
            "pixel": rig.PIXEL_NOISE,
            "position_m": rig.POSITION_NOISE_M,
            "yaw_rad": rig.YAW_NOISE_RAD,
            "gyro_rad_s": rig.GYRO_NOISE_RAD_S,
            "acceleration_m_s2": rig.ACCELERATION_NOISE_M_S2,
        },
        robot=Motion(times, *scene.robot.motion.at(times)),
        objects=tuple(TruthObject(t.id, t.name, t.category, t.size_m, t.motion) for t in scene.world.things),
        episodes=tuple(episode for episode in scene.robot.episodes if episode.stop_ns <= scene.length_ns),
        board=scene.carried,
        description=scene.description,
    )
