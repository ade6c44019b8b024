"""How far an MCAP file can be read that its writer left unfinished, without reading most of it.

The file (mcap.dev/spec) is a row of records, each with its length in front. Those are walked from chunk to chunk; how many messages a
chunk holds stands in the MessageIndex records behind it. Only the first and the last chunk are opened.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Schema
from mcap.writer import MCAP0_MAGIC

from capture.bag.mcap_records import CHUNK, RECORD, Record, Window, read_at, record_at, records_in, size_of, stream_of
from capture.bag.mcap_summary import beginning
from capture.errors import CaptureError

_HEADER_BYTES_MAX = 1024  # magic and header record of any writer
# Of what a writer leaves torn: an open chunk holds 1 MB and the one message that filled it, its index 16 bytes for each of its messages.
_TORN_BYTES_MAX: dict[int, int] = {Opcode.CHUNK: 64 << 20, Opcode.MESSAGE_INDEX: 2 << 20}


class UnwalkableError(CaptureError):
    """Its beginning is damaged: only its whole chunks can be looked for (rebuild.py)."""


@dataclass(slots=True)
class Contents:
    """What was found while walking a file.

    torn: where the first record begins that is not whole. cut: where what is kept ends; the last chunk's index may lie between the two.
    damaged: whether bytes lie behind ``torn`` that are neither a torn end nor to be trusted. ended: the writer had come to the end of its
    data, so a summary lies behind.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    counts: list[dict[int, int]] = field(default_factory=list)  # channel -> messages, of each chunk
    torn: int = 0
    cut: int = 0
    damaged: bool = False
    ended: bool = False


def walk(file: BinaryIO, path: Path) -> Contents:
    """Every whole record up to the first torn one, or to the end of the data section. Raises UnwalkableError."""
    size = size_of(file)
    contents = Contents()
    file.seek(0)
    magic = file.read(len(MCAP0_MAGIC))
    if magic != MCAP0_MAGIC[: len(magic)]:
        raise UnwalkableError(f"{path} is not an MCAP file: it begins with {magic[:8].hex(' ')}")
    head = record_at(file, len(MCAP0_MAGIC), size)
    if head is None or head.opcode != Opcode.HEADER:
        if size > _HEADER_BYTES_MAX:
            raise UnwalkableError(f"{path} is damaged at its very beginning; nothing of it was changed")
        contents.damaged = not beginning().startswith(read_at(file, 0, size))
        return contents
    contents.torn = contents.cut = head.end
    window = Window(file, size)
    while (record := window.record_at(contents.torn)) is not None and record.opcode != Opcode.DATA_END:
        _note(window, record, contents)
        contents.torn = record.end
    contents.ended = record is not None
    while contents.chunks and not _is_whole(file, contents.chunks[-1]):
        contents.torn = contents.chunks.pop().chunk_start_offset
        contents.counts.pop()
        contents.damaged = True
    contents.damaged |= _is_no_torn_end(file, contents.torn, size)
    if contents.chunks:
        contents.cut = contents.chunks[-1].chunk_start_offset + contents.chunks[-1].chunk_length
        if not _is_whole(file, contents.chunks[0]):
            raise UnwalkableError(f"{path}: its first chunk, which names its streams, is damaged; nothing was changed")
        learn_channels(data_of(file, contents.chunks[0]), contents)
    return contents


def data_of(file: BinaryIO, chunk: ChunkIndex) -> bytes:
    """The records of an uncompressed chunk."""
    return read_at(file, chunk.chunk_start_offset + RECORD.size + CHUNK.size, chunk.compressed_size)


def learn_channels(data: bytes, contents: Contents) -> None:
    """Schemas and channels stand in the first chunk, which the writer closes before it takes a packet."""
    for record, content in records_in(data):
        if record.opcode == Opcode.SCHEMA:
            schema = Schema.read(stream_of(content))
            contents.schemas[schema.id] = schema
        elif record.opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            contents.channels[channel.id] = channel


def _note(window: Window, record: Record, contents: Contents) -> None:
    if record.opcode == Opcode.CHUNK:
        start_ns, end_ns, uncompressed, _, name_bytes, length = CHUNK.unpack(
            window.read(record.offset + RECORD.size, CHUNK.size)
        )
        if name_bytes:
            raise UnwalkableError(f"the chunk at byte {record.offset} is compressed, or damaged")
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
    record = Record(head[0], torn, RECORD.unpack(head)[1])
    is_complete = record.end <= size  # and was no record all the same
    return is_complete or record.length > _TORN_BYTES_MAX.get(record.opcode, 0)


def _is_whole(file: BinaryIO, chunk: ChunkIndex) -> bool:
    """A power cut may leave a chunk of the right length whose blocks never reached the disk."""
    if CHUNK.size + chunk.compressed_size != chunk.chunk_length - RECORD.size:
        return False
    crc: int = CHUNK.unpack(read_at(file, chunk.chunk_start_offset + RECORD.size, CHUNK.size))[3]
    return zlib.crc32(data_of(file, chunk)) == crc
