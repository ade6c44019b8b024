"""GPMF: how GoPro cameras write what their other sensors measure. Source: gopro/gpmf-parser's description of the format.

A payload, about one a second, is a tree of blocks: a key of four letters, a type, a sample's size, how many, and the samples, big-endian,
filled up to four bytes. A block of type 0 holds blocks. What one sensor measured is a STRM, whose last key is the measurement and whose
others say its scale, units and time.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct(">4scBH")
_NESTED = b"\0"
_NUMBERS = {
    b"b": ">i1", b"B": ">u1", b"s": ">i2", b"S": ">u2", b"l": ">i4", b"L": ">u4", b"j": ">i8", b"J": ">u8",
    b"f": ">f4", b"d": ">f8",
}  # fmt: skip
_FIXED_POINT = {b"q": (">i4", 1 << 16), b"Q": (">i8", 1 << 32)}
_MEASURED_MAX = 1 << 20  # samples a payload; more is a broken count
_STAMP_US_MAX = 1 << 50  # 36 years since the camera's recording began; more is a broken stamp
_FIX_COLUMNS = {"GPS5": 5, "GPS9": 9}


@dataclass(frozen=True, slots=True)
class Block:
    """whole: its bytes with its head and filling. content: without."""

    key: str
    type: bytes
    size: int
    count: int
    content: bytes
    whole: bytes


@dataclass(slots=True)
class Measured:
    """What one sensor measured during a payload. values: (samples, channels) float64, scaled; None where they are no numbers.

    stamp_us: the first sample's time on the camera's clock, where the camera says it. said: the STRM's other keys as they stand.
    """

    key: str
    values: NDArray[np.float64] | None
    stamp_us: int | None
    said: dict[str, Block] = field(default_factory=dict)

    def text(self, key: str) -> str:
        block = self.said.get(key)
        return "" if block is None else block.content[: block.size * block.count].split(b"\0")[0].decode("latin-1")

    def number(self, key: str) -> float | None:
        block = self.said.get(key)
        values = None if block is None else _numbers(block)
        return None if values is None or not values.size else float(values.flat[0])


def blocks(data: bytes) -> Iterator[Block]:
    """Raises ValueError where the data is no GPMF."""
    at = 0
    while at < len(data):
        if not data[at:].strip(b"\0"):  # filling at the end
            return
        if at + _HEAD.size > len(data):
            raise ValueError("cut short")
        key, kind, size, count = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size * count
        if end > len(data) or not key.isalnum():
            raise ValueError("cut short, or no GPMF")
        filled = min(end + -end % 4, len(data)) if at % 4 == 0 else end
        yield Block(key.decode(), kind, size, count, data[at + _HEAD.size : end], data[at:filled])
        at = filled


def streams(payload: bytes) -> Iterator[Block]:
    """The STRM blocks of a payload, of all of its devices. Raises ValueError."""
    for block in blocks(payload):
        if block.key == "STRM":
            yield block
        elif block.type == _NESTED:
            yield from streams(block.content)


def device_name(payload: bytes) -> str:
    """The camera's model. Raises ValueError."""
    for block in blocks(payload):
        if block.key == "DEVC":
            for inner in blocks(block.content):
                if inner.key == "DVNM":
                    return inner.content.split(b"\0")[0].decode("latin-1")
    return ""


def measured(stream: Block) -> Measured | None:
    """None for a STRM without samples. Raises ValueError where it is broken."""
    inside = list(blocks(stream.content))
    if not inside or not inside[-1].count:
        return None
    last = inside[-1]
    said = {block.key: block for block in inside[:-1]}
    values = _numbers(last, said.get("TYPE"))
    if values is not None and (scale := said.get("SCAL")) is not None:
        values = _scaled(values, scale)
    stamp = said.get("STMP")
    stamp_us = int.from_bytes(stamp.content[:8], "big") if stamp is not None and len(stamp.content) >= 8 else None
    if stamp_us is not None and stamp_us > _STAMP_US_MAX:
        raise ValueError("a stamp beyond reason")
    columns = _FIX_COLUMNS.get(last.key, 0)
    if columns and values is not None and (values.shape[1] < columns or not np.isfinite(values).all()):
        raise ValueError("fixes that are none")
    return Measured(last.key, values, stamp_us, said)


def utc_ns(text: str) -> int | None:
    """GPSU's ``yymmddhhmmss.sss`` -> ns since 1970; None where it is no time."""
    try:
        moment = dt.datetime.strptime(text[:12], "%y%m%d%H%M%S").replace(tzinfo=dt.UTC)
        fraction = text[12:].lstrip(".")
        return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or "0")
    except ValueError:
        return None


def _numbers(block: Block, layout: Block | None = None) -> NDArray[np.float64] | None:
    """(samples, channels); None where the type holds no plain numbers."""
    if block.count > _MEASURED_MAX:
        raise ValueError("a count beyond reason")
    if block.type == b"?":
        return _structured(block, layout)
    kind, divisor = _FIXED_POINT.get(block.type, (_NUMBERS.get(block.type, ""), 1))
    if not kind:
        return None
    width = np.dtype(kind).itemsize
    if not block.size or block.size % width:
        raise ValueError("a sample's size does not fit its type")
    return np.frombuffer(block.content, dtype=kind).reshape(block.count, -1).astype(np.float64) / divisor


def _structured(block: Block, layout: Block | None) -> NDArray[np.float64] | None:
    """Samples of several types, as TYPE lists them: GPS9's lllllllSS."""
    if layout is None:
        return None
    kinds = [_NUMBERS.get(bytes([letter])) for letter in layout.content.rstrip(b"\0")]
    if not kinds or None in kinds:
        return None
    record = np.dtype([(str(index), str(kind)) for index, kind in enumerate(kinds)])
    if record.itemsize != block.size:
        return None
    rows = np.frombuffer(block.content, dtype=record)
    return np.stack([rows[name].astype(np.float64) for name in record.names or ()], axis=1)


def _scaled(values: NDArray[np.float64], scale: Block) -> NDArray[np.float64]:
    divisors = _numbers(scale)
    if divisors is None or not divisors.all() or divisors.size not in (1, values.shape[1]):
        raise ValueError("a scale that does not fit its samples")
    return values / divisors.reshape(-1)
