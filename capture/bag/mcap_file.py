"""The records that an MCAP file consists of (mcap.dev/spec), as far as finding, counting and finishing them needs.

A file is magic, records, magic. A record is an opcode, its content's length, and its content; a chunk's content ends with records.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Statistics
from mcap.writer import MCAP0_MAGIC

from capture.errors import CaptureError

RECORD = struct.Struct("<BQ")
# An uncompressed chunk: first and last log time, size, CRC, length of the compression's empty name, length of the data.
CHUNK = struct.Struct("<QQQIIQ")
MESSAGE = struct.Struct("<HIQQ")
_FOOTER_BYTES = RECORD.size + 20
_LEAST_BYTES = {Opcode.CHUNK: CHUNK.size, Opcode.MESSAGE_INDEX: 6}  # of their content
_WINDOW_BYTES = 8 << 10


# What the mcap package raises when it meets bytes that are not what they were.
_DAMAGE = (McapError, ValueError, KeyError, struct.error, OSError, OverflowError, MemoryError)


@dataclass(slots=True)
class FileSummary:
    """What a finished file holds. counts: topic -> messages. intact: it was finished already, nothing had to be done.

    cut_bytes: how much of a torn tail was taken off; rescued: how many messages of it were kept; kept_bytes: up to where nothing changed.
    """

    counts: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    intact: bool = True
    cut_bytes: int = 0
    rescued: int = 0
    kept_bytes: int = 0

    @property
    def messages(self) -> int:
        return sum(self.counts.values())


class StoredMessage(NamedTuple):
    """A message as it lies in a file."""

    topic: str
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes


class Record(NamedTuple):
    opcode: int
    offset: int
    length: int  # of its content, behind opcode and length

    @property
    def end(self) -> int:
        return self.offset + RECORD.size + self.length


def read_summary(file: BinaryIO) -> FileSummary | None:
    """What a finished file's own summary says; None when it has none."""
    section = summary_section(file)
    if section is None:
        return None
    summary, topics = FileSummary(), dict[int, str]()
    for record, content in records_in(section):
        if record.opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            topics[channel.id] = channel.topic
            summary.counts[channel.topic] = 0
        elif record.opcode == Opcode.STATISTICS:
            statistics = Statistics.read(stream_of(content))
            summary.start_ns, summary.end_ns = statistics.message_start_time, statistics.message_end_time
            summary.counts.update({topics[id_]: count for id_, count in statistics.channel_message_counts.items()})
    return summary


def summary_section(file: BinaryIO) -> bytes | None:
    """The records of a finished file's summary; None when it has none, or its CRC is wrong."""
    size = size_of(file)
    if size < 2 * len(MCAP0_MAGIC) + _FOOTER_BYTES:
        return None
    file.seek(size - len(MCAP0_MAGIC) - _FOOTER_BYTES)
    tail = file.read()
    if not tail.endswith(MCAP0_MAGIC) or tail[: RECORD.size] != RECORD.pack(Opcode.FOOTER, 20):
        return None
    start, _, crc = struct.unpack_from("<QQI", tail, RECORD.size)
    if not 0 < start < size:
        return None
    file.seek(start)
    section = file.read(size - len(MCAP0_MAGIC) - 4 - start)
    if crc and zlib.crc32(section) != crc:
        return None
    return section[: -(_FOOTER_BYTES - 4)]


def messages_in(
    path: Path,
    topics: Collection[str],
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    newest_first: bool = False,
) -> Iterator[StoredMessage]:
    """A finished file's messages of log times in [start_ns, end_ns), in their order; one chunk is in memory, its CRC checked.

    Raises CaptureError at a damaged place.
    """
    if not topics or (start_ns is not None and end_ns is not None and start_ns >= end_ns):
        return
    start_ns = None if start_ns is None else max(start_ns, 0)
    with path.open("rb") as file:
        try:
            reader = SeekingReader(file, validate_crcs=True)
            found = reader.iter_messages(list(topics), starting_at=start_ns, ending_before=end_ns, reverse=newest_first)
            for _, channel, message in found:
                yield StoredMessage(
                    channel.topic, message.sequence, message.log_time, message.publish_time, message.data
                )
        except _DAMAGE as error:
            raise CaptureError(f"{path} is damaged: {error}; `fieldrig verify` says what is left") from None


def records_in(data: bytes) -> Iterator[tuple[Record, bytes]]:
    """The whole records of a chunk's or summary's bytes."""
    offset = 0
    while offset + RECORD.size <= len(data):
        opcode, length = RECORD.unpack_from(data, offset)
        record = Record(opcode, offset, length)
        if record.end > len(data) or not 0 < opcode <= Opcode.DATA_END:
            return
        yield record, data[offset + RECORD.size : record.end]
        offset = record.end


def record_at(file: BinaryIO, offset: int, size: int) -> Record | None:
    if offset + RECORD.size > size:
        return None
    opcode, length = RECORD.unpack(read_at(file, offset, RECORD.size))
    record = Record(opcode, offset, length)
    return record if record.end <= size and 0 < record.opcode <= Opcode.DATA_END else None


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
        least = _LEAST_BYTES.get(opcode, 0)
        is_whole = offset + RECORD.size + length <= self._size and 0 < opcode <= Opcode.DATA_END and length >= least
        return Record(opcode, offset, length) if is_whole else None


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
