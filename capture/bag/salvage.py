"""Makes an MCAP file that its writer left unfinished whole again, in place.

Its chunks stay where they are. The last one's CRC is checked and its index made anew, since the kill may have fallen between the two; a
chunk that is cut off gives its whole messages to a new chunk. Then the torn tail is cut off, and summary and footer are appended.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Chunk, ChunkIndex, MessageIndex

from capture.bag.asides import discard_torn, lay_aside_torn, put_back_torn, set_aside_from, torn_parts
from capture.bag.mcap_file import FileSummary, read_summary
from capture.bag.mcap_records import MESSAGE, RECORD, bytes_of, read_at, records_in, size_of
from capture.bag.mcap_summary import beginning, ending
from capture.bag.torn_chunk import Known, TornChunk
from capture.bag.torn_file import Contents, UnwalkableError, data_of, learn_channels, walk
from capture.bag.whole_chunks import holds_whole_chunk
from devices.device import Stream


def finish_file(path: Path) -> FileSummary:
    """Finishes an MCAP file that this process wrote, in place; an already finished one is only read. Raises as salvaged() does."""
    summary = salvaged(path, None)
    discard_torn(path)
    return summary


def salvaged(path: Path, streams: Sequence[Stream] | None) -> FileSummary:
    """Finishes an MCAP file in place, up to the first message of a torn chunk that is none of these streams; a finished one is only read.

    A torn chunk with whole messages stays laid aside on the disk until discard_torn(): a repair that is killed before it has said which
    messages nothing proves finds them again. What is no torn end is set aside for good. Raises UnwalkableError, and changes nothing, when
    the file's beginning is damaged, or whole chunks lie behind a damaged place: rebuild.py finds those.
    """
    with path.open("r+b") as file:
        is_second = is_half_repaired(path)
        put_back_torn(file, path)
        finished = read_summary(file)
        if finished is not None:
            return finished
        size = size_of(file)
        contents = walk(file, path)
        topics = {channel.id: channel.topic for channel in contents.channels.values()}
        tail = TornChunk(file, contents.torn, size, Known(streams, topics))
        contents.damaged |= tail.is_damaged
        summary = FileSummary(
            intact=False, cut_bytes=size - contents.torn, rescued=len(tail.messages), kept_bytes=contents.cut
        )
        end = _end(file, contents, tail, summary)
        is_other_end = contents.ended and not _begins_with(end, file, contents.cut, size)
        if (contents.damaged or is_other_end) and holds_whole_chunk(file, contents.torn + 1):
            raise UnwalkableError(f"{path}: whole chunks lie behind byte {contents.torn}, which is damaged")
        if (contents.damaged or is_other_end) and not is_second:
            set_aside_from(file, path, contents.torn if contents.damaged else contents.cut)
        if tail.messages:
            lay_aside_torn(file, path, contents.cut)
        file.truncate(contents.cut)
        file.seek(contents.cut)
        file.write(end)
        file.flush()
        os.fsync(file.fileno())
    return summary


def _begins_with(end: bytes, file: BinaryIO, offset: int, size: int) -> bool:
    """Whether what lies in the file from ``offset`` on is this end, or was to become it."""
    return size - offset <= len(end) and end.startswith(read_at(file, offset, size - offset))


def is_half_repaired(path: Path) -> bool:
    """Whether an earlier repair was itself killed: this one will begin by putting back what that one laid aside."""
    return bool(torn_parts(path))


def _end(file: BinaryIO, contents: Contents, tail: TornChunk, summary: FileSummary) -> bytes:
    """All that is to stand behind what is kept; the summary is told what the file will hold."""
    end = bytearray() if contents.cut else bytearray(beginning())
    if contents.chunks:
        end += _index(contents, data_of(file, contents.chunks[-1]), contents.cut + len(end))
    if tail.messages:
        _append_chunk(end, contents, tail)
    totals: dict[int, int] = {}
    for counts in contents.counts:
        for channel, count in counts.items():
            totals[channel] = totals.get(channel, 0) + count
    summary.start_ns = min((chunk.message_start_time for chunk in contents.chunks), default=0)
    summary.end_ns = max((chunk.message_end_time for chunk in contents.chunks), default=0)
    summary.counts = {channel.topic: totals.get(id_, 0) for id_, channel in contents.channels.items()}
    schemas, channels = list(contents.schemas.values()), list(contents.channels.values())
    end += ending(contents.cut + len(end), schemas, channels, contents.chunks, totals)
    return bytes(end)


def _append_chunk(end: bytearray, contents: Contents, tail: TornChunk) -> None:
    data = b"".join((*tail.definitions, *tail.messages))
    times = [MESSAGE.unpack_from(message, RECORD.size)[2] for message in tail.messages]
    chunk = Chunk("", data, max(times), min(times), zlib.crc32(data), len(data))
    builder = RecordBuilder()
    chunk.write(builder)
    offset = contents.cut + len(end)
    written = bytes_of(builder)
    contents.chunks.append(ChunkIndex(len(written), offset, "", len(data), max(times), 0, {}, min(times), len(data)))
    contents.counts.append({})
    if not contents.channels:
        learn_channels(data, contents)
    end += written
    end += _index(contents, data, offset + len(written))


def _index(contents: Contents, data: bytes, offset: int) -> bytes:
    """The index of the last chunk, made anew from its messages, to lie at ``offset``."""
    chunk, indexes = contents.chunks[-1], message_indexes(data)
    builder = RecordBuilder()
    chunk.message_index_offsets.clear()
    for channel, index in indexes.items():
        chunk.message_index_offsets[channel] = offset + builder.count
        index.write(builder)
    contents.counts[-1] = {channel: len(index.records) for channel, index in indexes.items()}
    chunk.message_index_length = builder.count
    return bytes_of(builder)


def message_indexes(data: bytes) -> dict[int, MessageIndex]:
    """Channel -> the index of its messages among a chunk's records."""
    indexes: dict[int, MessageIndex] = {}
    for record, content in records_in(data):
        if record.opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = MESSAGE.unpack_from(content)
            indexes.setdefault(channel, MessageIndex(channel, [])).records.append((log_ns, record.offset))
    return indexes
