"""Renders the virtual rig's takes into a cache: once for each state of the code, one take after another."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.errors import DeviceError
from devices.virtual.rig_file import BASE_PORT, rig_toml
from devices.virtual.scenes import Scene, calibration_scene, drive_scene
from devices.virtual.take_files import ACTION_STREAM, IMU_STREAM, LIDAR_STREAM, MARKS_STREAM, STATE_STREAM, Timing, image_stream, save_schedule

CALIBRATION, DRIVE = "calibration", "drive"
TAKES = (CALIBRATION, DRIVE)
Progress = Callable[[str, float], None]
_SCENES: dict[str, Callable[[], Scene]] = {CALIBRATION: calibration_scene, DRIVE: drive_scene}
_NOT_RENDERING = ("play.py", "commands.py", "__main__.py")


@dataclass(frozen=True, slots=True)
class VirtualTakes:
    """What render() left: a rig file for the crew, takes to play."""

    cache: Path
    names: tuple[str, ...]
    length_ns: dict[str, int]

    @property
    def rig(self) -> Path:
        return self.cache / "rig.toml"

    def truth(self, take: str) -> Path:
        """For scorecards and tests."""
        return self.cache / take / "truth.json"

    def played(self, take: str) -> Path:
        """When it was last played; for scorecards and tests."""
        return self.cache / take / "play.json"


def render(
    cache: Path,
    *,
    progress: Progress | None = None,
    takes: Sequence[str] = TAKES,
    seconds: float | None = None,
    base_port: int = BASE_PORT,
) -> VirtualTakes:
    """Render what the cache lacks or holds from an older state of the code; a finished take is never rendered again.

    progress: called with a take's name and the share of it that is done. seconds: cut each take short.
    """
    lengths = {}
    cache.mkdir(parents=True, exist_ok=True)
    for name in takes:
        if name not in _SCENES:
            raise DeviceError(f"no take called '{name}'; choose from: {', '.join(TAKES)}")
        key = _key(name, seconds)
        made = _made(cache / name)
        if made.get("key") != key:
            made = _render_take(cache, name, key, seconds, progress)
        if progress:
            progress(name, 1.0)
        lengths[name] = int(made["length_ns"])
    (cache / "rig.toml").write_text(rig_toml(base_port), encoding="utf-8")
    return VirtualTakes(cache, tuple(takes), lengths)


def _key(name: str, seconds: float | None) -> str:
    """A hash of the code that renders and of what was asked for."""
    digest = hashlib.sha256(f"{name} {seconds}".encode())
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), here.parent / "camera_model.py", here.parent / "transform.py"]):
        if path.name not in _NOT_RENDERING:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _made(folder: Path) -> dict[str, Any]:
    try:
        made: dict[str, Any] = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made


def _render_take(cache: Path, name: str, key: str, seconds: float | None, progress: Progress | None) -> dict[str, Any]:
    """Into a folder at the side, which takes its place when it is whole."""
    side, folder = cache / f"{name}.rendering", cache / name
    for stale in (side, folder):
        shutil.rmtree(stale, ignore_errors=True)
    side.mkdir()
    scene = _SCENES[name]()
    if seconds is not None:
        scene = replace(scene, length_ns=min(scene.length_ns, int(seconds * 1e9)))
    _render_into(side, name, scene, _Share(name, progress))
    made = {"key": key, "length_ns": scene.length_ns}
    (side / "made.json").write_text(json.dumps(made), encoding="utf-8")
    side.rename(folder)
    return made


class _Share:
    """Turns the steps of a take into the share of it that is done."""

    def __init__(self, name: str, progress: Progress | None) -> None:
        self._name, self._progress, self._done = name, progress, 0.0

    def add(self, share: float) -> None:
        self._done += share
        if self._progress:
            self._progress(self._name, min(self._done, 0.999))


def _render_into(folder: Path, name: str, scene: Scene, share: _Share) -> None:
    from devices.virtual.rig_truth import CAMERAS, PACES, TRANSPORTS
    from devices.virtual.shading import Shading

    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    rng = np.random.default_rng(seed)
    end = scene.length_ns
    captured, offsets = {}, {}
    captured[LIDAR_STREAM] = _write_sweeps(folder, scene, PACES["lidar"].times_ns(end), rng, share)
    captured[IMU_STREAM] = _write_imu(folder, scene, PACES["imu"].times_ns(end), rng)
    shading = Shading(scene.world)
    for camera in CAMERAS:
        captured[image_stream(camera)] = PACES[camera].times_ns(end)
        offsets[camera] = _write_pictures(folder, scene, shading, camera, captured[image_stream(camera)], rng, share)
    lines = _lines(scene, PACES["state"].times_ns(end), PACES["action"].times_ns(end), rng)
    captured |= {stream: times for stream, (times, _) in lines.items()}
    (folder / "lines.json").write_text(json.dumps({stream: rows for stream, (_, rows) in lines.items()}), encoding="utf-8")
    timing = {
        stream: Timing(times, TRANSPORTS[stream.partition("/")[0]].departures_ns(times, rng)) for stream, times in captured.items()
    }
    save_schedule(folder, timing, offsets)
    _write_truth(folder, name, scene)


def _write_sweeps(folder: Path, scene: Scene, first_columns: NDArray[np.int64], rng: np.random.Generator, share: _Share) -> NDArray[np.int64]:
    """lidar.packets; returns each packet's last column's time."""
    from devices.virtual.lidar import Sweeps
    from devices.virtual.ouster_packets import COLUMNS_A_PACKET
    from devices.virtual.rig_truth import RIG_FROM

    sweeps = Sweeps.of(scene.world, scene.robot.motion, RIG_FROM["lidar"], scene.still_rig)
    last = []
    with (folder / "lidar.packets").open("wb") as file:
        for number, first in enumerate(first_columns.tolist()):
            packets = sweeps.packets(first, 1 + number, rng)
            last.append(packets["columns"]["t_ns"][:, COLUMNS_A_PACKET - 1].astype(np.int64))
            file.write(packets.tobytes())
            share.add(0.25 / len(first_columns))
    return np.concatenate(last)


def _write_imu(folder: Path, scene: Scene, t_ns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    from devices.virtual.imu import imu_packets
    from devices.virtual.rig_truth import RIG_FROM

    (folder / "imu.packets").write_bytes(imu_packets(scene.robot.motion, RIG_FROM["lidar"], t_ns, rng).tobytes())
    return t_ns


def _write_pictures(  # type: ignore[no-untyped-def]
    folder: Path, scene: Scene, shading, camera: str, t_ns: NDArray[np.int64], rng: np.random.Generator, share: _Share
) -> NDArray[np.int64]:
    """CAMERA.jpegs; returns where each JPEG begins, and the end."""
    from devices.virtual.filming import film

    offsets = [0]
    with (folder / f"{camera}.jpegs").open("wb") as file:
        pictures: Iterator[bytes] = film(scene, shading, camera, t_ns, rng)
        for jpeg in pictures:
            file.write(jpeg)
            offsets.append(offsets[-1] + len(jpeg))
            share.add(0.36 / len(t_ns))
    return np.array(offsets, dtype=np.int64)


def _lines(
    scene: Scene, state_ns: NDArray[np.int64], action_ns: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, tuple[NDArray[np.int64], list[dict[str, Any]]]]:
    """Per JSON stream: capture times and the lines without their stamps."""
    from devices.virtual.rig_truth import POSITION_NOISE_M, YAW_NOISE_RAD

    position, yaw = scene.robot.motion.at(state_ns)
    position = position + POSITION_NOISE_M * rng.standard_normal(position.shape) * (1, 1, 0)
    yaw = yaw + YAW_NOISE_RAD * rng.standard_normal(yaw.shape)
    quaternion = np.column_stack([np.cos(yaw / 2), np.zeros((len(yaw), 2)), np.sin(yaw / 2)])
    state = np.column_stack([position, quaternion, scene.robot.velocity_at(state_ns)])
    names = ["pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz", "velocity.forward_m_s", "velocity.yaw_rad_s"]
    command = scene.robot.command_at(action_ns)
    marks = []
    for episode in scene.robot.episodes:
        marks += [(episode.start_ns, {"kind": "episode_start", "text": episode.text}), (episode.stop_ns, {"kind": "episode_stop", "text": episode.text})]
    if scene.carried:
        marks += [(start, {"kind": "pose", "text": f"board pose {k + 1}"}) for k, (start, _) in enumerate(scene.carried.still_ns)]
    marks = [(at, mark) for at, mark in marks if at < scene.length_ns]
    return {
        STATE_STREAM: (state_ns, [{"topic": "state", "names": names, "values": row} for row in state.round(6).tolist()]),
        ACTION_STREAM: (
            action_ns,
            [{"topic": "action", "names": ["command.forward_m_s", "command.yaw_rad_s"], "values": row} for row in command.round(6).tolist()],
        ),
        MARKS_STREAM: (np.array([at for at, _ in marks], dtype=np.int64), [mark for _, mark in marks]),
    }


def _write_truth(folder: Path, name: str, scene: Scene) -> None:
    from devices.virtual import rig_truth as rig
    from devices.virtual.motion import Motion
    from devices.virtual.truth import Truth, TruthEpisode, TruthObject, truth_table

    times = np.arange(0, scene.length_ns + 20_000_000, 20_000_000, dtype=np.int64)
    position, yaw = scene.robot.motion.at(times)
    truth = Truth(
        take=name,
        length_ns=scene.length_ns,
        cameras=dict(rig.CAMERA_MODELS),
        rig_from=dict(rig.RIG_FROM),
        clocks=dict(rig.CLOCKS),
        least_latency_ns={sensor: transport.least_latency_ns for sensor, transport in rig.TRANSPORTS.items()},
        noise={
            "range_m": rig.RANGE_NOISE_M,
            "pixel": rig.PIXEL_NOISE,
            "position_m": rig.POSITION_NOISE_M,
            "yaw_rad": rig.YAW_NOISE_RAD,
            "gyro_rad_s": rig.GYRO_NOISE_RAD_S,
            "acceleration_m_s2": rig.ACCELERATION_NOISE_M_S2,
        },
        robot=Motion(times, position, yaw),
        objects=tuple(TruthObject(t.id, t.name, t.category, t.size_m, t.motion) for t in scene.world.things),
        episodes=tuple(TruthEpisode(e.text, e.start_ns, e.stop_ns) for e in scene.robot.episodes if e.stop_ns <= scene.length_ns),
        board=scene.carried,
        description=scene.description,
    )
    (folder / "truth.json").write_text(json.dumps(truth_table(truth)), encoding="utf-8")
