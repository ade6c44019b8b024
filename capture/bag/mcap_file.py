"""A finished MCAP file as its own summary describes it, and the messages that lie in it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Statistics
from mcap.writer import MCAP0_MAGIC

from capture.bag.mcap_records import RECORD, records_in, size_of, stream_of
from capture.errors import CaptureError

_FOOTER_BYTES = RECORD.size + 20
_SUMMARY_BYTES_MAX = 512 << 20  # what no writer makes: a place that was damaged

# What the mcap package raises when it meets bytes that are not what they were.
_DAMAGE = (McapError, ValueError, KeyError, struct.error, OSError, OverflowError, MemoryError)


@dataclass(slots=True)
class FileSummary:
    """What a finished file holds. counts: topic -> messages. intact: it was finished already, nothing had to be done.

    cut_bytes: how much of a torn tail was taken off; rescued: how many messages of it were kept; kept_bytes: up to where nothing changed.
    """

    counts: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    intact: bool = True
    cut_bytes: int = 0
    rescued: int = 0
    kept_bytes: int = 0

    @property
    def messages(self) -> int:
        return sum(self.counts.values())


class StoredMessage(NamedTuple):
    """A message as it lies in a file."""

    topic: str
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes

    @property
    def device_ns(self) -> int | None:
        """Its stamp on the sensor's own clock; None where the sensor has none."""
        return None if self.publish_ns == self.log_ns else self.publish_ns


def read_summary(file: BinaryIO) -> FileSummary | None:
    """What a finished file's own summary says; None when it has none that can be read."""
    section = summary_section(file)
    if section is None:
        return None
    summary, topics = FileSummary(), dict[int, str]()
    try:
        for record, content in records_in(section):
            if record.opcode == Opcode.CHANNEL:
                channel = Channel.read(stream_of(content))
                topics[channel.id] = channel.topic
                summary.counts[channel.topic] = 0
            elif record.opcode == Opcode.STATISTICS:
                statistics = Statistics.read(stream_of(content))
                summary.start_ns, summary.end_ns = statistics.message_start_time, statistics.message_end_time
                summary.counts.update({topics[id_]: count for id_, count in statistics.channel_message_counts.items()})
    except _DAMAGE:
        return None
    return summary


def summary_section(file: BinaryIO) -> bytes | None:
    """The records of a finished file's summary; None when it has none, or its CRC is wrong."""
    size = size_of(file)
    if size < 2 * len(MCAP0_MAGIC) + _FOOTER_BYTES:
        return None
    file.seek(size - len(MCAP0_MAGIC) - _FOOTER_BYTES)
    tail = file.read()
    if not tail.endswith(MCAP0_MAGIC) or tail[: RECORD.size] != RECORD.pack(Opcode.FOOTER, 20):
        return None
    start, _, crc = struct.unpack_from("<QQI", tail, RECORD.size)
    if not max(0, size - _SUMMARY_BYTES_MAX) < start < size:
        return None
    file.seek(start)
    section = file.read(size - len(MCAP0_MAGIC) - 4 - start)
    if crc and zlib.crc32(section) != crc:
        return None
    return section[: -(_FOOTER_BYTES - 4)]


def messages_in(
    path: Path,
    topics: Collection[str],
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    newest_first: bool = False,
) -> Iterator[StoredMessage]:
    """A finished file's messages of log times in [start_ns, end_ns), in their order; one chunk is in memory, its CRC checked.

    Raises CaptureError at a damaged place.
    """
    if not topics or (start_ns is not None and end_ns is not None and start_ns >= end_ns):
        return
    start_ns = None if start_ns is None else max(start_ns, 0)
    with path.open("rb") as file:
        try:
            reader = SeekingReader(file, validate_crcs=True)
            found = reader.iter_messages(list(topics), starting_at=start_ns, ending_before=end_ns, reverse=newest_first)
            for _, channel, message in found:
                yield StoredMessage(
                    channel.topic, message.sequence, message.log_time, message.publish_time, message.data
                )
        except _DAMAGE as error:
            raise CaptureError(f"{path} is damaged: {error}; `fieldrig verify` says what is left") from None
