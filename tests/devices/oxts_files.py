"""A KITTI drive's oxts/ folder, made by the format that its dataformat.txt states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NAMES = (
    "lat", "lon", "alt", "roll", "pitch", "yaw", "vn", "ve", "vf", "vl", "vu", "ax", "ay", "az", "af", "al", "au",
    "wx", "wy", "wz", "wf", "wl", "wu", "pos_accuracy", "vel_accuracy", "navstat", "numsats", "posmode", "velmode", "orimode",
)  # fmt: skip
_TYPICAL = {
    "lat": 49.015003823272, "lon": 8.4342971002335, "alt": 116.43032836914, "vn": -6.8, "ve": -11.3, "vu": -0.03,
    "ax": 0.44, "ay": 0.28, "az": 10.16, "wx": 0.01, "wy": -0.02, "wz": 0.13,
    "pos_accuracy": 0.07, "vel_accuracy": 0.017, "navstat": 4, "numsats": 11, "posmode": 6, "velmode": 6, "orimode": 6,
}  # fmt: skip


def oxts_line(changed: Mapping[str, float] | None = None) -> bytes:
    """One file. changed: values that are not the typical ones, by their names in dataformat.txt."""
    values: dict[str, float] = {**_TYPICAL, **(changed or {})}
    return " ".join(repr(values.get(name, 0)) for name in NAMES).encode() + b"\n"


def add_oxts(drive: Path, count: int, rate_hz: int | None = 10) -> Path:
    """rate_hz: of timestamps.txt, which is not written where it is None. Each file's wz is its number in 0.001 rad/s."""
    folder = drive / "oxts"
    (folder / "data").mkdir(parents=True)
    (folder / "dataformat.txt").write_text("lat:   latitude of the oxts-unit (deg)\n")
    for number in range(count):
        (folder / "data" / f"{number:010d}.txt").write_bytes(oxts_line({"wz": number * 0.001}))
    if rate_hz is not None:
        lines = [f"2011-09-26 13:02:{25 + n // rate_hz:02d}.{n % rate_hz * 10**9 // rate_hz:09d}" for n in range(count)]
        (folder / "timestamps.txt").write_text("\n".join(lines) + "\n")
    return drive
