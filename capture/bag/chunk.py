"""A chunk of an MCAP file (mcap.dev/spec) while it fills, uncompressed, and the index of its messages.

Large payloads are never copied: the chunk holds references, and the kernel gathers them from where they lie.
"""

from __future__ import annotations

import struct

from isal.isal_zlib import crc32
from mcap.opcode import Opcode
from mcap.records import ChunkIndex

from capture.bag.appended_file import Buffer
from capture.bag.mcap_records import CHUNK, MESSAGE, RECORD

_MESSAGE_RECORD = struct.Struct(RECORD.format + MESSAGE.format.lstrip("<"))
_INDEX_RECORD = struct.Struct("<BQHI")  # opcode, length, channel, bytes of its entries
_ENTRY_BYTES = 16  # log time, offset in the chunk
_COPIED_BYTES = 4096  # below this a copy is cheaper than a buffer of its own


class OpenChunk:
    """Records in the order in which they were put; close() gives the bytes to be written and begins anew."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.size_bytes = 0
        self._buffers: list[Buffer] = []
        self._loose = bytearray()  # what follows the last large payload
        self._entries: dict[int, list[int]] = {}  # channel -> log time and offset of each of its messages

    def put_record(self, record: bytes) -> None:
        """A schema or a channel."""
        self._loose += record
        self.size_bytes += len(record)

    def put(self, channel: int, sequence: int, log_ns: int, published_ns: int, head: bytes, data: bytes, tail: bytes) -> int:  # fmt: skip
        """One message, whose bytes are head + data + tail; returns their length. Raises struct.error when a number is out of range."""
        length = len(head) + len(data) + len(tail)
        record = _MESSAGE_RECORD.pack(
            Opcode.MESSAGE, MESSAGE.size + length, channel, sequence & 0xFFFFFFFF, log_ns, published_ns
        )
        entries = self._entries.get(channel)
        if entries is None:
            entries = self._entries[channel] = []
        entries += (log_ns, self.size_bytes)
        loose = self._loose
        loose += record
        loose += head
        if len(data) < _COPIED_BYTES:
            loose += data
        else:
            self._buffers += (loose, data)
            self._loose = bytearray()
        self._loose += tail
        self.size_bytes += len(record) + length
        return length

    def log_times_ns(self) -> list[int]:
        """Of each message, channel by channel."""
        return [log_ns for entries in self._entries.values() for log_ns in entries[::2]]

    def counts(self) -> dict[int, int]:
        """Channel -> its messages."""
        return {channel: len(entries) // 2 for channel, entries in self._entries.items()}

    def close(self, offset: int) -> tuple[list[Buffer], ChunkIndex]:
        """The chunk's record and its message indexes, to be written at ``offset``; and its line in the file's summary."""
        records = [*self._buffers, self._loose] if self._loose else self._buffers
        size, entries, times = self.size_bytes, self._entries, self.log_times_ns()
        self._begin()
        crc = 0
        for buffer in records:
            crc = crc32(buffer, crc)
        start_ns, end_ns = min(times, default=0), max(times, default=0)
        head = RECORD.pack(Opcode.CHUNK, CHUNK.size + size) + CHUNK.pack(start_ns, end_ns, size, crc, 0, size)
        length = len(head) + size
        indexes, offsets = _message_indexes(entries, offset + length)
        index = ChunkIndex(
            chunk_length=length,
            chunk_start_offset=offset,
            compression="",
            compressed_size=size,
            message_end_time=end_ns,
            message_index_length=len(indexes),
            message_index_offsets=offsets,
            message_start_time=start_ns,
            uncompressed_size=size,
        )
        return [head, *records, indexes], index


def _message_indexes(entries: dict[int, list[int]], offset: int) -> tuple[bytearray, dict[int, int]]:
    """The MessageIndex records of a chunk, the first to lie at ``offset``; and where each channel's lies."""
    records, offsets = bytearray(), {}
    for channel, numbers in entries.items():
        offsets[channel] = offset + len(records)
        size = len(numbers) // 2 * _ENTRY_BYTES
        records += _INDEX_RECORD.pack(Opcode.MESSAGE_INDEX, 6 + size, channel, size)
        records += struct.pack(f"<{len(numbers)}Q", *numbers)
    return records, offsets
