"""What stands where in a Livox data packet, of both generations of their protocol.

Sources: the Mid-360 communication protocol (Livox wiki) and Livox-SDK2 for the Mid-360; the Livox SDK communication protocol and
Livox-SDK for Avia, Horizon, Tele-15, Mid-40 and Mid-70. Little-endian throughout.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np

from devices.device import ClockSource

Model = Literal["Mid-360", "Avia", "Horizon", "Tele-15", "Mid-40", "Mid-70"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between models. number: the device type that it calls itself by. lines: lasers that fire in turn.

    firing_ns: from one firing to the next where packets do not say it (the first protocol).
    """

    number: int
    lines: int
    firing_ns: float = 0.0
    second_protocol: bool = False
    has_imu: bool = True


KINDS: Mapping[str, Kind] = {
    "Mid-360": Kind(9, 4, second_protocol=True),
    "Avia": Kind(7, 6, 1e9 / 240_000),
    "Horizon": Kind(3, 6, 1e9 / 240_000),
    "Tele-15": Kind(2, 6, 1e9 / 240_000),
    "Mid-40": Kind(1, 1, 1e9 / 100_000, has_imu=False),
    "Mid-70": Kind(6, 1, 1e9 / 100_000, has_imu=False),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What one firing looks like. firing: fields ``returns`` (R,) of xyz or depth, reflectivity; ``zenith``, ``azimuth`` if spherical.

    unit_m: of xyz and depth. firings: in a packet; 0 where the packet says it itself.
    """

    firing: np.dtype[np.void]
    unit_m: float
    firings: int = 0

    @property
    def spherical(self) -> bool:
        return "zenith" in (self.firing.names or ())


def _cartesian(integer: str, returns: int, *, tagged: bool) -> np.dtype[np.void]:
    fields: list[tuple[str, str] | tuple[str, str, int]] = [("xyz", integer, 3), ("reflectivity", "u1")]
    one = np.dtype([*fields, ("tag", "u1")] if tagged else fields)
    return np.dtype([("returns", one, (returns,))])


def _spherical_single(*, tagged: bool) -> np.dtype[np.void]:
    """Depth, zenith, azimuth, reflectivity, tag: the angles lie within the return."""
    size = 10 if tagged else 9
    one = np.dtype({"names": ["depth", "reflectivity"], "formats": ["<u4", "u1"], "offsets": [0, 8], "itemsize": size})
    formats = [(one, (1,)), "<u2", "<u2"]
    return np.dtype({
        "names": ["returns", "zenith", "azimuth"], "formats": formats, "offsets": [0, 4, 6], "itemsize": size,
    })  # fmt: skip


def _spherical(returns: int) -> np.dtype[np.void]:
    one = np.dtype([("depth", "<u4"), ("reflectivity", "u1"), ("tag", "u1")])
    return np.dtype([("zenith", "<u2"), ("azimuth", "<u2"), ("returns", one, (returns,))])


IMU_FIRST, IMU_SECOND = 6, 0  # the data type of IMU packets in each protocol
IMU_BYTES = 24  # gyroscope rad/s, accelerometer g
FIRST: Mapping[int, Layout] = {
    0: Layout(_cartesian("<i4", 1, tagged=False), 1e-3, 100),
    1: Layout(_spherical_single(tagged=False), 1e-3, 100),
    2: Layout(_cartesian("<i4", 1, tagged=True), 1e-3, 96),
    3: Layout(_spherical_single(tagged=True), 1e-3, 96),
    4: Layout(_cartesian("<i4", 2, tagged=True), 1e-3, 48),
    5: Layout(_spherical(2), 1e-3, 48),
    7: Layout(_cartesian("<i4", 3, tagged=True), 1e-3, 30),
    8: Layout(_spherical(3), 1e-3, 30),
}
SECOND: Mapping[int, Layout] = {
    1: Layout(_cartesian("<i4", 1, tagged=True), 1e-3),
    2: Layout(_cartesian("<i2", 1, tagged=True), 1e-2),
    3: Layout(_spherical_single(tagged=True), 1e-3),
}


class Head(NamedTuple):
    """What a packet says before its points. t_ns: the first firing's time, on the sensor's clock.

    data_type: IMU or a key of FIRST or SECOND. firing_ns: from one firing to the next. counter: of packets, None where there is none.
    """

    t_ns: int
    data_type: int
    firings: int
    firing_ns: float
    counter: int | None
    clock: ClockSource

    @property
    def newest_ns(self) -> int:
        return self.t_ns + round((self.firings - 1) * self.firing_ns)


HEAD_BYTES = {False: 18, True: 36}  # by whether it is the second protocol
_HEAD_SECOND = struct.Struct("<BHHHHxBB12xIQ")
_CRC_FROM = 28  # the CRC-32 covers the time and all after it
_CLOCKS_SECOND = (ClockSource.FREE, ClockSource.PTP, ClockSource.PPS)
# 4 is a pulse without a time message: which second it was stays unknown, so the stamps count from nowhere.
_CLOCKS_FIRST = {0: ClockSource.FREE, 1: ClockSource.PTP, 3: ClockSource.PPS, 4: ClockSource.FREE}
_UTC = 3


def read_head(data: bytes, kind: Kind) -> Head | str:
    """The head of a packet, or why it is none of that model's."""
    return _second_head(data) if kind.second_protocol else _first_head(data, kind)


def _second_head(data: bytes) -> Head | str:
    """The header of the Mid-360.

    time_interval is the time from a packet's first point to its last by the manual, and the time that all its points fill by the maker's
    driver (livox_ros_driver2). The driver is followed: the two differ by one firing (5 us) at the packet's end.
    """
    if len(data) < 36:
        return "wrong size"
    version, length, interval, firings, counter, data_type, clock, crc, t_ns = _HEAD_SECOND.unpack_from(data)
    if version != 0:
        return "not a Livox packet"
    size = IMU_BYTES if data_type == IMU_SECOND else SECOND[data_type].firing.itemsize if data_type in SECOND else 0
    if not size:
        return "unknown data type"
    if length != len(data) or firings == 0 or len(data) != 36 + firings * size:
        return "wrong size"
    if crc not in (0, zlib.crc32(memoryview(data)[_CRC_FROM:])):  # 0: the firmware states none
        return "wrong CRC"
    if clock >= len(_CLOCKS_SECOND):
        return "unknown time type"
    if t_ns >> 63:
        return "time beyond the year 2262"
    return Head(t_ns, data_type, firings, interval * 100 / firings, counter, _CLOCKS_SECOND[clock])


def _first_head(data: bytes, kind: Kind) -> Head | str:
    if len(data) < 18:
        return "wrong size"
    clock, data_type = data[8], data[9]
    if data_type == IMU_FIRST:
        firings, size = 1, IMU_BYTES
    elif data_type in FIRST:
        firings, size = FIRST[data_type].firings, FIRST[data_type].firing.itemsize
    else:
        return "unknown data type"
    if len(data) != 18 + firings * size:
        return "wrong size"
    if clock not in _CLOCKS_FIRST:
        return "unknown time type"
    t_ns = _utc_ns(data) if clock == _UTC else int.from_bytes(data[10:18], "little")
    if t_ns is None or t_ns >> 63:
        return "a time that is none"
    return Head(t_ns, data_type, firings, kind.firing_ns, None, _CLOCKS_FIRST[clock])


def _utc_ns(data: bytes) -> int | None:
    """Year (from 2000), month, day, hour, microseconds past it."""
    year, month, day, hour = data[10:14]
    us = int.from_bytes(data[14:18], "little")
    try:
        start = datetime(2000 + year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None
    return int(start.timestamp()) * 1_000_000_000 + us * 1000
