"""The schemas and channels of a recording's files: the same in each of them, at the beginning of its first chunk."""

from __future__ import annotations

from collections.abc import Sequence

from mcap.records import Channel, Schema

from capture.bag.message_types import CLOCK_SAMPLE, DIAGNOSTIC_ARRAY, message_type
from capture.bag.rosbag import CLOCK_TOPIC, HEALTH_TOPIC, topic_of
from devices.device import Stream

Definition = Schema | Channel


def definitions_of(streams: Sequence[Stream]) -> list[Definition]:
    """In the order in which they are written: each schema in front of the first channel of it. Channels count from 1: of each stream in turn, of health, of clocks."""
    topics = [(topic_of(stream.name), message_type(stream)) for stream in streams]
    made: list[Definition] = []
    schemas: dict[tuple[str, str, str], Schema] = {}
    for number, (topic, kind) in enumerate(
        [*topics, (HEALTH_TOPIC, DIAGNOSTIC_ARRAY), (CLOCK_TOPIC, CLOCK_SAMPLE)], start=1
    ):
        definition = (kind.name, kind.format, kind.definition)
        schema = schemas.get(definition)
        if schema is None:
            schema = Schema(id=len(schemas) + 1, data=kind.definition.encode(), encoding=kind.format, name=kind.name)
            schemas[definition] = schema
            made.append(schema)
        made.append(
            Channel(
                id=number,
                topic=topic,
                message_encoding="cdr",
                metadata={"offered_qos_profiles": kind.qos, "topic_type_hash": kind.type_hash},
                schema_id=schema.id,
            )
        )
    return made
