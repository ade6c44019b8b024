"""Makes an MCAP file that its writer left unfinished whole again, in place and without reading most of it.

The file (mcap.dev/spec) is a row of records, each with its length in front. Those are walked from chunk to chunk; how many messages a
chunk holds stands in the MessageIndex records behind it. Only the last chunk is opened: its CRC is checked, and its index is made
anew, since the kill may have fallen between the two. A chunk that is cut off gives its whole messages to a new chunk. Then the
torn tail is cut off, and summary and footer are appended.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, MessageIndex, Schema
from mcap.writer import MCAP0_MAGIC

from capture.bag.mcap_file import (
    CHUNK,
    MESSAGE,
    RECORD,
    FileSummary,
    Record,
    Window,
    bytes_of,
    read_at,
    read_summary,
    record_at,
    records_in,
    size_of,
    stream_of,
)
from capture.bag.mcap_summary import beginning, ending
from capture.errors import CaptureError

_HEADER_BYTES_MAX = 1024  # magic and header record of any writer
_TORN_BYTES_MAX = 64 << 20  # an open chunk holds 1 MB and the one message that filled it
_TORN_INDEX_BYTES_MAX = 2 << 20  # 16 bytes for each of a chunk's messages


@dataclass(slots=True)
class _Contents:
    """What was found while walking a file.

    torn: where the first record begins that is not whole. cut: where what is kept ends; the last chunk's index may lie between the two.
    damaged: whether bytes lie behind ``torn`` that are neither a torn end nor to be trusted.
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
        finished = read_summary(file)
        if finished is not None:
            return finished
        size = size_of(file)
        contents = _walk(file, path)
        tail = _Tail(file, contents.torn, size)
        contents.damaged |= tail.is_misjudged
        summary = FileSummary(
            intact=False, cut_bytes=size - contents.torn, rescued=len(tail.messages), kept_bytes=contents.cut
        )
        if tail.messages or contents.damaged:
            _lay_aside(file, path, contents)
        file.truncate(contents.cut)
        file.seek(contents.cut)
        if contents.cut == 0:
            file.write(beginning())
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
    """Bytes that repairs have taken off a file and could not read: chunks whose CRC was wrong, and what is no record."""
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


def is_half_repaired(path: Path) -> bool:
    """Whether an earlier repair was itself killed: this one will begin by putting back what that one laid aside."""
    return bool(_asides(path))


def _walk(file: BinaryIO, path: Path) -> _Contents:
    """Every whole record up to the first torn one, or to the end of the data section."""
    size = size_of(file)
    contents = _Contents()
    file.seek(0)
    magic = file.read(len(MCAP0_MAGIC))
    if magic != MCAP0_MAGIC[: len(magic)]:
        raise CaptureError(f"{path} is not an MCAP file: it begins with {magic[:8].hex(' ')}")
    head = record_at(file, len(MCAP0_MAGIC), size)
    if head is None or head.opcode != Opcode.HEADER:
        if size > _HEADER_BYTES_MAX:
            raise CaptureError(f"{path} is damaged at its very beginning; nothing of it was changed")
        return contents
    contents.torn = contents.cut = head.end
    window = Window(file, size)
    while (record := window.record_at(contents.torn)) is not None and record.opcode != Opcode.DATA_END:
        _note(window, record, contents)
        contents.torn = record.end
    while contents.chunks and not _is_whole(file, contents.chunks[-1]):
        contents.torn = contents.chunks.pop().chunk_start_offset
        contents.counts.pop()
        contents.damaged = True
    contents.damaged |= _is_no_torn_end(file, contents.torn, size)
    if contents.chunks:
        contents.cut = contents.chunks[-1].chunk_start_offset + contents.chunks[-1].chunk_length
        if not _is_whole(file, contents.chunks[0]):
            raise CaptureError(f"{path}: its first chunk, which names its streams, is damaged; nothing was changed")
        _learn_channels(file, contents.chunks[0], contents)
    return contents


