"""Makes an MCAP file that its writer left unfinished whole again, in place and without reading most of it.

The file (mcap.dev/spec) is a row of records, each with its length in front. Those are walked from chunk to chunk; how many messages a
chunk holds stands in the MessageIndex records behind it. Only the last chunk is opened: its CRC is checked, and its index is made
anew, since the kill may have fallen between the two. A chunk that is cut off gives its whole messages to a new chunk. Then the
torn tail is cut off, and summary and footer are appended.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC

from capture.errors import CaptureError

_RECORD = struct.Struct("<BQ")
# An uncompressed chunk: first and last log time, size, CRC, length of the compression's empty name, length of the data.
_CHUNK = struct.Struct("<QQQIIQ")
_MESSAGE = struct.Struct("<HIQQ")
_FOOTER_BYTES = _RECORD.size + 20


@dataclass(slots=True)
class FileSummary:
    """What a finished file holds. counts: topic -> messages. intact: it was finished already, nothing had to be done.

    cut_bytes: how much of a torn tail was taken off; rescued: how many messages of it were kept.
    """

    counts: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    intact: bool = True
    cut_bytes: int = 0
    rescued: int = 0

    @property
    def messages(self) -> int:
        return sum(self.counts.values())


class _Record(NamedTuple):
    opcode: int
    offset: int
    length: int  # of its content, behind opcode and length

    @property
    def end(self) -> int:
        return self.offset + _RECORD.size + self.length


@dataclass(slots=True)
class _Contents:
    """What was found while walking a file.

    torn: where the first record begins that is not whole. cut: where what is kept ends; the last chunk's index may lie between the two.
    damaged: whether whole records lie behind ``torn`` that cannot be trusted.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    counts: list[dict[int, int]] = field(default_factory=list)  # channel -> messages, of each chunk
    torn: int = 0
    cut: int = 0
    damaged: bool = False


def finish_file(path: Path) -> FileSummary:
    """Finishes an MCAP file in place; an already finished one is only read. Raises CaptureError when it is no such file.

    A tail that holds whole messages is laid aside on the disk until its messages are safe again, so that a second kill loses nothing.
    """
    with path.open("r+b") as file:
        _put_back_tail(file, path)
        finished = _read_summary(file)
        if finished is not None:
            return finished
        size = _size(file)
        contents = _walk(file, path)
        tail = _Tail(file, contents.torn, size)
        summary = FileSummary(intact=False, cut_bytes=size - contents.torn, rescued=len(tail.messages))
        if tail.messages or contents.damaged:
            _lay_aside(file, path, contents, size)
        file.truncate(contents.cut)
        file.seek(contents.cut)
        if contents.cut == 0:
            file.write(_header())
        _rewrite_last_index(file, contents)
        if tail.messages:
            _append_chunk(file, contents, tail)
        _append_summary(file, contents, summary)
        file.flush()
        os.fsync(file.fileno())
    for aside in _asides(path):
        aside.unlink()
    return summary


def damaged_parts(path: Path) -> list[Path]:
    """Bytes that repairs have taken off a file and could not read: chunks whose CRC was wrong."""
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


def _read_summary(file: BinaryIO) -> FileSummary | None:
    """What a finished file's own summary says; None when it has none."""
    size = _size(file)
    if size < 2 * len(MCAP0_MAGIC) + _FOOTER_BYTES:
        return None
    file.seek(size - len(MCAP0_MAGIC) - _FOOTER_BYTES)
    tail = file.read()
    if not tail.endswith(MCAP0_MAGIC) or tail[: _RECORD.size] != _RECORD.pack(Opcode.FOOTER, 20):
        return None
    summary_start, _, crc = struct.unpack_from("<QQI", tail, _RECORD.size)
    if not 0 < summary_start < size:
        return None
    file.seek(summary_start)
    section = file.read(size - len(MCAP0_MAGIC) - 4 - summary_start)
    if crc and zlib.crc32(section) != crc:
        return None
    summary, topics = FileSummary(), dict[int, str]()
    for record, content in _records_in(section[: -(_FOOTER_BYTES - 4)]):
        if record.opcode == Opcode.CHANNEL:
            channel = Channel.read(_stream(content))
            topics[channel.id] = channel.topic
            summary.counts[channel.topic] = 0
        elif record.opcode == Opcode.STATISTICS:
            statistics = Statistics.read(_stream(content))
            summary.start_ns, summary.end_ns = statistics.message_start_time, statistics.message_end_time
            summary.counts.update({topics[id_]: count for id_, count in statistics.channel_message_counts.items()})
    return summary


