"""The records that an MCAP file consists of (mcap.dev/spec), as far as finding, counting and finishing them needs.

A file is magic, records, magic. A record is an opcode, its content's length, and its content; a chunk's content ends with records.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.opcode import Opcode

RECORD = struct.Struct("<BQ")
# A chunk: first and last log time, size, CRC, length of the compression's name. Of an uncompressed one that is 0, and the data's length follows.
CHUNK_HEAD = struct.Struct("<QQQII")
CHUNK = struct.Struct(f"{CHUNK_HEAD.format}Q")
MESSAGE = struct.Struct("<HIQQ")
# Of a record's content.
_LEAST_BYTES: dict[int, int] = {Opcode.CHUNK: CHUNK.size, Opcode.MESSAGE_INDEX: 6, Opcode.MESSAGE: MESSAGE.size}
_WINDOW_BYTES = 8 << 10


class Record(NamedTuple):
    opcode: int
    offset: int
    length: int  # of its content, behind opcode and length

    @property
    def end(self) -> int:
        return self.offset + RECORD.size + self.length

    @property
    def is_plausible(self) -> bool:
        return 0 < self.opcode <= Opcode.DATA_END and self.length >= _LEAST_BYTES.get(self.opcode, 0)


def records_in(data: bytes) -> Iterator[tuple[Record, bytes]]:
    """The whole records of a chunk's or summary's bytes."""
    offset = 0
    while offset + RECORD.size <= len(data):
        opcode, length = RECORD.unpack_from(data, offset)
        record = Record(opcode, offset, length)
        if record.end > len(data) or not record.is_plausible:
            return
        yield record, data[offset + RECORD.size : record.end]
        offset = record.end


def record_at(file: BinaryIO, offset: int, size: int) -> Record | None:
    if offset + RECORD.size > size:
        return None
    opcode, length = RECORD.unpack(read_at(file, offset, RECORD.size))
    record = Record(opcode, offset, length)
    return record if record.end <= size and record.is_plausible else None


class Window:
    """A file's bytes, read a few kB at a time: the records between two chunks lie close together."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._start, self._bytes = file, size, 0, b""

    def read(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._bytes):
            self._start, at = offset, 0
            self._bytes = read_at(self._file, offset, max(length, _WINDOW_BYTES))
        return self._bytes[at : at + length]

    def record_at(self, offset: int) -> Record | None:
        if offset + RECORD.size > self._size:
            return None
        opcode, length = RECORD.unpack(self.read(offset, RECORD.size))
        record = Record(opcode, offset, length)
        return record if record.end <= self._size and record.is_plausible else None


def read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, offset) if hasattr(os, "pread") else _seek_and_read(file, offset, length)


def _seek_and_read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def size_of(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def bytes_of(builder: RecordBuilder) -> bytes:
    """What was written so far; the builder begins anew."""
    written: bytes = builder.end()  # type: ignore[no-untyped-call]
    return written


def stream_of(content: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(content))
