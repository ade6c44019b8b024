"""A small recorded drive whose every number is known, written by the recorder's own writer: no sockets, no rendering.

A robot drives along +x past a parked car and behind a moving van. Its cameras see a striped wall that shifts with every frame, so
that no two frames are alike; its lidar sees the ground and the two boxes. Two episodes are marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.labels import Cuboid, Provenance
from annotate.store import LabelledFrame, LabelStore
from calibration.calibration import Calibration, CameraCalibration, Mount, TimeOffset, save
from capture.bag.writer import BagWriter
from capture.recording import Recording, Span, open_recording
from capture.recording_info import RecordingInfo, StreamInfo
from capture.workspace import Workspace
from devices.camera_model import CameraModel
from devices.device import Stream
from devices.rig import rig_from_dict
from devices.samples import Packet, Stamps
from devices.transform import Transform

START_NS = 1_750_000_000_123_456_789
SECOND_NS = 1_000_000_000
RECORDING = "20250615T150640Z-cart-t3st"
PROJECT = "boxes"
SPEED_M_S = 1.5
CAR_M = np.array([12.0, 3.0, 0.8])  # in the world
VAN_M = np.array([15.0, -3.0, 1.0])
VAN_SPEED_M_S = 2.0
SIZES_M = {"car": np.array([4.2, 1.8, 1.6]), "van": np.array([5.0, 2.0, 2.0])}
CAMERA = CameraModel("pinhole", 64, 49, 50.0, 51.0, 31.0, 24.5, (-0.1, 0.02, 0.001, -0.002, 0.0))  # an odd height
TASKS = ("drive to the gate", "drive home")


@dataclass(frozen=True, slots=True)
class Shape:
    """What to record. late_ns: how far each camera lags its nominal instants. lost: (camera, frame) pairs that never came.

    outcomes: of the two episodes, as the marks of their ends say. silent: (stream, from, to) in s of which nothing came.
    gripper: whether the robot reports a vector that is neither a state nor an action.
    """

    seconds: float = 6.0
    rate_hz: int = 10
    cameras: tuple[str, ...] = ("camera_left", "camera_right")
    actions: bool = True
    states: bool = True
    marks: bool = True
    late_ns: int = 7_000_000
    lost: frozenset[tuple[str, int]] = frozenset()
    outcomes: tuple[str, str] = ("success", "success")
    silent: tuple[tuple[str, float, float], ...] = ()
    lidars: tuple[str, ...] = ("lidar",)
    gripper: bool = False


@dataclass(frozen=True, slots=True)
class Drive:
    """A recorded drive in a workspace."""

    workspace: Workspace
    recording: Recording
    calibration: Calibration


def record_drive(root: Path, shape: Shape | None = None, identity: str = RECORDING) -> Drive:
    """Write a recording, its calibration, and nothing else, into a workspace."""
    shape = shape or Shape()
    workspace = Workspace.at(root)
    folder = workspace.recordings / identity
    folder.mkdir(parents=True)
    streams = _streams(shape)
    writer = BagWriter(folder / f"{identity}_0.mcap", streams)
    indexes = {stream.name: index for index, stream in enumerate(streams)}
    sequences = dict.fromkeys(indexes, 0)
    for name, t_ns, payload in sorted(_messages(shape), key=lambda message: message[1]):
        if any(name == one and start <= (t_ns - START_NS) / 1e9 < stop for one, start, stop in shape.silent):
            continue
        packet = Packet(name, Stamps(t_ns + 2_000_000, t_ns), payload)
        writer.add(indexes[name], sequences[name], packet, t_ns)
        sequences[name] += 1
    writer.finish()
    rig = rig_from_dict({"name": "cart", "vehicle": "cart", "sensors": _sensors(shape)})
    RecordingInfo(
        id=identity,
        state="finished",
        rig=rig,
        site="yard",
        task="patrol",
        started_ns=START_NS,
        ended_ns=START_NS + int(shape.seconds * 1e9),
        streams={stream.name: StreamInfo(encoding=stream.encoding) for stream in streams},
        counts=sequences,
    ).save(folder)
    calibration = make_calibration(shape)
    save(calibration, workspace)
    return Drive(workspace, open_recording(folder), calibration)


def label(drive: Drive, every: int = 5) -> int:
    """Store true cuboids for every n-th sweep, the last of them without any; the revision's number."""
    frames, cuboids = [], []
    sweeps = list(drive.recording.samples(["lidar/points"]))
    instants = range(0, len(sweeps), every)
    for index in instants:
        t_ns, span = sweeps[index].sample.t_ns, sweeps[index].span
        uid = f"{drive.recording.id}@{t_ns}"
        common = {"uid": uid, "t_ns": t_ns, "recording_id": drive.recording.id, "calibration_id": drive.calibration.id}
        frames.append(LabelledFrame(**common, spans=(span,), annotator="ann@example.org", made_ns=START_NS))
        if index != instants[-1]:
            cuboids += [_cuboid(drive, kind, t_ns, uid, span) for kind in SIZES_M]
    return LabelStore(drive.workspace, PROJECT).save_revision(cuboids, frames)


