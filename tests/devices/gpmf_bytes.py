"""GPMF payloads as a camera writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def block(key: str, kind: str, size: int, count: int, content: bytes) -> bytes:
    whole = struct.pack(">4scBH", key.encode(), kind.encode(), size, count) + content
    return whole + bytes(-len(whole) % 4)


def nested(key: str, *inside: bytes) -> bytes:
    content = b"".join(inside)
    return struct.pack(">4sxBH", key.encode(), 1, len(content)) + content


def text(key: str, said: str) -> bytes:
    return block(key, "c", 1, len(said), said.encode("latin-1"))


def numbers(key: str, kind: str, rows: Sequence[Sequence[float]]) -> bytes:
    content = b"".join(struct.pack(f">{len(row)}{_LETTERS.get(kind, kind)}", *row) for row in rows)
    return block(key, kind, len(content) // max(len(rows), 1), len(rows), content)


_LETTERS = {"s": "h", "S": "H", "l": "i", "L": "I", "j": "q", "J": "Q"}


def stmp(us: int) -> bytes:
    return numbers("STMP", "J", [[us]])


def imu(
    us: int | None, rows: Sequence[Sequence[int]] = ((981, 0, 0),), *, orin: str = "ZXY", rates: Sequence[Sequence[int]] = ((10, 20, 30),)
) -> bytes:  # fmt: skip
    """ACCL in 0.01 m/s^2 and GYRO in 0.01 rad/s."""
    head = [stmp(us)] if us is not None else []
    head += [text("ORIN", orin)] if orin else []
    scale = numbers("SCAL", "s", [[100]])
    return nested("STRM", *head, scale, numbers("ACCL", "s", rows)) + nested(
        "STRM", *head, scale, numbers("GYRO", "s", rates)
    )


def gps5(
    us: int, rows: Sequence[Sequence[int]], *, lock: int = 3, at: str = "240506120000.000", msl: bool = False
) -> bytes:
    said = [
        stmp(us),
        numbers("GPSF", "L", [[lock]]),
        block("GPSU", "U", 16, 1, at.encode()),
        numbers("GPSP", "S", [[150]]),
    ]
    said += [text("GPSA", "MSLV")] if msl else []
    scale = numbers("SCAL", "l", [[10_000_000], [10_000_000], [1000], [1000], [100]])
    return nested("STRM", *said, scale, numbers("GPS5", "l", rows))


def gps9(us: int, days: int, ms: int, lock: int = 3) -> bytes:
    row = struct.pack(">7i2H", 471_000_000, 85_000_000, 450_000, 1500, 150, days, ms, 120, lock)
    scale = numbers("SCAL", "l", [[10_000_000], [10_000_000], [1000], [1000], [100], [1], [1000], [100], [1]])
    return nested("STRM", stmp(us), text("TYPE", "lllllllSS"), scale, block("GPS9", "?", len(row), 1, row))


PLACE = (471_000_000, 85_000_000, 450_000, 1500, 150)
