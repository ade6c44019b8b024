"""A ROS 2 bag as its files hold it: MCAP or SQLite, compressed by file, message or chunk, or not at all; read as a stream.

metadata.yaml, SQLite and decompressed files are rosbags' work. MCAP files are read by the mcap package, which tells the publish time and
the schema as they stand there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from capture.errors import CaptureError
from capture.importers.ros_topics import RosTopic, is_message_type
from devices.errors import FieldrigError
from devices.ros_schema import RosSchema

METADATA = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3")
_COMPRESSIONS = {"", "lz4", "zstd"}  # of MCAP chunks


@dataclass(frozen=True, slots=True)
class BagMessage:
    """publish_ns equals log_ns where the bag keeps one time only."""

    topic: RosTopic
    log_ns: int
    publish_ns: int
    data: bytes


class _Storage(Protocol):
    """One file of a bag."""

    topics: list[RosTopic]
    total: int
    left_out: dict[str, int]

    def attachments(self) -> Iterator[tuple[str, bytes]]: ...

    def messages(self, topic: RosTopic | None = None) -> Iterator[BagMessage]: ...


@dataclass(slots=True)
class Ros2Bag:
    """topics: each (name, type) once. left_out: topic and encoding -> messages that are no ROS 2 messages. total: messages of the topics.

    stated: messages by the word of metadata.yaml, None without one.
    """

    path: Path
    storages: list[_Storage]
    stated: int | None = None
    topics: list[RosTopic] = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        found = {(topic.name, topic.type_name): topic for each in reversed(self.storages) for topic in each.topics}
        self.topics = sorted(found.values(), key=lambda topic: (topic.name, topic.type_name))
        self.total = sum(storage.total for storage in self.storages)

    @property
    def left_out(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for storage in self.storages:
            for name, count in storage.left_out.items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        """What else lies in the files: a name that stays in its folder, and the content."""
        for storage in self.storages:
            with readable(self.path):
                yield from storage.attachments()

    def messages(self) -> Iterator[BagMessage]:
        """File by file, in each by log time. Raises CaptureError where the bag cannot be read."""
        for storage in self.storages:
            with readable(self.path):
                yield from storage.messages()

    def first(self, topic: RosTopic) -> bytes | None:
        for storage in self.storages:
            with readable(self.path):
                for message in storage.messages(topic):
                    return message.data
        return None


@contextmanager
def open_ros2(path: Path) -> Iterator[Ros2Bag]:
    """Raises CaptureError when the path is no ROS 2 bag, or a damaged one."""
    from rosbags.rosbag2 import Reader

    with ExitStack() as stack:
        with readable(path):
            _check_moved_in(path)
            whole = (path / METADATA).is_file()
            storages: list[_Storage] = []
            stated: int | None = None
            for each in [path] if whole else [file for file in files_of(path) if is_ros2(file)]:
                if each.suffix == ".mcap":
                    storages.append(_McapStorage(stack.enter_context(each.open("rb")), each.name, compressed=False))
                    continue
                reader = stack.enter_context(Reader(each))
                stated = reader.message_count if whole else None
                parts: list[Any] = getattr(reader.storage, "storages", [reader.storage])
                storages += [_storage(part, reader.compression_mode == "message", stack) for part in parts]
        yield Ros2Bag(path, storages, stated)


def _check_moved_in(path: Path) -> None:
    """SQLite's journal of a recorder that was killed holds messages that rosbags would not see."""
    for journal in [path.with_name(f"{path.name}-wal")] if path.is_file() else sorted(path.glob("*.db3-wal")):
        if journal.is_file() and journal.stat().st_size:
            file = journal.with_name(journal.name.removesuffix("-wal"))
            raise CaptureError(
                f"{journal} holds messages that its recorder has not moved into {file.name}; "
                f"run: sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)', then import again; nothing was imported"
            )


def files_of(path: Path) -> list[Path]:
    """The files that a bag consists of, a folder's by the number in their names."""
    if path.is_file():
        return [path]
    files = [each for each in path.iterdir() if each.is_file()]
    return sorted(files, key=lambda file: (_number(file), file.name))


def is_ros2(path: Path) -> bool:
    if path.is_file():
        return _is_storage(path)
    return path.is_dir() and any(map(_is_storage, path.iterdir()))


def _is_storage(file: Path) -> bool:
    return file.name.removesuffix(".zstd").endswith(_SUFFIXES)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What readers raise at damaged places becomes a CaptureError."""
    try:
        yield
    except FieldrigError:
        raise
    except OSError as error:  # a file that may not be read; no room where a compressed one is unpacked
        raise CaptureError(f"cannot read the bag {path}: {error}; nothing was imported") from None
    except Exception as error:  # rosbags, mcap, apsw and zstd each raise errors of their own
        said = (str(error) or type(error).__name__).replace("\n", " ")
        mend = "`rosbag reindex`" if path.suffix == ".bag" else "`ros2 bag reindex` or `mcap recover`"
        raise CaptureError(f"cannot read the bag {path}: {said}; {mend} may mend it, nothing was imported") from None


def _number(file: Path) -> int:
    tail = file.name.partition(".")[0].rpartition("_")[2]
    return int(tail) if tail.isdecimal() else -1


def _storage(part: Any, compressed: bool, stack: ExitStack) -> _Storage:
    path = Path(part.path)
    if path.suffix == ".mcap":
        return _McapStorage(stack.enter_context(path.open("rb")), path.name, compressed)
    return _SqliteStorage(part, compressed)


class _McapStorage:
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
        self._name = name

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        for number, each in enumerate(self._reader.iter_attachments()):
            yield f"attachments/{self._name}/{number}_{_plain(each.name)}", each.data
        records = {record.name: record.metadata for record in self._reader.iter_metadata()}
        if records:
            yield f"{self._name}.metadata.json", json.dumps(records, indent=2).encode()

    def messages(self, topic: RosTopic | None = None) -> Iterator[BagMessage]:
        names = {each.name for each in self.topics} if topic is None else {topic.name}
        for _, channel, message in self._reader.iter_messages(topics=list(names)) if names else ():
            found = self._topics.get(channel.id)
            if found is not None and (topic is None or found.type_name == topic.type_name):
                data = _decompressed(message.data) if self._compressed else message.data
                yield BagMessage(found, message.log_time, message.publish_time, data)


class _SqliteStorage:
    def __init__(self, part: Any, compressed: bool) -> None:
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
        self.total = sum(each.msgcount for each in part.connections if each.id in self._topics)

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