def make_calibration(shape: Shape) -> Calibration:
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)  # rig axes of a camera that looks ahead
    mounts = {"lidar": Transform.from_rpy("rig", "lidar", (1.0, -2.0, 3.0), (0.1, 0.0, 1.2))}
    for index, camera in enumerate(shape.cameras):
        mounts[camera] = Transform.of("rig", camera, optical, (0.3, 0.2 - 0.4 * index, 1.0))
    return Calibration(
        rig="cart",
        made_ns=START_NS,
        recordings=("board",),
        cameras={name: CameraCalibration(CAMERA, (), 0.2, 20, "good", {}) for name in shape.cameras},
        mounts={name: Mount(mount, None, "good", {}) for name, mount in mounts.items()},
        time_offsets={name: TimeOffset(0, 0, "stated in rig.toml") for name in mounts},
        verdict="good",
        reasons=(),
    )


def world_from_rig(t_ns: int) -> Transform:
    seconds = (t_ns - START_NS) / SECOND_NS
    return Transform.from_rpy("world", "rig", (0, 0, 2 * seconds), (SPEED_M_S * seconds, 0.0, 0.0))


def box_center_m(kind: str, t_ns: int) -> NDArray[np.float64]:
    """(3,) in the world."""
    moved = np.array([VAN_SPEED_M_S * (t_ns - START_NS) / SECOND_NS, 0, 0])
    return CAR_M if kind == "car" else VAN_M + moved


def _cuboid(drive: Drive, kind: str, t_ns: int, uid: str, span: Span) -> Cuboid:
    lidar_from_world = (world_from_rig(t_ns) @ drive.calibration.rig_from("lidar")).inverse()
    return Cuboid(
        id=kind,
        track=f"track-{kind}",
        category=kind,
        t_ns=t_ns,
        center_m=lidar_from_world.apply(box_center_m(kind, t_ns)),
        size_m=SIZES_M[kind],
        yaw_rad=lidar_from_world.yaw_rad,
        num_points=0,
        attributes={"motion": "parked"} if kind == "car" else {"motion": "moving", "visibility": "v80-100"},
        provenance=Provenance(
            spans=(span,),
            calibration_id=drive.calibration.id,
            annotator="ann@example.org",
            task=uid,
            guideline="1",
            made_ns=START_NS,
            origin="human",
        ),
    )


def _streams(shape: Shape) -> list[Stream]:
    streams = [Stream(f"{camera}/image", "jpeg") for camera in shape.cameras]
    streams += [Stream(f"{lidar}/points", "xyzi.f32") for lidar in shape.lidars]
    streams += [Stream("robot/gripper", "vector.json")] if shape.gripper else []
    streams += [Stream("robot/state", "vector.json")] if shape.states else []
    streams += [Stream("robot/action", "vector.json")] if shape.actions else []
    return [*streams, Stream("operator/marks", "mark.json")]


def _sensors(shape: Shape) -> dict[str, dict[str, object]]:
    cameras: dict[str, dict[str, object]] = {
        camera: {"driver": "mjpeg", "url": "http://127.0.0.1:9/"} for camera in shape.cameras
    }
    ports = {"state": 9001, "action": 9002, **({"gripper": 9004} if shape.gripper else {})}
    return {
        **cameras,
        **{lidar: {"driver": "kitti", "folder": "."} for lidar in shape.lidars},
        "robot": {"driver": "named_vector", "ports": ports},
        "operator": {"driver": "marks", "port": 9003},
    }


