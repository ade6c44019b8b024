"""Livox packets, written field by field from the layout tables of the public protocol; nothing here comes from devices/."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence

Point = tuple[float, float, float]  # m


def second_packet(
    points: Sequence[Point],
    t_ns: int,
    *,
    data_type: int = 1,
    counter: int = 0,
    interval_100ns: int = 0,
    time_type: int = 0,
    reflectivity: int = 50,
    tag: int = 0,
    crc: int | None = None,
) -> bytes:
    """A point packet of the Mid-360."""
    pixels = b"".join(second_point(data_type, point, reflectivity, tag) for point in points)
    return second_frame(pixels, len(points), t_ns, data_type, counter, interval_100ns, time_type, crc)


def second_imu(t_ns: int, rate: Point, acceleration_g: Point, counter: int = 0) -> bytes:
    return second_frame(struct.pack("<6f", *rate, *acceleration_g), 1, t_ns, 0, counter)


def second_frame(
    payload: bytes,
    count: int,
    t_ns: int,
    data_type: int,
    counter: int = 0,
    interval_100ns: int = 0,
    time_type: int = 0,
    crc: int | None = None,
) -> bytes:
    covered = struct.pack("<Q", t_ns) + payload
    head = struct.pack(
        "<BHHHHBBB", 0, 36 + len(payload), interval_100ns, count, counter & 0xFFFF, 0, data_type, time_type
    )
    return head + bytes(12) + struct.pack("<I", zlib.crc32(covered) if crc is None else crc) + covered


def second_point(data_type: int, point: Point, reflectivity: int, tag: int) -> bytes:
    if data_type == 3:
        return struct.pack("<IHHBB", *spherical(point), reflectivity, tag)
    unit_m, layout = (1e-3, "<3iBB") if data_type == 1 else (1e-2, "<3hBB")
    return struct.pack(layout, *(round(each / unit_m) for each in point), reflectivity, tag)


def spherical(point: Point) -> tuple[int, int, int]:
    """Depth in mm, zenith and azimuth in hundredths of a degree."""
    depth = math.dist(point, (0, 0, 0))
    if depth == 0:
        return 0, 0, 0
    zenith, azimuth = math.degrees(math.acos(point[2] / depth)), math.degrees(math.atan2(point[1], point[0])) % 360
    return round(depth * 1000), round(zenith * 100), round(azimuth * 100) % 36000


def first_packet(
    firings: Sequence[Sequence[Point]],
    timestamp: bytes,
    *,
    data_type: int = 2,
    time_type: int = 0,
    reflectivity: int = 50,
) -> bytes:
    """A packet of an Avia, Horizon, Mid-40 or Mid-70. firings: each of as many returns as the type has."""
    head = struct.pack("<BBBBIBB", 5, 1, 1, 0, 0, time_type, data_type) + timestamp
    return head + b"".join(first_firing(data_type, firing, reflectivity) for firing in firings)


def first_firing(data_type: int, returns: Sequence[Point], reflectivity: int) -> bytes:
    if data_type in (0, 2, 4, 7):
        tag = b"" if data_type == 0 else b"\0"
        ends = [struct.pack("<B", reflectivity + number) + tag for number in range(len(returns))]
        return b"".join(
            struct.pack("<3i", *(round(each * 1000) for each in point)) + end
            for point, end in zip(returns, ends, strict=True)
        )
    if data_type in (1, 3):
        return struct.pack("<IHHB", *spherical(returns[0]), reflectivity) + (b"\0" if data_type == 3 else b"")
    _, zenith, azimuth = spherical(returns[0])
    depths = [
        struct.pack("<IBB", spherical(point)[0], reflectivity + number, 0) for number, point in enumerate(returns)
    ]
    return struct.pack("<HH", zenith, azimuth) + b"".join(depths)


def first_imu(t_ns: int, rate: Point, acceleration_g: Point) -> bytes:
    return struct.pack("<BBBBIBBQ6f", 5, 1, 1, 0, 0, 0, 6, t_ns, *rate, *acceleration_g)