def _walk(file: BinaryIO, path: Path) -> _Contents:
    """Every whole record up to the first torn one, or to the end of the data section."""
    size = _size(file)
    contents = _Contents()
    file.seek(0)
    magic = file.read(len(MCAP0_MAGIC))
    if magic != MCAP0_MAGIC[: len(magic)]:
        raise CaptureError(f"{path} is not an MCAP file: it begins with {magic[:8].hex(' ')}")
    head = _record_at(file, len(MCAP0_MAGIC), size)
    if head is None or head.opcode != Opcode.HEADER:
        return contents
    contents.torn = contents.cut = head.end
    while (record := _record_at(file, contents.torn, size)) is not None and record.opcode != Opcode.DATA_END:
        _note(file, record, contents)
        contents.torn = record.end
    while contents.chunks and not _is_whole(file, contents.chunks[-1]):
        contents.torn = contents.chunks.pop().chunk_start_offset
        contents.counts.pop()
        contents.damaged = True
    if contents.chunks:
        contents.cut = contents.chunks[-1].chunk_start_offset + contents.chunks[-1].chunk_length
        _learn_channels(file, contents.chunks[0], contents)
    return contents


def _note(file: BinaryIO, record: _Record, contents: _Contents) -> None:
    if record.opcode == Opcode.CHUNK:
        start_ns, end_ns, uncompressed, _, _, length = _CHUNK.unpack(
            _read(file, record.offset + _RECORD.size, _CHUNK.size)
        )
        contents.chunks.append(
            ChunkIndex(
                chunk_length=record.end - record.offset,
                chunk_start_offset=record.offset,
                compression="",
                compressed_size=length,
                message_end_time=end_ns,
                message_index_length=0,
                message_index_offsets={},
                message_start_time=start_ns,
                uncompressed_size=uncompressed,
            )
        )
        contents.counts.append({})
    elif record.opcode == Opcode.MESSAGE_INDEX and contents.chunks:
        channel, entries_bytes = struct.unpack("<HI", _read(file, record.offset + _RECORD.size, 6))
        contents.chunks[-1].message_index_offsets[channel] = record.offset
        contents.chunks[-1].message_index_length += record.end - record.offset
        contents.counts[-1][channel] = entries_bytes // 16


def _is_whole(file: BinaryIO, chunk: ChunkIndex) -> bool:
    """A power cut may leave a chunk of the right length whose blocks never reached the disk."""
    at = chunk.chunk_start_offset + _RECORD.size
    crc: int = _CHUNK.unpack(_read(file, at, _CHUNK.size))[3]
    return zlib.crc32(_read(file, at + _CHUNK.size, chunk.compressed_size)) == crc


def _learn_channels(file: BinaryIO, chunk: ChunkIndex, contents: _Contents) -> None:
    """Schemas and channels stand in the first chunk, which the writer closes before it takes a packet."""
    data = _read(file, chunk.chunk_start_offset + _RECORD.size + _CHUNK.size, chunk.compressed_size)
    for record, content in _records_in(data):
        if record.opcode == Opcode.SCHEMA:
            schema = Schema.read(_stream(content))
            contents.schemas[schema.id] = schema
        elif record.opcode == Opcode.CHANNEL:
            channel = Channel.read(_stream(content))
            contents.channels[channel.id] = channel