def _note(window: Window, record: Record, contents: _Contents) -> None:
    if record.opcode == Opcode.CHUNK:
        start_ns, end_ns, uncompressed, _, _, length = CHUNK.unpack(
            window.read(record.offset + RECORD.size, CHUNK.size)
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
        channel, entries_bytes = struct.unpack("<HI", window.read(record.offset + RECORD.size, 6))
        contents.chunks[-1].message_index_offsets[channel] = record.offset
        contents.chunks[-1].message_index_length += record.end - record.offset
        contents.counts[-1][channel] = entries_bytes // 16


def _is_no_torn_end(file: BinaryIO, torn: int, size: int) -> bool:
    """Whether what lies behind the last whole record is more than a writer leaves that was killed: then it is kept aside."""
    head = read_at(file, torn, RECORD.size)
    if len(head) < RECORD.size or head[0] == Opcode.DATA_END:
        return False
    opcode, length = RECORD.unpack(head)
    is_complete = torn + RECORD.size + length <= size  # and was no record all the same
    limit = _TORN_BYTES_MAX if opcode == Opcode.CHUNK else _TORN_INDEX_BYTES_MAX
    return not 0 < opcode <= Opcode.DATA_END or is_complete or size - torn > limit


def _is_whole(file: BinaryIO, chunk: ChunkIndex) -> bool:
    """A power cut may leave a chunk of the right length whose blocks never reached the disk."""
    at = chunk.chunk_start_offset + RECORD.size
    crc: int = CHUNK.unpack(read_at(file, at, CHUNK.size))[3]
    return zlib.crc32(read_at(file, at + CHUNK.size, chunk.compressed_size)) == crc


def _learn_channels(file: BinaryIO, chunk: ChunkIndex, contents: _Contents) -> None:
    """Schemas and channels stand in the first chunk, which the writer closes before it takes a packet."""
    data = read_at(file, chunk.chunk_start_offset + RECORD.size + CHUNK.size, chunk.compressed_size)
    for record, content in records_in(data):
        if record.opcode == Opcode.SCHEMA:
            schema = Schema.read(stream_of(content))
            contents.schemas[schema.id] = schema
        elif record.opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            contents.channels[channel.id] = channel


class _Tail:
    """The whole records of a chunk that was cut off."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.messages: list[bytes] = []
        self.definitions: list[bytes] = []
        self.is_misjudged = False  # the chunk is whole, only its length is wrong: more lies behind it
        head = read_at(file, start, RECORD.size) if start else b""
        if len(head) < RECORD.size or head[0] != Opcode.CHUNK:
            return
        if start + RECORD.size + RECORD.unpack(head)[1] <= size:
            return  # whole in length, wrong in its CRC: no message of it can be trusted
        data = read_at(file, start, size - start)[RECORD.size + CHUNK.size :]
        for record, _ in records_in(data):
            if record.opcode not in {Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE}:
                self.is_misjudged = True
                return
            whole = data[record.offset : record.end]
            (self.messages if record.opcode == Opcode.MESSAGE else self.definitions).append(whole)


def _append_chunk(file: BinaryIO, contents: _Contents, tail: _Tail) -> None:
    data = b"".join((*tail.definitions, *tail.messages))
    times = [MESSAGE.unpack_from(message, RECORD.size)[2] for message in tail.messages]
    chunk = Chunk("", data, max(times), min(times), zlib.crc32(data), len(data))
    builder = RecordBuilder()
    chunk.write(builder)
    offset = file.tell()
    written = bytes_of(builder)
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
        data = read_at(file, last.chunk_start_offset + RECORD.size + CHUNK.size, last.compressed_size)
        file.seek(0, os.SEEK_END)
        _write_index(file, contents, data)


def _write_index(file: BinaryIO, contents: _Contents, data: bytes) -> None:
    chunk, indexes = contents.chunks[-1], dict[int, MessageIndex]()
    for record, content in records_in(data):
        if record.opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = MESSAGE.unpack_from(content)
            indexes.setdefault(channel, MessageIndex(channel, [])).records.append((log_ns, record.offset))
    builder, start = RecordBuilder(), file.tell()
    chunk.message_index_offsets.clear()
    for channel, index in indexes.items():
        chunk.message_index_offsets[channel] = start + builder.count
        index.write(builder)
    contents.counts[-1] = {channel: len(index.records) for channel, index in indexes.items()}
    chunk.message_index_length = builder.count
    file.write(bytes_of(builder))


def _append_summary(file: BinaryIO, contents: _Contents, summary: FileSummary) -> None:
    totals: dict[int, int] = {}
    for counts in contents.counts:
        for channel, count in counts.items():
            totals[channel] = totals.get(channel, 0) + count
    summary.start_ns = min((chunk.message_start_time for chunk in contents.chunks), default=0)
    summary.end_ns = max((chunk.message_end_time for chunk in contents.chunks), default=0)
    summary.counts = {channel.topic: totals.get(id_, 0) for id_, channel in contents.channels.items()}
    schemas, channels = list(contents.schemas.values()), list(contents.channels.values())
    file.write(ending(file.tell(), schemas, channels, contents.chunks, totals))


def _lay_aside(file: BinaryIO, path: Path, contents: _Contents) -> None:
    kind, start = ("damaged", contents.torn) if contents.damaged else ("torn", contents.cut)
    aside = path.with_name(f"{path.name}.{kind}-{start}")
    partial = aside.with_name(aside.name + ".tmp")
    with partial.open("wb") as kept:
        file.seek(start)
        shutil.copyfileobj(file, kept, _TORN_BYTES_MAX)
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
