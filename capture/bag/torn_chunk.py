"""The messages of a chunk that was cut off while it was being written.

No CRC proves them: the chunk's is over all its bytes. After a kill, the bytes that are there are those that were written; after a power
cut, pages in front of the cut may never have reached the disk, and read as zeros. So messages are taken up to the first that does not fit
what is known of it, and whoever takes them says that nothing proves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from mcap.opcode import Opcode
from mcap.records import Channel

from capture.bag.clock_sample import unpack_clock_sample
from capture.bag.definitions import definitions_of
from capture.bag.diagnostics import unpack_diagnostics
from capture.bag.mcap_records import CHUNK, MESSAGE, RECORD, Record, read_at, records_in
from capture.bag.mcap_summary import record_bytes
from capture.bag.packing import Packing
from capture.bag.rosbag import CLOCK_TOPIC, HEALTH_TOPIC, topic_of
from capture.errors import CaptureError
from devices.device import Stream

_HEAD_BYTES = RECORD.size + CHUNK.size
_PAGE_BYTES = 4096
_INNER = frozenset({Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE})


class Known:
    """What is known of a file's messages before they are read. topics: channel -> topic, of the channels that whole chunks state.

    streams: None where this process wrote the file itself: its bytes are what they were then.
    """

    def __init__(self, streams: Sequence[Stream] | None, topics: Mapping[int, str]) -> None:
        self.is_own = streams is None
        definitions = definitions_of(streams or ())
        self._definitions = frozenset(map(record_bytes, definitions))
        self._topics = topics or {each.id: each.topic for each in definitions if isinstance(each, Channel)}
        self._checks: dict[str, Callable[[bytes], object]] = {
            **{topic_of(stream.name): Packing(stream).unpack for stream in streams or ()},
            HEALTH_TOPIC: unpack_diagnostics,
            CLOCK_TOPIC: unpack_clock_sample,
        }

    def is_definition(self, record: bytes) -> bool:
        """Whether it is one of the schemas and channels that every file of the recording begins with."""
        return self.is_own or record in self._definitions

    def is_message(self, channel: int, data: bytes) -> bool:
        """Whether it is built as a message of its channel is; its payload may still be anything."""
        if self.is_own:
            return True
        try:
            self._checks[self._topics[channel]](data)
        except (KeyError, CaptureError):
            return False
        return True


class TornChunk:
    """What is whole of the chunk that begins at ``start`` and does not end in front of ``size``, the file's end.

    is_damaged: more lies behind that than a cut leaves.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, known: Known) -> None:
        self.messages: list[bytes] = []
        self.definitions: list[bytes] = []
        self.is_damaged = False
        head = read_at(file, start, _HEAD_BYTES) if start else b""
        if len(head) < _HEAD_BYTES or head[0] != Opcode.CHUNK:
            return
        length = RECORD.unpack_from(head)[1]
        if start + RECORD.size + length <= size:
            return  # whole in length, wrong in its CRC: no message of it can be trusted
        self._first_ns, self._last_ns, _, _, name_bytes, self._stated_bytes = CHUNK.unpack_from(head, RECORD.size)
        self._known = known
        self._sequences: dict[int, int] = {}  # channel -> of its newest message
        if name_bytes or CHUNK.size + self._stated_bytes != length:
            self.is_damaged = True
            return
        data = read_at(file, start + _HEAD_BYTES, size - start - _HEAD_BYTES)
        whole = data if known.is_own else data[: _first_hole(data, start + _HEAD_BYTES)]
        self.is_damaged = len(whole) < len(data)
        self._take(whole)

    def _take(self, data: bytes) -> None:
        end = 0
        for record, content in records_in(data):
            whole = data[record.offset : record.end]
            if not self._fits(record, whole, content):
                break
            (self.messages if record.opcode == Opcode.MESSAGE else self.definitions).append(whole)
            end = record.end
        if not self._is_cut(data[end : end + RECORD.size], end, len(data)):
            self.is_damaged = True
            del self.messages[-1:]  # what does not fit may have begun in it

    def _fits(self, record: Record, whole: bytes, content: bytes) -> bool:
        if record.opcode in {Opcode.SCHEMA, Opcode.CHANNEL}:
            return self._known.is_definition(whole)
        if record.opcode != Opcode.MESSAGE:
            return False
        channel, sequence, log_ns, _ = MESSAGE.unpack_from(content)
        newest, self._sequences[channel] = self._sequences.get(channel), sequence
        follows = newest is None or 0 < (sequence - newest) & 0xFFFFFFFF < 1 << 31
        in_time = self._first_ns <= log_ns <= self._last_ns
        return follows and in_time and self._known.is_message(channel, content[MESSAGE.size :])

    def _is_cut(self, head: bytes, offset: int, size: int) -> bool:
        """Whether what lies behind the last whole record is the beginning of the next one."""
        if len(head) < RECORD.size:
            return True
        opcode, length = RECORD.unpack(head)
        return opcode in _INNER and size < offset + RECORD.size + length <= self._stated_bytes


def _first_hole(data: bytes, offset: int) -> int | None:
    """Where in data, which lies at ``offset`` of a file, its first page begins that is all zeros."""
    first = -offset % _PAGE_BYTES
    pages = range(first, len(data), _PAGE_BYTES)
    return next((page for page in pages if not any(data[page : page + _PAGE_BYTES])), None)
