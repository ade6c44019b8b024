"""Chunks of an MCAP file that are whole, as their CRCs say, wherever they lie between bytes that are no longer what they were."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from isal.isal_zlib import crc32

from capture.bag.mcap_records import CHUNK_HEAD, RECORD, size_of
from capture.bag.stored_chunk import chunk_data, unpacked

# A chunk's opcode and its length, which is below 4 GB: most bytes cannot be the beginning of one.
_BEGINNING = re.compile(rb"\x06[\s\S]{4}\0{4}")
_RECORDS_BYTES_MAX = 512 << 20


class WholeChunk(NamedTuple):
    """records: schemas, channels and messages, unpacked; in the file the chunk lies in [start, end)."""

    start: int
    end: int
    records: bytes


def whole_chunks(data: bytes | mmap.mmap, start: int = 0) -> Iterator[WholeChunk]:
    """In their order, from byte ``start`` on. A chunk without a CRC is none: nothing tells whether it is whole."""
    while (found := _BEGINNING.search(data, start)) is not None:
        chunk = _chunk_at(data, found.start())
        start = found.start() + 1
        if chunk is not None:
            yield chunk
            start = chunk.end


def _chunk_at(data: bytes | mmap.mmap, start: int) -> WholeChunk | None:
    _, length = RECORD.unpack_from(data, start)
    end = start + RECORD.size + length
    if length < CHUNK_HEAD.size + 8 or end > len(data):
        return None
    _, _, size, crc, name_bytes = CHUNK_HEAD.unpack_from(data, start + RECORD.size)
    if not crc or name_bytes > 4 or size > _RECORDS_BYTES_MAX:
        return None
    try:
        records = unpacked(*chunk_data(data[start + RECORD.size : end]), size)
    except (ValueError, struct.error):
        return None
    return WholeChunk(start, end, records) if len(records) == size and crc32(records) == crc else None


def holds_whole_chunk(file: BinaryIO, start: int) -> bool:
    """Whether a whole chunk begins in a file at ``start`` or behind it."""
    if size_of(file) <= start:
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return next(whole_chunks(data, start), None) is not None
