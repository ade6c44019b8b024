"""What stands where in the data packets of seven Hesai lidars: headers, blocks of channels, tails, checksums.

Little-endian throughout but for checksums' order of bits. Sources: Hesai's user manuals; HesaiTechnology/HesaiLidar_SDK_2.0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np

Model = Literal["Pandar40P", "Pandar64", "QT64", "QT128", "XT16", "XT32", "XT32M"]

_SINGLE, _DUAL = {0x33, 0x34, 0x37, 0x38}, {0x39, 0x3A, 0x3B, 0x3C, 0x3E}
RETURNS: Mapping[int, int] = dict.fromkeys(_SINGLE, 1) | dict.fromkeys(_DUAL, 2) | {0x3D: 3}
_BLOCK_MARK = b"\xff\xee"
_HEADER_MARK = b"\xee\xff"


@dataclass(frozen=True, slots=True)
class Tail:
    """Where fields stand, in bytes from the tail's start."""

    microseconds: int
    returns: int
    date: int
    sequence: int
    size: int  # without the sequence
    mode_flag: int | None = None


_TAIL_OLD = Tail(microseconds=10, returns=14, date=16, sequence=22, size=22)
_TAIL_QT64 = Tail(microseconds=12, returns=16, date=18, sequence=24, size=24)
_TAIL_XT = Tail(microseconds=19, returns=10, date=13, sequence=24, size=24)
_TAIL_QT128 = Tail(microseconds=21, returns=12, date=15, sequence=26, size=26, mode_flag=5)


@dataclass(frozen=True, slots=True)
class Packets:
    """The layout of one model's packets. version: major and minor where the header has them. between: from blocks to tail.

    sizes_bytes: without and with what is optional.
    """

    model: Model
    header_bytes: int
    blocks: int
    channels: int
    channel_bytes: int
    tail: Tail
    sizes_bytes: tuple[int, ...]
    version: tuple[int, int] | None = None
    between_bytes: int = 0
    marked_blocks: bool = False
    block_bytes: int = field(init=False)
    blocks_end: int = field(init=False)
    tail_start: int = field(init=False)
    _azimuths: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        mark, rest = 2 * self.marked_blocks, self.channels * self.channel_bytes
        worked_out = {
            "block_bytes": mark + 2 + rest,
            "blocks_end": self.header_bytes + self.blocks * (mark + 2 + rest),
            "tail_start": self.header_bytes + self.blocks * (mark + 2 + rest) + self.between_bytes,
            "_azimuths": struct.Struct("<" + f"{mark}xH{rest}x" * self.blocks),
        }
        for name, value in worked_out.items():
            object.__setattr__(self, name, value)

    @property
    def block_dtype(self) -> np.dtype[np.void]:
        """Fields azimuth (hundredths of a degree), channels (C,) of distance and reflectivity."""
        channel = np.dtype({
            "names": ["distance", "reflectivity"], "formats": ["<u2", "u1"], "offsets": [0, 2], "itemsize": self.channel_bytes,
        })  # fmt: skip
        start = 2 * self.marked_blocks
        return np.dtype({
            "names": ["azimuth", "channels"], "formats": ["<u2", (channel, (self.channels,))],
            "offsets": [start, start + 2], "itemsize": self.block_bytes,
        })  # fmt: skip

    def azimuths(self, data: bytes) -> tuple[int, ...]:
        return self._azimuths.unpack_from(data, self.header_bytes)


PACKETS: Mapping[str, Packets] = {
    each.model: each
    for each in (
        Packets("Pandar40P", 0, 10, 40, 3, _TAIL_OLD, (1262, 1266), marked_blocks=True),
        Packets("Pandar64", 8, 6, 64, 3, _TAIL_OLD, (1194, 1198)),
        Packets("QT64", 12, 4, 64, 4, _TAIL_QT64, (1072,), (3, 1)),
        Packets("QT128", 12, 2, 128, 4, _TAIL_QT128, (1095, 1127), (3, 2), between_bytes=4 + 17),
        Packets("XT16", 12, 8, 16, 4, _TAIL_XT, (568,), (6, 1)),
        Packets("XT32", 12, 8, 32, 4, _TAIL_XT, (1080,), (6, 1)),
        Packets("XT32M", 12, 6, 32, 4, _TAIL_XT, (820,), (6, 1)),
    )
}
_BY_SIZE: Mapping[int, Packets] = {size: each for each in PACKETS.values() for size in each.sizes_bytes}


