"""What stands behind an MCAP file's chunks (mcap.dev/spec): the summary, by which a reader finds everything, and the footer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC

from capture.bag.mcap_records import bytes_of


def beginning() -> bytes:
    """Magic and header: a file's first bytes."""
    return MCAP0_MAGIC + record_bytes(Header("ros2", "fieldrig"))


def record_bytes(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes_of(builder)


def ending(
    offset: int,
    schemas: Sequence[Schema],
    channels: Sequence[Channel],
    chunks: Sequence[ChunkIndex],
    counts: Mapping[int, int],
) -> bytes:
    """All that follows the last chunk, to be written at ``offset``. counts: channel -> its messages in the file."""
    statistics = Statistics(
        attachment_count=0,
        channel_count=len(channels),
        channel_message_counts=dict(counts),
        chunk_count=len(chunks),
        message_count=sum(counts.values()),
        message_end_time=max((chunk.message_end_time for chunk in chunks), default=0),
        message_start_time=min((chunk.message_start_time for chunk in chunks), default=0),
        metadata_count=0,
        schema_count=len(schemas),
    )
    groups: dict[Opcode, Sequence[McapRecord]] = {
        Opcode.SCHEMA: schemas,
        Opcode.CHANNEL: channels,
        Opcode.STATISTICS: [statistics],
        Opcode.CHUNK_INDEX: chunks,
    }
    data_end = record_bytes(DataEnd(0))
    start, builder, offsets = offset + len(data_end), RecordBuilder(), list[SummaryOffset]()
    for opcode, records in groups.items():
        group_start = builder.count
        for record in records:
            record.write(builder)
        offsets.append(SummaryOffset(opcode, start + group_start, builder.count - group_start))
    offsets_start = start + builder.count
    for each in offsets:
        each.write(builder)
    section = bytes_of(builder)
    crc = zlib.crc32(section + struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_start))
    return data_end + section + record_bytes(Footer(start, offsets_start, crc)) + MCAP0_MAGIC