def _messages(shape: Shape) -> Iterator[tuple[str, int, bytes]]:
    """Stream, instant and payload of everything that was recorded."""
    rate_hz = shape.rate_hz
    for frame in range(int(shape.seconds * rate_hz)):
        t_ns = START_NS + frame * SECOND_NS // rate_hz
        for lidar in shape.lidars:
            yield f"{lidar}/points", t_ns, _points(t_ns)
        for number, camera in enumerate(shape.cameras):
            if (camera, frame) not in shape.lost:
                jitter_ns = (frame * 7919 % 11 - 5) * 100_000
                yield f"{camera}/image", t_ns + shape.late_ns * (number + 1) + jitter_ns, picture(frame, number)
    for tick in range(int(shape.seconds * 50)):
        t_ns = START_NS + tick * SECOND_NS // 50 + 1_000_000
        if shape.states:
            yield "robot/state", t_ns, _vector("state", t_ns, _state(t_ns))
        if shape.gripper:
            yield "robot/gripper", t_ns, _vector("gripper", t_ns, {"width_m": 0.04})
        if shape.actions:
            forward = SPEED_M_S + 0.1 * np.sin(tick / 9)
            values = {"command.forward_m_s": forward, "command.yaw_rad_s": 0.03 * np.cos(tick / 7)}
            yield "robot/action", t_ns, _vector("action", t_ns, values)
    if shape.marks:
        half = shape.seconds / 2
        bounds = ((0.25, half - 0.25), (half + 0.25, shape.seconds - 0.25))
        for text, outcome, (start, stop) in zip(TASKS, shape.outcomes, bounds, strict=True):
            for kind, at, said in (("episode_start", start, {}), ("episode_stop", stop, {"outcome": outcome})):
                t_ns = START_NS + int(at * 1e9)
                mark = {"t_ns": t_ns, "kind": kind, "text": text, **said}
                yield "operator/marks", t_ns, json.dumps(mark).encode()


def picture(frame: int, camera: int) -> bytes:
    """A JPEG of stripes that move 3 px a frame, and a bright square that moves the other way."""
    columns = np.arange(CAMERA.width_px)
    stripes = (127 + 100 * np.sin((columns + 3 * frame + 17 * camera) / 6)).astype(np.uint8)
    pixels = np.repeat(np.tile(stripes, (CAMERA.height_px, 1))[:, :, None], 3, axis=2)
    pixels[:, :, 2] = np.linspace(0, 255, CAMERA.height_px).astype(np.uint8)[:, None]
    left = (CAMERA.width_px - 12 - 2 * frame) % (CAMERA.width_px - 12)
    pixels[10:24, left : left + 12] = (250, 240, 20)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _points(t_ns: int) -> bytes:
    """Ground and the inside of both boxes, as (N, 4) float32 in the lidar's frame."""
    random = np.random.default_rng(t_ns % 2**32)
    ground = np.column_stack([random.uniform(-20, 40, (3000, 2)), np.zeros(3000)])
    boxes = [
        box_center_m(kind, t_ns) + (random.uniform(-0.6, 0.6, (300, 3)) * size)  # some miss the box by a little
        for kind, size in SIZES_M.items()
    ]
    calibration = Transform.from_rpy("rig", "lidar", (1.0, -2.0, 3.0), (0.1, 0.0, 1.2))
    points = (world_from_rig(t_ns) @ calibration).inverse().apply(np.concatenate([ground, *boxes]))
    return np.column_stack([points, random.uniform(0, 1, len(points))]).astype("<f4").tobytes()


def _state(t_ns: int) -> dict[str, float]:
    at = world_from_rig(t_ns)
    names = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")
    return dict(zip(names, [*at.translation_m, *at.wxyz], strict=True)) | {"velocity.forward_m_s": SPEED_M_S}


def _vector(topic: str, t_ns: int, values: dict[str, float]) -> bytes:
    line = {"t_ns": t_ns, "topic": topic, "names": list(values), "values": [float(v) for v in values.values()]}
    return json.dumps(line).encode()
