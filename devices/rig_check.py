"""What is wrong with a rig though each of its keys may be said so: it would be recorded, and be of no use."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from devices.errors import DeviceError

if TYPE_CHECKING:
    from devices.rig import CharucoBoard, Rig

# OpenCV's (cv2.aruco.DICT_*); to ask it would cost every recorder its import.
DICTIONARIES = (
    *(f"DICT_{bits}X{bits}_{count}" for bits in (4, 5, 6, 7) for count in (50, 100, 250, 1000)),
    "DICT_ARUCO_ORIGINAL",
    *(f"DICT_{name}" for each in ("APRILTAG_16h5", "APRILTAG_25h9", "APRILTAG_36h10", "APRILTAG_36h11", "ARUCO_MIP_36h12")
      for name in (each, each.upper())),
)  # fmt: skip
_CAMERAS = {"mjpeg", "rtsp"}  # whose url names one sensor; another driver's may name a broker of many
_REACH_M = 50.0  # no rig is as large; a mounting beyond was measured in other units


def check_rig(rig: Rig) -> None:
    """Raises DeviceError with the first mistake, in one line."""
    for mistake in (*_of_board(rig.board), *_of_mountings(rig), *_of_addresses(rig)):
        raise DeviceError(mistake)


def _of_board(board: CharucoBoard | None) -> Iterator[str]:
    if board is None:
        return
    if board.dictionary not in DICTIONARIES:
        near = get_close_matches(board.dictionary, DICTIONARIES, 3)
        yield f"'board.dictionary': OpenCV has no '{board.dictionary}'; it has: {', '.join(near or DICTIONARIES)}"
    if board.marker_m >= board.square_m:
        yield (
            f"'board.marker_m': a marker lies inside its square, so it cannot be {board.marker_m:g} m wide "
            f"in a square of {board.square_m:g} m; measure both on the printed board"
        )


def _of_mountings(rig: Rig) -> Iterator[str]:
    for name, sensor in rig.sensors.items():
        if sensor.mounting and (far_m := max(map(abs, sensor.mounting.xyz_m))) > _REACH_M:
            yield (
                f"sensors.{name}: 'mounting.xyz_m': {far_m:g} m away from the rig's origin; it is given in metres "
                f"(if that was millimetres: {far_m / 1000:g})"
            )


def _of_addresses(rig: Rig) -> Iterator[str]:
    """Two of which one is meant to be another's."""
    first: dict[str, str] = {}
    for name, sensor in rig.sensors.items():
        url = sensor.own.get("url")
        if sensor.driver in _CAMERAS and isinstance(url, str) and first.setdefault(url, name) != name:
            yield f"sensors.{first[url]} and sensors.{name} have the same url; give each camera its own"