class _Tail:
    """The whole records of a chunk that was cut off."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.messages: list[bytes] = []
        self.definitions: list[bytes] = []
        head = _read(file, start, _RECORD.size) if start else b""
        if len(head) < _RECORD.size or head[0] != Opcode.CHUNK:
            return
        if start + _RECORD.size + _RECORD.unpack(head)[1] <= size:
            return  # whole in length, wrong in its CRC: no message of it can be trusted
        data = _read(file, start, size - start)[_RECORD.size + _CHUNK.size :]
        for record, _ in _records_in(data):
            whole = data[record.offset : record.end]
            (self.messages if record.opcode == Opcode.MESSAGE else self.definitions).append(whole)


def _append_chunk(file: BinaryIO, contents: _Contents, tail: _Tail) -> None:
    data = b"".join((*tail.definitions, *tail.messages))
    times = [_MESSAGE.unpack_from(message, _RECORD.size)[2] for message in tail.messages]
    chunk = Chunk("", data, max(times), min(times), zlib.crc32(data), len(data))
    builder = RecordBuilder()
    chunk.write(builder)
    offset = file.tell()
    written = _bytes(builder)
    file.write(written)
    contents.chunks.append(ChunkIndex(len(written), offset, "", len(data), max(times), 0, {}, min(times), len(data)))
    contents.counts.append({})
    if not contents.channels:
        file.flush()
        _learn_channels(file, contents.chunks[-1], contents)
        file.seek(0, os.SEEK_END)
    _write_index(file, contents, data)


def _rewrite_last_index(file: BinaryIO, contents: _Contents) -> None:
    """The index of the last chunk, made anew from its messages."""
    if contents.chunks:
        last = contents.chunks[-1]
        data = _read(file, last.chunk_start_offset + _RECORD.size + _CHUNK.size, last.compressed_size)
        file.seek(0, os.SEEK_END)
        _write_index(file, contents, data)


def _write_index(file: BinaryIO, contents: _Contents, data: bytes) -> None:
    chunk, indexes = contents.chunks[-1], dict[int, MessageIndex]()
    for record, content in _records_in(data):
        if record.opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = _MESSAGE.unpack_from(content)
            indexes.setdefault(channel, MessageIndex(channel, [])).records.append((log_ns, record.offset))
    builder, start = RecordBuilder(), file.tell()
    chunk.message_index_offsets.clear()
    for channel, index in indexes.items():
        chunk.message_index_offsets[channel] = start + builder.count
        index.write(builder)
    contents.counts[-1] = {channel: len(index.records) for channel, index in indexes.items()}
    chunk.message_index_length = builder.count
    file.write(_bytes(builder))


def _append_summary(file: BinaryIO, contents: _Contents, summary: FileSummary) -> None:
    totals: dict[int, int] = {}
    for counts in contents.counts:
        for channel, count in counts.items():
            totals[channel] = totals.get(channel, 0) + count
    starts = [chunk.message_start_time for chunk in contents.chunks]
    summary.start_ns = min(starts, default=0)
    summary.end_ns = max((chunk.message_end_time for chunk in contents.chunks), default=0)
    summary.counts = {channel.topic: totals.get(id_, 0) for id_, channel in contents.channels.items()}
    statistics = Statistics(
        attachment_count=0,
        channel_count=len(contents.channels),
        channel_message_counts=totals,
        chunk_count=len(contents.chunks),
        message_count=sum(totals.values()),
        message_end_time=summary.end_ns,
        message_start_time=summary.start_ns,
        metadata_count=0,
        schema_count=len(contents.schemas),
    )
    builder = RecordBuilder()
    DataEnd(0).write(builder)
    file.write(_bytes(builder))
    start, offsets = file.tell(), list[SummaryOffset]()
    groups: dict[Opcode, Sequence[McapRecord]] = {
        Opcode.SCHEMA: list(contents.schemas.values()),
        Opcode.CHANNEL: list(contents.channels.values()),
        Opcode.STATISTICS: [statistics],
        Opcode.CHUNK_INDEX: contents.chunks,
    }
    for opcode, records in groups.items():
        group_start = builder.count
        for record in records:
            record.write(builder)
        offsets.append(SummaryOffset(opcode, start + group_start, builder.count - group_start))
    offsets_start = start + builder.count
    for offset in offsets:
        offset.write(builder)
    section = _bytes(builder)
    crc = zlib.crc32(section + struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_start))
    Footer(start, offsets_start, crc).write(builder)
    file.write(section + _bytes(builder) + MCAP0_MAGIC)


def _header() -> bytes:
    builder = RecordBuilder()
    Header("ros2", "fieldrig").write(builder)
    return MCAP0_MAGIC + _bytes(builder)


def _lay_aside(file: BinaryIO, path: Path, contents: _Contents, size: int) -> None:
    kind, start = ("damaged", contents.torn) if contents.damaged else ("torn", contents.cut)
    aside = path.with_name(f"{path.name}.{kind}-{start}")
    partial = aside.with_name(aside.name + ".tmp")
    with partial.open("wb") as kept:
        kept.write(_read(file, start, size - start))
        kept.flush()
        os.fsync(kept.fileno())
    partial.replace(aside)


def _put_back_tail(file: BinaryIO, path: Path) -> None:
    """After a repair that was itself killed: the file as it was before it."""
    for aside in _asides(path):
        offset = int(aside.name.rpartition("-")[2])
        file.truncate(offset)
        file.seek(offset)
        file.write(aside.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def _asides(path: Path) -> list[Path]:
    return [aside for aside in path.parent.glob(f"{path.name}.torn-*") if aside.suffix != ".tmp"]


def _records_in(data: bytes) -> Iterator[tuple[_Record, bytes]]:
    """The whole records of a chunk's or summary's bytes."""
    offset = 0
    while offset + _RECORD.size <= len(data):
        opcode, length = _RECORD.unpack_from(data, offset)
        record = _Record(opcode, offset, length)
        if record.end > len(data) or not 0 < opcode <= Opcode.DATA_END:
            return
        yield record, data[offset + _RECORD.size : record.end]
        offset = record.end


def _record_at(file: BinaryIO, offset: int, size: int) -> _Record | None:
    if offset + _RECORD.size > size:
        return None
    opcode, length = _RECORD.unpack(_read(file, offset, _RECORD.size))
    record = _Record(opcode, offset, length)
    return record if record.end <= size and 0 < record.opcode <= Opcode.DATA_END else None


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, offset) if hasattr(os, "pread") else _seek_and_read(file, offset, length)


def _seek_and_read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _bytes(builder: RecordBuilder) -> bytes:
    """What was written so far; the builder begins anew."""
    written: bytes = builder.end()  # type: ignore[no-untyped-call]
    return written


def _stream(content: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(content))
