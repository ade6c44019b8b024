"""A rendered take on disk: packets ready to be stamped and sent, and when each goes.

TAKE/made.json        what it was made from (a hash), its length, the size of each file
     schedule.npz     per stream: when each packet was captured and when it departs, ns since the take's start
     lidar.packets    PACKET after PACKET        imu.packets   IMU_PACKET after IMU_PACKET
     CAMERA.jpegs     JPEG after JPEG, cut at the schedule's offsets
     lines.json       per JSON stream: the object of each line, without its t_ns
     truth.json       what really was             play.json     when it was last played
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.errors import DeviceError
from devices.virtual.ouster_packets import IMU_PACKET, PACKET

LIDAR_STREAM, IMU_STREAM = "lidar/points", "lidar/imu"
STATE_STREAM, ACTION_STREAM, MARKS_STREAM = "robot/state", "robot/action", "operator/marks"
LINE_STREAMS = (STATE_STREAM, ACTION_STREAM, MARKS_STREAM)


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """captured_ns: what the device stamps (a camera's mid exposure, a lidar packet's last column). departs_ns: when the packet
    reaches the host's socket. (N,) int64 each, since the take's start, in order.
    """

    captured_ns: NDArray[np.int64]
    departs_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """An opened take; packets are mapped from disk, not read."""

    folder: Path
    length_ns: int
    timing: dict[str, Timing]
    lidar: NDArray[np.void]
    imu: NDArray[np.void]
    lines: dict[str, list[dict[str, Any]]]
    jpegs: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]  # camera -> all bytes, (N + 1,) offsets

    def jpeg(self, camera: str, index: int) -> bytes:
        data, offsets = self.jpegs[camera]
        return data[offsets[index] : offsets[index + 1]].tobytes()


def image_stream(camera: str) -> str:
    return f"{camera}/image"


def save_schedule(folder: Path, timing: dict[str, Timing], offsets: dict[str, NDArray[np.int64]]) -> None:
    arrays = {f"{stream}.captured": times.captured_ns for stream, times in timing.items()}
    arrays |= {f"{stream}.departs": times.departs_ns for stream, times in timing.items()}
    arrays |= {f"{camera}.offsets": cuts for camera, cuts in offsets.items()}
    with (folder / "schedule.npz").open("wb") as file:
        np.savez(file, **{name.replace("/", ":"): array for name, array in arrays.items()})  # type: ignore[arg-type]


def save_made(folder: Path, key: str, length_ns: int) -> dict[str, Any]:
    """The last file of a take that is being rendered."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    made = {"key": key, "length_ns": length_ns, "files": sizes}
    (folder / "made.json").write_text(json.dumps(made), encoding="utf-8")
    return made


def read_made(folder: Path) -> dict[str, Any]:
    """What a whole take was made from; nothing where a file of it is missing or not as long as it was."""
    try:
        made: dict[str, Any] = json.loads((folder / "made.json").read_text(encoding="utf-8"))
        whole = {name: (folder / name).stat().st_size for name in made["files"]} == made["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return made if whole else {}


def open_take(cache: Path, name: str) -> Take:
    """Raises DeviceError when it has not been rendered, or is damaged."""
    folder = cache / name
    if not (folder / "made.json").is_file():
        rendered = sorted(path.parent.name for path in cache.glob("*/made.json"))
        choices = f"choose one of: {', '.join(rendered)}" if rendered else "run `fieldrig virtual render` first"
        raise DeviceError(f"no rendered take '{name}' in {cache}; {choices}")
    made = read_made(folder)
    if not made:
        raise DeviceError(f"the rendered take in {folder} is damaged; `fieldrig virtual render` makes it anew")
    with np.load(folder / "schedule.npz") as file:
        arrays = {key.replace(":", "/"): file[key] for key in file.files}
    streams = [key.removesuffix(".captured") for key in arrays if key.endswith(".captured")]
    timing = {stream: Timing(arrays[f"{stream}.captured"], arrays[f"{stream}.departs"]) for stream in streams}
    cameras = [key.removesuffix(".offsets") for key in arrays if key.endswith(".offsets")]
    return Take(
        folder,
        made["length_ns"],
        timing,
        np.memmap(folder / "lidar.packets", dtype=PACKET, mode="r"),
        np.memmap(folder / "imu.packets", dtype=IMU_PACKET, mode="r"),
        json.loads((folder / "lines.json").read_text(encoding="utf-8")),
        {
            camera: (np.memmap(folder / f"{camera}.jpegs", dtype=np.uint8, mode="r"), arrays[f"{camera}.offsets"])
            for camera in cameras
        },
    )
