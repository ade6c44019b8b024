"""Hesai packets, written field by field from the layout tables of the user manuals; nothing here comes from devices/."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Block = tuple[int, Sequence[tuple[int, int]]]  # azimuth in 0.01 deg; distance in units, reflectivity of each channel


@dataclass(frozen=True)
class Shape:
    blocks: int
    channels: int
    size: int
    unit_mm: int = 4


SHAPES = {
    "Pandar40P": Shape(10, 40, 1266),
    "Pandar64": Shape(6, 64, 1198),
    "QT64": Shape(4, 64, 1072),
    "QT128": Shape(2, 128, 1127),
    "XT16": Shape(8, 16, 568),
    "XT32": Shape(8, 32, 1080),
    "XT32M": Shape(6, 32, 820, unit_mm=5),
}


def hesai_packet(
    model: str,
    blocks: Sequence[Block],
    t_ns: int,
    *,
    returns: int = 0x37,
    sequence: int = 0,
    flag: int = 1,
    rpm: int = 600,
) -> bytes:
    """t_ns: UTC, whole microseconds."""
    moment = datetime.fromtimestamp(t_ns // 1_000_000_000, UTC)
    date = bytes([moment.year - 1900, moment.month, moment.day, moment.hour, moment.minute, moment.second])
    us = struct.pack("<I", t_ns % 1_000_000_000 // 1000)
    count, speed = struct.pack("<I", sequence & 0xFFFFFFFF), struct.pack("<H", rpm)
    body = b"".join(hesai_block(model, block) for block in blocks)
    head = hesai_head(model)
    if model in {"Pandar40P", "Pandar64"}:
        return head + body + bytes(8) + speed + us + bytes([returns, 0x42]) + date + count
    if model == "QT64":
        return head + body + bytes(10) + speed + us + bytes([returns, 0x42]) + date + count
    if model == "QT128":
        tail = bytes(5) + bytes([flag]) + bytes(6) + bytes([returns]) + speed + date + us + b"\x42" + count
        return head + body + crc_mpeg2(body) + bytes(17) + tail + crc_mpeg2(tail) + bytes(32)
    return head + body + bytes(10) + bytes([returns]) + speed + date + us + b"\x42" + count


def hesai_head(model: str) -> bytes:
    shape = SHAPES[model]
    if model == "Pandar40P":
        return b""
    if model == "Pandar64":
        return bytes([0xEE, 0xFF, shape.channels, shape.blocks, 0, shape.unit_mm, 0, 0])
    major, minor = {"QT64": (3, 1), "QT128": (3, 2)}.get(model, (6, 1))
    flags = 1 | 4 | 8 | 16 if model == "QT128" else 1
    return bytes([0xEE, 0xFF, major, minor, 0, 0, shape.channels, shape.blocks, 1, shape.unit_mm, 1, flags])


def hesai_block(model: str, block: Block) -> bytes:
    azimuth, channels = block
    rest = b"" if model in {"Pandar40P", "Pandar64"} else b"\0"
    mark = b"\xff\xee" if model == "Pandar40P" else b""
    return mark + struct.pack("<H", azimuth) + b"".join(struct.pack("<HB", *each) + rest for each in channels)


def crc_mpeg2(data: bytes) -> bytes:
    """Bit by bit, as the standard defines it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
    return struct.pack("<I", register)


def angles_csv(model: str) -> str:
    """Made-up beams, evenly spaced, the highest first, with azimuth offsets that differ."""
    count = SHAPES[model].channels
    rows = [f"{n + 1},{20 - 40 * n / (count - 1):.3f},{(n % 4 - 1.5) * 2:.3f}" for n in range(count)]
    return "Channel,Elevation,Azimuth\n" + "\n".join(rows) + "\n"


def turn_packets(
    model: str, turns: float, *, t_ns: int, step: int = 40, distance: int = 2500, period_us: int | None = None
) -> list[bytes]:
    """Single returns of a head that turns ``step`` hundredths of a degree a block, everything at one distance."""
    shape = SHAPES[model]
    channels = [(distance, 50)] * shape.channels
    period_us = round(step / 36000 * 100_000 * shape.blocks) if period_us is None else period_us
    return [
        hesai_packet(
            model,
            [((number * shape.blocks + block) * step % 36000, channels) for block in range(shape.blocks)],
            t_ns + number * period_us * 1000,
            sequence=number,
        )
        for number in range(round(turns * 36000 / step / shape.blocks))
    ]