class Head(NamedTuple):
    """t_ns: the packet's stamp, to which firing times relate. returns: 1 to 3 a firing, in adjacent blocks. flag: which loop a QT128 is in.

    sequence: None where the packet counts none. azimuths: of its blocks, hundredths of a degree.
    """

    t_ns: int
    returns: int
    flag: int
    unit_mm: int
    sequence: int | None
    azimuths: tuple[int, ...]


def packets_of(data: bytes) -> Packets | None:
    """The layout that a datagram's size and first bytes are of; None when it is no such Hesai's."""
    found = _BY_SIZE.get(len(data))
    if found is None:
        return None
    if found.marked_blocks:
        return found if data[:2] == _BLOCK_MARK else None
    lasers, blocks = (data[2], data[3]) if found.header_bytes == 8 else (data[6], data[7])
    same = data[:2] == _HEADER_MARK and (lasers, blocks) == (found.channels, found.blocks)
    return found if same and found.version in (None, (data[2], data[3])) else None


def read_head(data: bytes, packets: Packets) -> Head | str:
    """What a packet says beside its points, or why it is none of that model's."""
    fault = _fault(data, packets)
    if fault is not None:
        return fault
    start, tail = packets.tail_start, packets.tail
    us = int.from_bytes(data[start + tail.microseconds : start + tail.microseconds + 4], "little")
    second_ns = _second_ns(data[start + tail.date : start + tail.date + 6])
    if second_ns is None or us >= 1_000_000:
        return "a time that is none"
    azimuths = packets.azimuths(data)
    if max(azimuths) >= 36000:
        return "an azimuth beyond 360 degrees"
    at = start + tail.sequence
    return Head(
        t_ns=second_ns + us * 1000,
        returns=RETURNS[data[start + tail.returns]],
        flag=0 if tail.mode_flag is None else data[start + tail.mode_flag] & 1,
        unit_mm=_unit_mm(data, packets),
        sequence=int.from_bytes(data[at : at + 4], "little") if len(data) >= at + 4 else None,
        azimuths=azimuths,
    )


def _fault(data: bytes, packets: Packets) -> str | None:
    if len(data) not in packets.sizes_bytes:
        return "wrong size"
    if packets_of(data) is not packets:
        return "another model"
    returns = RETURNS.get(data[packets.tail_start + packets.tail.returns], 0)
    if not returns or packets.blocks % returns:
        return "unknown return mode"
    if packets.model == "QT128" and not _qt128_intact(data, packets):
        return "wrong CRC"
    if packets.marked_blocks and not _blocks_marked(data, packets):
        return "a broken block"
    return None if _unit_mm(data, packets) else "no unit of distance"


def _unit_mm(data: bytes, packets: Packets) -> int:
    """Of distance. The header says it; the Pandar40P has none and always 4 mm."""
    if packets.marked_blocks:
        return 4
    return data[5] if packets.header_bytes == 8 else data[9]


def _blocks_marked(data: bytes, packets: Packets) -> bool:
    return all(data[at : at + 2] == _BLOCK_MARK for at in range(0, packets.blocks_end, packets.block_bytes))


def _qt128_intact(data: bytes, packets: Packets) -> bool:
    """Of the three CRCs those of the blocks and of the tail; the one between covers what is not decoded."""
    end, start = packets.blocks_end, packets.tail_start
    tail_end = start + packets.tail.size + 4
    parts = ((packets.header_bytes, end), (start, tail_end))
    return all(int.from_bytes(data[to : to + 4], "little") == crc32_mpeg2(data[from_:to]) for from_, to in parts)


_LAST_DATE: list[tuple[bytes, int | None]] = [(b"", None)]  # a date holds for thousands of packets


def _second_ns(date: bytes) -> int | None:
    """Year, month, day, hour, minute, second, UTC; or, from two zero bytes on, Unix seconds big-endian. None when it is none.

    Years count from 2000 below 70 and from 1900 above: firmware differs in what it calls zero.
    """
    known, second_ns = _LAST_DATE[0]
    if known == date:
        return second_ns
    if date[:2] == b"\0\0":
        found: int | None = int.from_bytes(date[2:], "big") * 1_000_000_000
    else:
        year = date[0] + (2000 if date[0] < 70 else 1900)
        try:
            month, day, hour, minute, second = date[1:]
            found = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000_000
        except ValueError:
            found = None
    _LAST_DATE[0] = date, found
    return found


_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32_mpeg2(data: bytes) -> int:
    """CRC-32/MPEG-2: polynomial 0x04C11DB7, not reflected, initial value all ones, no final XOR.

    The mirror image of zlib's CRC over mirrored bytes, which is compiled.
    """
    mirrored = zlib.crc32(data.translate(_REVERSED_BITS)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED_BITS), "big")
