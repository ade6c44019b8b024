"""One pass over an MCAP file: its messages, its hash, and whether its chunks, indexes and summary agree with each other.

The bytes that are hashed are the bytes that are parsed, each read once and in order, so a pass works on a pipe or an object store as
well as on a disk. The hash is computed by a second thread: hashlib gives up the interpreter's lock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from isal.isal_zlib import crc32
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Schema, Statistics
from mcap.writer import MCAP0_MAGIC

from capture.bag.hashed_bytes import HashedBytes
from capture.bag.mcap_file import StoredMessage
from capture.bag.mcap_records import CHUNK_HEAD, MESSAGE, RECORD, records_in, stream_of
from capture.bag.stored_chunk import chunk_data, unpacked

_RECORD_BYTES_MAX = 512 << 20  # what no writer makes: a length that was damaged
_UNREADABLE = (ValueError, struct.error, IndexError, OverflowError, MemoryError, EOFError)


class FilePass:
    """Iterate over its messages once, in the order in which they lie; then everything else is known.

    damage: what does not hold together, a line each; a damaged chunk costs only its own messages. counts: topic -> messages read.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, progress: Callable[[int], None] | None = None) -> None:
        self.size_bytes = size_bytes
        self.sha256 = ""
        self.damage: list[str] = []
        self.counts: dict[str, int] = {}
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.chunks: list[ChunkIndex] = []
        self._bytes = HashedBytes(file, progress)
        self._counts: dict[int, int] = {}
        self._is_lost = False  # the newest chunk could not be read to its end: nothing can be said of its indexes
        self._unnamed = 0  # records that speak of channels which nothing in front of them states
        self._unindexed: dict[int, list[int]] = {}  # channel -> log time and offset of the newest chunk's messages

    def __iter__(self) -> Iterator[StoredMessage]:
        try:
            if self._bytes.read(len(MCAP0_MAGIC)) == MCAP0_MAGIC:
                yield from self._records()
            else:
                self.damage.append("it does not begin like an MCAP file")
            self._bytes.skip(self.size_bytes - self._bytes.position)
        finally:
            self.sha256 = self._bytes.finish()
        if self._unnamed:
            self.damage.append(f"{self._unnamed} records hold messages of streams that nothing in front of them names")
        if self._bytes.position != self.size_bytes:
            self.damage.append(f"only {self._bytes.position} of its {self.size_bytes} bytes could be read")
        self.counts = {channel.topic: self._counts.get(id_, 0) for id_, channel in self.channels.items()}

    def _records(self) -> Iterator[StoredMessage]:
        while True:
            at = self._bytes.position
            head = self._bytes.read(RECORD.size)
            opcode, length = RECORD.unpack(head) if len(head) == RECORD.size else (0, 0)
            if not 0 < opcode <= Opcode.DATA_END or at + RECORD.size + length > self.size_bytes:
                self.damage.append(f"at byte {at} there is no whole record; what follows was not read")
                return
            if opcode != Opcode.MESSAGE_INDEX:
                self._expect_no_more_indexes()
            if opcode == Opcode.DATA_END:
                self._bytes.skip(length)
                self._check_summary(self._bytes.position)
                return
            if opcode in {Opcode.ATTACHMENT, Opcode.METADATA, Opcode.HEADER}:
                self._bytes.skip(length)
            elif length > _RECORD_BYTES_MAX:
                self.damage.append(f"the record at byte {at} claims {length} bytes; what follows was not read")
                return
            else:
                yield from self._record(opcode, at, self._bytes.read(length))

    def _record(self, opcode: int, at: int, content: bytes) -> Iterator[StoredMessage]:
        try:
            if opcode == Opcode.CHUNK:
                yield from self._chunk(at, content)
            elif opcode == Opcode.MESSAGE_INDEX:
                self._check_index(at, content)
            elif opcode == Opcode.MESSAGE:
                yield self._message(content)
            else:
                self._learn(opcode, content)
        except KeyError:
            self._unnamed += 1
            self._is_lost = True
        except _UNREADABLE as error:
            self.damage.append(f"the record at byte {at} cannot be read: {error}")

    def _chunk(self, at: int, content: bytes) -> Iterator[StoredMessage]:
        start_ns, end_ns, size, crc, _ = CHUNK_HEAD.unpack_from(content)
        self.chunks.append(
            ChunkIndex(
                chunk_length=RECORD.size + len(content),
                chunk_start_offset=at,
                compression="",
                compressed_size=0,
                message_end_time=end_ns,
                message_index_length=0,
                message_index_offsets={},
                message_start_time=start_ns,
                uncompressed_size=size,
            )
        )
        chunk, self._is_lost = self.chunks[-1], False
        chunk.compression, packed = chunk_data(content)
        chunk.compressed_size = len(packed)
        data = unpacked(chunk.compression, packed, size)
        if len(data) != size or (crc and crc32(data) != crc):
            self.damage.append(f"the chunk at byte {at} is not what was written: its CRC differs")
            self._is_lost = True
            return
        offset = outside = 0
        for record, inner in records_in(data):
            offset = record.end
            if record.opcode != Opcode.MESSAGE:
                self._learn(record.opcode, inner)
                continue
            message = self._message(inner)
            outside += not start_ns <= message.log_ns <= end_ns
            entries = self._unindexed.setdefault(inner[0] | inner[1] << 8, [])
            entries += (message.log_ns, record.offset)
            yield message
        if outside:
            self.damage.append(f"the chunk at byte {at} holds {outside} messages outside the times that it states")
        if offset != size:
            self.damage.append(f"the chunk at byte {at} ends with {size - offset} bytes that are no record")

    def _message(self, content: bytes) -> StoredMessage:
        channel, sequence, log_ns, publish_ns = MESSAGE.unpack_from(content)
        topic: str = self.channels[channel].topic
        self._counts[channel] = self._counts.get(channel, 0) + 1
        return StoredMessage(topic, sequence, log_ns, publish_ns, content[MESSAGE.size :])

    def _learn(self, opcode: int, content: bytes) -> None:
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream_of(content))
            self.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            self.channels[channel.id] = channel

    def _check_index(self, at: int, content: bytes) -> None:
        channel, _ = struct.unpack_from("<HI", content)
        entries = self._unindexed.pop(channel, [])
        if content[6:] != struct.pack(f"<{len(entries)}Q", *entries) and not self._is_lost:
            self.damage.append(f"the message index at byte {at} does not fit its chunk")
        self.chunks[-1].message_index_offsets[channel] = at
        self.chunks[-1].message_index_length += RECORD.size + len(content)

    def _expect_no_more_indexes(self) -> None:
        if self._unindexed and not self._is_lost:
            self.damage.append(f"the chunk at byte {self.chunks[-1].chunk_start_offset} has messages without an index")
        self._unindexed = {}

    def _check_summary(self, start: int) -> None:
        """The file's own statements about itself, which readers trust, against what was read."""
        if self.size_bytes - start > _RECORD_BYTES_MAX:
            self.damage.append(f"{self.size_bytes - start} bytes lie behind its data; they were not read")
            return
        section = self._bytes.read(self.size_bytes - start)
        footer = len(section) - len(MCAP0_MAGIC) - RECORD.size - 20
        if footer < 0 or section[footer : footer + RECORD.size] != RECORD.pack(Opcode.FOOTER, 20):
            self.damage.append("it has no footer: it is cut short")
            return
        stated_start, _, crc = struct.unpack_from("<QQI", section, footer + RECORD.size)
        if stated_start != start or (crc and crc32(section[: footer + RECORD.size + 16]) != crc):
            self.damage.append("its summary is not what was written: its CRC or its place differs")
            return
        stated: list[ChunkIndex] = []
        for record, content in records_in(section[:footer]):
            if record.opcode == Opcode.CHUNK_INDEX:
                stated.append(ChunkIndex.read(stream_of(content)))
            elif record.opcode == Opcode.STATISTICS:
                self._check_statistics(Statistics.read(stream_of(content)))
        if stated != self.chunks:
            self.damage.append(
                f"its summary lists {len(stated)} chunks; {len(self.chunks)} were read, not all the same"
            )

    def _check_statistics(self, stated: Statistics) -> None:
        counts = {channel: count for channel, count in stated.channel_message_counts.items() if count}
        if counts != self._counts:
            read, said = sum(self._counts.values()), stated.message_count
            self.damage.append(f"{read} messages were read, its statistics say {said}, or share them out otherwise")
