"""A finished MCAP file again, its chunks larger and compressed: the same records in the same order, in fewer bytes.

Messages are not taken apart: chunks are joined as they are, and the offsets in their indexes moved along (mcap.dev/spec).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal.isal_zlib import crc32
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import ChunkIndex
from mcap.summary import Summary

from capture.bag.file_pass import FilePass
from capture.bag.mcap_records import CHUNK, CHUNK_HEAD, RECORD, read_at, record_at, size_of
from capture.bag.mcap_summary import beginning, ending
from capture.bag.stored_chunk import chunk_data, unpacked
from capture.errors import CaptureError

CHUNK_BYTES = 4 << 20  # of records before they are compressed: beyond this zstd gains nothing on sensor data
LEVEL = 3
_COMPRESSION = b"zstd"
_CHUNK = struct.Struct(f"{CHUNK_HEAD.format}4sQ")
_INDEX_HEAD = struct.Struct("<BQHI")


@dataclass(frozen=True, slots=True)
class Rechunked:
    """A file as it was written."""

    sha256: str
    size_bytes: int


@dataclass(slots=True)
class _Group:
    """Chunks that become one. entries: channel -> the entries of its message indexes, (N, 2) log time and offset."""

    data: bytearray = field(default_factory=bytearray)
    entries: dict[int, list[np.ndarray[tuple[int, ...], np.dtype[np.uint64]]]] = field(default_factory=dict)


def can_be_rechunked(path: Path) -> bool:
    """Whether a file holds nothing but plain chunks: one with attachments or metadata records is better moved as it is."""
    with path.open("rb") as file:
        summary = _summary(file, path)
    plain = any(not chunk.compression for chunk in summary.chunk_indexes)
    return plain and not summary.attachment_indexes and not summary.metadata_indexes


def rechunk(path: Path, write: Callable[[bytes], object], progress: Callable[[int], None] | None = None) -> Rechunked:
    """Writes a finished file with zstd chunks; progress gets the bytes of it that are done. Raises CaptureError when it is damaged."""
    sha256, offset, chunks = hashlib.sha256(), 0, list[ChunkIndex]()

    def put(data: bytes) -> None:
        nonlocal offset
        sha256.update(data)
        write(data)
        offset += len(data)

    with path.open("rb") as file:
        summary = _summary(file, path)
        put(beginning())
        for group, packed in _compressed(_groups(file, path, progress)):
            records, index = _chunk_records(group, packed, offset)
            put(records)
            chunks.append(index)
        counts = {} if summary.statistics is None else summary.statistics.channel_message_counts
        put(ending(offset, list(summary.schemas.values()), list(summary.channels.values()), chunks, counts))
    return Rechunked(sha256.hexdigest(), offset)


def compared_with(path: Path, sha256: str, copy: BinaryIO, progress: Callable[[int], None]) -> Rechunked | None:
    """What ``copy`` is, when every message of it is the same as in the file that was recorded; None when it is not.

    Raises CaptureError when the file itself is not the one of this hash.
    """
    copy.seek(0, os.SEEK_END)
    size = copy.tell()
    copy.seek(0)
    with path.open("rb") as file:
        ours, theirs = FilePass(file, path.stat().st_size, progress), FilePass(copy, size)
        same = all(one == other for one, other in zip_longest(ours, theirs))
    if not same or theirs.damage or (ours.schemas, ours.channels) != (theirs.schemas, theirs.channels):
        return None
    if ours.sha256 != sha256 or ours.damage:
        raise CaptureError(
            f"{path} is not the file that was recorded; `fieldrig verify` on its recording says what is left"
        )
    return Rechunked(theirs.sha256, size)


def _summary(file: BinaryIO, path: Path) -> Summary:
    try:
        summary = make_reader(file).get_summary()
    except Exception as error:  # whatever the bytes of its summary have become
        raise CaptureError(f"{path} is damaged: {error}; run `fieldrig verify` on its recording") from None
    if summary is None:
        raise CaptureError(f"{path} has no summary; run `fieldrig repair` on its recording")
    return summary


def _groups(file: BinaryIO, path: Path, progress: Callable[[int], None] | None) -> Iterator[_Group]:
    """Neighbouring chunks, until they are large enough together."""
    size, group, base, at = size_of(file), _Group(), 0, 8
    while (record := record_at(file, at, size)) is not None and record.opcode != Opcode.DATA_END:
        content = read_at(file, record.offset + RECORD.size, record.length)
        if record.opcode == Opcode.CHUNK:
            if len(group.data) >= CHUNK_BYTES:
                yield group
                group = _Group()
            base = len(group.data)
            _join(group, content, path, at)
        elif record.opcode == Opcode.MESSAGE_INDEX:
            channel, _ = struct.unpack_from("<HI", content)
            entries = np.frombuffer(content, "<u8", offset=6).reshape(-1, 2).copy()
            entries[:, 1] += base
            group.entries.setdefault(channel, []).append(entries)
        at = record.end
        if progress is not None:
            progress(at)
    if group.data:
        yield group


def _join(group: _Group, content: bytes, path: Path, at: int) -> None:
    try:
        _, _, size, crc, _, _ = CHUNK.unpack_from(content)
        data = unpacked(*chunk_data(content), size)
    except (ValueError, struct.error) as error:
        raise CaptureError(f"{path}: the chunk at byte {at} is damaged: {error}; run `fieldrig verify`") from None
    if crc and crc32(data) != crc:
        raise CaptureError(f"{path}: the chunk at byte {at} is damaged: its CRC differs; run `fieldrig verify`")
    group.data += data


def _compressed(groups: Iterator[_Group]) -> Iterator[tuple[_Group, bytes]]:
    """In their order, a few at a time beside each other; zstd gives up the interpreter's lock."""
    import zstandard

    threads, waiting = os.cpu_count() or 1, deque[tuple[_Group, Future[bytes]]]()
    with ThreadPoolExecutor(threads, thread_name_prefix="fieldrig-zstd") as pool:
        for group in groups:
            waiting.append((group, pool.submit(zstandard.ZstdCompressor(LEVEL).compress, group.data)))
            if len(waiting) > threads:
                done, packed = waiting.popleft()
                yield done, packed.result()
        for done, packed in waiting:
            yield done, packed.result()


def _chunk_records(group: _Group, packed: bytes, offset: int) -> tuple[bytes, ChunkIndex]:
    """A chunk and the indexes behind it, to lie at ``offset``; and its line in the summary."""
    times = [part[:, 0] for parts in group.entries.values() for part in parts if len(part)]
    start_ns, end_ns = int(min(map(np.min, times), default=0)), int(max(map(np.max, times), default=0))
    head = RECORD.pack(Opcode.CHUNK, _CHUNK.size + len(packed)) + _CHUNK.pack(
        start_ns, end_ns, len(group.data), crc32(group.data), 4, _COMPRESSION, len(packed)
    )
    length = len(head) + len(packed)
    indexes, offsets = bytearray(), {}
    for channel, parts in group.entries.items():
        entries = np.concatenate(parts).tobytes()
        offsets[channel] = offset + length + len(indexes)
        indexes += _INDEX_HEAD.pack(Opcode.MESSAGE_INDEX, 6 + len(entries), channel, len(entries)) + entries
    index = ChunkIndex(
        chunk_length=length,
        chunk_start_offset=offset,
        compression=_COMPRESSION.decode(),
        compressed_size=len(packed),
        message_end_time=end_ns,
        message_index_length=len(indexes),
        message_index_offsets=offsets,
        message_start_time=start_ns,
        uncompressed_size=len(group.data),
    )
    return head + packed + indexes, index
