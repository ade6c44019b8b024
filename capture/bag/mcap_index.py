"""Messages of a topic that is rare, straight from where a finished file's index says that they lie: the rest of the file is not read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.opcode import Opcode
from mcap.records import Channel

from capture.bag.mcap_file import StoredMessage, summary_section
from capture.bag.mcap_records import CHUNK, MESSAGE, RECORD, read_at, records_in, size_of, stream_of

_CHUNK_INDEX = struct.Struct("<QQQQI")  # first and last log time, offset, length, bytes of the map that follows
_MESSAGE_RECORD = struct.Struct(RECORD.format + MESSAGE.format.lstrip("<"))
_INDEX_BYTES = RECORD.size + 6  # in front of the entries: channel, and how many bytes they are


class _Place(NamedTuple):
    chunk_offset: int
    index_offset: int


def rare_messages(path: Path, topic: str, *, newest_first: bool = False) -> Iterator[StoredMessage]:
    """A topic's messages, chunk by chunk. CRCs are not checked: a message that is not where its index says is passed over.

    Only of uncompressed chunks, as recorders leave them; of others there are none.
    """
    with path.open("rb") as file:
        section = summary_section(file)
        if section is None:
            return
        channel, places = _places(section, topic)
        size = size_of(file)
        for place in reversed(places) if newest_first else places:
            found = list(_messages_at(file, size, place, channel, topic))
            yield from reversed(found) if newest_first else found


def _places(section: bytes, topic: str) -> tuple[int, list[_Place]]:
    """The topic's channel, and where its messages' indexes lie."""
    wanted, places = -1, list[_Place]()
    for record, content in records_in(section):
        if record.opcode == Opcode.CHANNEL:
            channel = Channel.read(stream_of(content))
            wanted = channel.id if channel.topic == topic else wanted
        elif record.opcode == Opcode.CHUNK_INDEX:
            _, _, chunk, _, map_bytes = _CHUNK_INDEX.unpack_from(content)
            behind = _CHUNK_INDEX.size + map_bytes
            if content[behind + 8 : behind + 12] != bytes(4):  # its compression has a name
                continue
            for channel_id, offset in struct.iter_unpack("<HQ", content[_CHUNK_INDEX.size : behind]):
                if channel_id == wanted:
                    places.append(_Place(chunk, offset))
    return wanted, places


def _messages_at(file: BinaryIO, size: int, place: _Place, channel: int, topic: str) -> Iterator[StoredMessage]:
    head = read_at(file, place.index_offset, _INDEX_BYTES)
    if len(head) < _INDEX_BYTES or head[0] != Opcode.MESSAGE_INDEX:
        return
    (entries_bytes,) = struct.unpack_from("<I", head, RECORD.size + 2)
    entries = read_at(file, place.index_offset + _INDEX_BYTES, min(entries_bytes - entries_bytes % 16, size))
    data = place.chunk_offset + RECORD.size + CHUNK.size
    for _, offset in struct.iter_unpack("<QQ", entries[: len(entries) - len(entries) % 16]):
        at = data + offset
        if at + _MESSAGE_RECORD.size > size:
            continue
        opcode, length, found, sequence, log_ns, publish_ns = _MESSAGE_RECORD.unpack(
            read_at(file, at, _MESSAGE_RECORD.size)
        )
        if opcode == Opcode.MESSAGE and found == channel and MESSAGE.size <= length <= size - at:
            content = read_at(file, at + _MESSAGE_RECORD.size, length - MESSAGE.size)
            yield StoredMessage(topic, sequence, log_ns, publish_ns, content)
