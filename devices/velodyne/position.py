"""Velodyne's position packets: what the lidar hears from its GNSS receiver, and whether it follows the pulse."""

from __future__ import annotations

from dataclasses import dataclass

from devices.errors import DeviceError
from devices.velodyne.hour_clock import HOUR_US

POSITION_BYTES = 512


@dataclass(frozen=True, slots=True)
class Position:
    """pps: 0 absent, 1 synchronising, 2 locked, 3 error. nmea: the RMC or GGA sentence without its line end, maybe empty."""

    us_past_hour: int
    pps: int
    nmea: str


def read_position(data: bytes) -> Position:
    """Raises DeviceError when it is no position packet."""
    fault = position_fault(data)
    if fault:
        raise DeviceError(f"no Velodyne position packet: {fault}")
    sentence = data[0xCE:].split(b"\0")[0].split(b"\r")[0]
    return Position(int.from_bytes(data[0xC6:0xCA], "little"), data[0xCA], sentence.decode("ascii", "replace"))


def position_fault(data: bytes) -> str | None:
    """Why this is no position packet, or None."""
    if len(data) != POSITION_BYTES:
        return "wrong size"
    return None if int.from_bytes(data[0xC6:0xCA], "little") < HOUR_US else "a time beyond the hour"
