"""One file of a ROS 2 bag: MCAP, read by the mcap package, which tells the publish time and the schema as they stand there; or SQLite, by rosbags."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from capture.errors import CaptureError
from capture.importers.ros_topics import RosTopic, is_message_type
from devices.ros.schema import RosSchema

_COMPRESSIONS = {"", "lz4", "zstd"}  # of MCAP chunks


@dataclass(frozen=True, slots=True)
class BagMessage:
    """publish_ns equals log_ns where the bag keeps one time only."""

    topic: RosTopic
    log_ns: int
    publish_ns: int
    data: bytes


class Storage(Protocol):
    """One file of a bag. total: messages of the topics; stated: topic -> the same by the file's own word, empty where it is silent.

    stated_total: messages in all, those that are left out, too.
    """

    name: str
    topics: list[RosTopic]
    total: int
    left_out: dict[str, int]
    stated: Mapping[str, int]
    stated_total: int

    def attachments(self) -> Iterator[tuple[str, bytes]]: ...

    def messages(self, topic: RosTopic | None = None) -> Iterator[BagMessage]: ...


class McapStorage:
    def __init__(self, file: Any, name: str, compressed: bool) -> None:
        from mcap.reader import SeekingReader

        self._reader = SeekingReader(file, validate_crcs=True)
        self._compressed = compressed
        summary = self._reader.get_summary()
        if summary is None or summary.statistics is None:
            raise CaptureError(f"{name} is cut short; `mcap recover` may mend it, nothing was imported")
        if unknown := {chunk.compression for chunk in summary.chunk_indexes} - _COMPRESSIONS:
            raise CaptureError(
                f"{name} is compressed by {', '.join(sorted(unknown))}, which nothing here reads; nothing was imported"
            )
        counts = summary.statistics.channel_message_counts
        self._topics: dict[int, RosTopic] = {}
        self.left_out: dict[str, int] = {}
        for channel in summary.channels.values():
            schema = summary.schemas.get(channel.schema_id)
            if channel.message_encoding != "cdr" or schema is None or not is_message_type(schema.name):
                said = f"{channel.topic} ({channel.message_encoding}, {schema.name if schema else 'no schema'})"
                self.left_out[said] = self.left_out.get(said, 0) + counts.get(channel.id, 0)
                continue
            self._topics[channel.id] = RosTopic(channel.topic, schema.name, _mcap_schema(schema, channel.metadata))
        self.topics = list(self._topics.values())
        self.total = sum(counts.get(id_, 0) for id_ in self._topics)
        self.stated = _by_topic((topic, counts.get(id_, 0)) for id_, topic in self._topics.items()) if counts else {}
        self.stated_total = summary.statistics.message_count
        self.name = name

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        for number, each in enumerate(self._reader.iter_attachments()):
            yield f"attachments/{self.name}/{number}_{_plain(each.name)}", each.data
        records = {record.name: record.metadata for record in self._reader.iter_metadata()}
        if records:
            yield f"{self.name}.metadata.json", json.dumps(records, indent=2).encode()

    def messages(self, topic: RosTopic | None = None) -> Iterator[BagMessage]:
        names = {each.name for each in self.topics} if topic is None else {topic.name}
        for _, channel, message in self._reader.iter_messages(topics=list(names)) if names else ():
            found = self._topics.get(channel.id)
            if found is not None and (topic is None or found.type_name == topic.type_name):
                data = _decompressed(message.data) if self._compressed else message.data
                yield BagMessage(found, message.log_time, message.publish_time, data)


class SqliteStorage:
    def __init__(self, part: Any, compressed: bool) -> None:
        self.name = Path(part.path).name
        self._part = part
        self._compressed = compressed
        self.left_out: dict[str, int] = {}
        self._topics: dict[int, RosTopic] = {}
        for connection in part.connections:
            coding = connection.ext.serialization_format
            if coding != "cdr" or not is_message_type(connection.msgtype):
                self.left_out[f"{connection.topic} ({coding}, {connection.msgtype})"] = connection.msgcount
                continue
            self._topics[connection.id] = RosTopic(connection.topic, connection.msgtype, _sqlite_schema(connection))
        self.topics = list(self._topics.values())
        counts = {each.id: each.msgcount for each in part.connections}
        self.total = sum(counts[id_] for id_ in self._topics)
        self.stated = _by_topic((topic, counts[id_]) for id_, topic in self._topics.items())
        self.stated_total = part.metadata.message_count

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        return iter(())

    def messages(self, topic: RosTopic | None = None) -> Iterator[BagMessage]:
        wanted = [
            each
            for each in self._part.connections
            if each.id in self._topics and topic in (None, self._topics[each.id])
        ]
        for connection, t_ns, raw in self._part.messages(wanted) if wanted else ():
            data = _decompressed(raw) if self._compressed else bytes(raw)
            yield BagMessage(self._topics[connection.id], t_ns, t_ns, data)


def _by_topic(counts: Iterable[tuple[RosTopic, int]]) -> Mapping[str, int]:
    """A topic may be several channels."""
    found: Counter[str] = Counter()
    for topic, count in counts:
        found[topic.name] += count
    return found


def _mcap_schema(schema: Any, metadata: Mapping[str, str]) -> RosSchema:
    return RosSchema(
        definition=schema.data.decode(),
        format=schema.encoding,
        type_hash=metadata.get("topic_type_hash", ""),
        qos=metadata.get("offered_qos_profiles", ""),
    )


def _sqlite_schema(connection: Any) -> RosSchema:
    """Bags older than ROS 2 Jazzy keep no definitions in SQLite: those of ROS' own packages are known, others are not."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.rosbag2.metadata import dump_qos_v8
    from rosbags.typesys import Stores, get_typestore

    qos = dump_qos_v8(connection.ext.offered_qos_profiles)
    format_, text = connection.msgdef.format, connection.msgdef.data
    if format_ != MessageDefinitionFormat.NONE:
        name = "ros2msg" if format_ == MessageDefinitionFormat.MSG else "ros2idl"
        return RosSchema(text, name, connection.digest or "", qos)
    store = get_typestore(Stores.ROS2_HUMBLE)
    if connection.msgtype not in store.fielddefs:
        return RosSchema(type_hash=connection.digest or "", qos=qos)
    text, _ = store.generate_msgdef(connection.msgtype, ros_version=2)
    return RosSchema(text, "ros2msg", connection.digest or store.hash_rihs01(connection.msgtype), qos)


def _decompressed(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _plain(name: str) -> str:
    """A file name that stays in its folder."""
    return name.replace("\\", "/").rpartition("/")[2].lstrip(".") or "unnamed"
