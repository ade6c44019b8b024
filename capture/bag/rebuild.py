"""A damaged MCAP file made anew from those of its chunks that are whole. The file as it was stays beside it, as NAME.damaged-0."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from isal.isal_zlib import crc32
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk

from capture.bag.asides import set_aside
from capture.bag.definitions import Definition, definitions_of
from capture.bag.mcap_file import FileSummary
from capture.bag.mcap_records import MESSAGE, RECORD, bytes_of, records_in, size_of, stream_of
from capture.bag.mcap_summary import beginning, record_bytes
from capture.bag.salvage import finish_file, message_indexes, salvaged
from capture.bag.torn_chunk import Known, TornChunk
from capture.bag.torn_file import UnwalkableError
from capture.bag.whole_chunks import whole_chunks
from capture.checksums import sha256_of
from capture.whole_file import sync_folder
from devices.device import Stream


def made_whole(path: Path, streams: Sequence[Stream]) -> FileSummary:
    """Finishes an unfinished file in place where that loses nothing, else makes it anew; discard_torn() when what was found is stated.

    streams: the recording's, which its first chunk states, for when that one is damaged.
    """
    try:
        return salvaged(path, streams)
    except UnwalkableError:
        return rebuild(path, streams)


def rebuild(path: Path, streams: Sequence[Stream]) -> FileSummary:
    """Of a file that had nothing to gain from it everything stays as it is, and the summary says that it is intact."""
    made = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with path.open("rb") as file, made.open("wb") as out:
            out.write(beginning())
            rescued = _copy(file, out, streams)
        summary = finish_file(made)
        if made.stat().st_size == path.stat().st_size and sha256_of(made) == sha256_of(path):
            summary.intact = True
            return summary
        summary.rescued, summary.kept_bytes = rescued, 0
        set_aside(path)
        made.replace(path)
        sync_folder(path.parent)
    finally:
        made.unlink(missing_ok=True)
    return summary


def _copy(file: BinaryIO, out: BinaryIO, streams: Sequence[Stream]) -> int:
    """Every whole chunk whose channels are known, and the messages of one that a killed writer left open; returns how many these are."""
    size = size_of(file)
    if not size:
        return 0
    known, definitions = dict[int, str](), definitions_of(streams)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = 0
        for chunk in whole_chunks(data):
            end = chunk.end
            _write_chunk(out, _defined(chunk.records, known, definitions))
        tail = TornChunk(file, _behind_indexes(data, end), size, Known(streams, known))
    _write_chunk(out, _defined(b"".join((*tail.definitions, *tail.messages)), known, definitions))
    return len(tail.messages)


def _behind_indexes(data: mmap.mmap, offset: int) -> int:
    """Where the record begins that follows a chunk's message indexes."""
    while offset + RECORD.size <= len(data):
        opcode, length = RECORD.unpack_from(data, offset)
        if opcode != Opcode.MESSAGE_INDEX or offset + RECORD.size + length > len(data):
            break
        offset += RECORD.size + length
    return offset


def _defined(records: bytes, known: dict[int, str], definitions: Sequence[Definition]) -> bytes:
    """A chunk's records, behind the definitions of their channels where none before them states those; empty when nothing does."""
    used: set[int] = set()
    for record, content in records_in(records):
        if record.opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            known[channel.id] = channel.topic
        elif record.opcode == Opcode.MESSAGE:
            used.add(MESSAGE.unpack_from(content)[0])
    if used <= known.keys():
        return records
    stated = {each.id: each.topic for each in definitions if isinstance(each, Channel)}
    if not used <= known.keys() | stated.keys():
        return b""
    known |= stated
    return b"".join(map(record_bytes, definitions)) + records


def _write_chunk(out: BinaryIO, records: bytes) -> None:
    """Uncompressed, with its message indexes."""
    if not records:
        return
    indexes = message_indexes(records)
    times = [log_ns for index in indexes.values() for log_ns, _ in index.records]
    builder = RecordBuilder()
    Chunk("", records, max(times, default=0), min(times, default=0), crc32(records), len(records)).write(builder)
    for index in indexes.values():
        index.write(builder)
    out.write(bytes_of(builder))
