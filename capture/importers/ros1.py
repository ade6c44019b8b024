"""ROS 1 bags: each message as the ROS 2 message of the same content, which has no header.seq. The bag itself is kept beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capture.errors import CaptureError
from capture.importers import Progress, check_is_file
from capture.importers.import_session import ImportSession
from capture.importers.ros2_bag import readable
from capture.importers.ros_topics import RosTopic, device_clock, looked_into, notes_on, rig_of, streams_of
from capture.workspace import Workspace
from devices.rig import Rig
from devices.ros.schema import RosSchema
from devices.samples import Packet, Stamps

# Types that ROS 2 calls by another name; their fields are the same.
_RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}
_MAGIC = b"#ROSBAG V"
_HEADER = "std_msgs/msg/Header"


class Ros1Importer:
    """One .bag file, of bag format 2.0."""

    line = "Import a ROS 1 bag (none, bz2 or lz4)."
    example = "drive.bag"
    needs_rig = False

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix == ".bag"

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """A stream a topic. Messages that cannot be converted are counted; the kept bag still holds them."""
        check_is_file(path, "ROS 1 bag")
        _check_is_bag(path)
        if rig is not None:
            raise CaptureError("a ROS 1 bag names its own topics; leave --rig out")
        with _open_ros1(path) as bag:
            topics = looked_into(bag.topics, bag.first)
            streams = streams_of(topics)
            clocks = [device_clock(topic) for topic in topics]
            session = ImportSession(
                workspace, rig_of(path, streams), streams, path, [path], total=bag.total, progress=progress
            )
            with session:
                session.keep(path)
                for number, t_ns, data in bag.messages():
                    packet = Packet(streams[number].name, Stamps(t_ns), data)
                    session.add(number, packet, clock_ns=clocks[number](data))
                for text in notes_on(topics, streams):
                    session.note(text)
                for topic, reason in bag.unreadable.items():
                    session.doubt(
                        f"{topic}: its definition cannot be converted to ROS 2 ({reason}); the kept bag has it"
                    )
                for topic, count in bag.unconverted.items():
                    session.doubt(f"{topic}: {count} messages do not fit its definition; the kept bag has them")
                for text in bag.lacking():
                    session.doubt(text)
        return session.folder


@dataclass(slots=True)
class _Ros1Bag:
    """reader: rosbags'. unreadable: topic -> why; unconverted, read: topic -> messages; all grow while the bag is read."""

    path: Path
    reader: Any
    topics: list[RosTopic] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    unconverted: dict[str, int] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    _lanes: dict[int, tuple[int, Callable[[bytes], bytes]]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(connection.msgcount for connection in self.reader.connections)

    def prepare(self) -> None:
        """Makes a topic of each connection, and of several that publish the same type under the same name one."""
        numbers: dict[tuple[str, str], int] = {}
        for connection in sorted(self.reader.connections, key=lambda each: (each.topic, each.msgtype, each.id)):
            try:
                topic, convert = _converted_topic(connection)
            except Exception as error:  # rosbags' parser raises what it comes across
                self.unreadable[connection.topic] = str(error) or type(error).__name__
                continue
            key = (topic.name, topic.type_name)
            if key not in numbers:
                numbers[key] = len(self.topics)
                self.topics.append(topic)
            self._lanes[connection.id] = numbers[key], convert

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """(index of the topic, log time, ROS 2 message), by log time."""
        yield from self._read(self.reader.connections)

    def first(self, topic: RosTopic) -> bytes | None:
        number = self.topics.index(topic)
        lanes = [each for each in self.reader.connections if self._lanes.get(each.id, (-1,))[0] == number]
        return next((data for _, _, data in self._read(lanes, counted=False)), None)

    def lacking(self) -> list[str]:
        """Where the bag's chunks state other counts than were read through their indexes, a line each."""
        topics = {each.id: each.topic for each in self.reader.connections}
        stated: Counter[str] = Counter()
        for chunk in self.reader.chunk_infos:
            for connection, count in chunk.connection_counts.items():
                stated[topics.get(connection, f"connection {connection}, which names no topic")] += count
        return [
            f"{topic}: the bag's chunks state {stated[topic]} messages, {self.read[topic]} could be read"
            for topic in sorted(stated | self.read)
            if stated[topic] != self.read[topic]
        ]

    def _read(self, connections: list[Any], *, counted: bool = True) -> Iterator[tuple[int, int, bytes]]:
        if not connections:
            return
        with readable(self.path):
            for connection, t_ns, raw in self.reader.messages(connections=connections):
                self.read[connection.topic] += counted
                if connection.id not in self._lanes:
                    continue
                number, convert = self._lanes[connection.id]
                try:
                    data = convert(raw)
                except Exception:  # generated code meets foreign bytes
                    self.unconverted[connection.topic] = self.unconverted.get(connection.topic, 0) + counted
                    continue
                yield number, t_ns, data


def _check_is_bag(path: Path) -> None:
    with readable(path), path.open("rb") as file:
        begins = file.read(len(_MAGIC))
    if not _MAGIC.startswith(begins):
        raise CaptureError(f"{path} is no ROS 1 bag: it does not begin with {_MAGIC.decode()}; nothing was imported")


@contextmanager
def _open_ros1(path: Path) -> Iterator[_Ros1Bag]:
    from rosbags.rosbag1 import Reader

    with readable(path):
        reader = Reader(path)
        reader.open()
    try:
        bag = _Ros1Bag(path, reader)
        bag.prepare()
        yield bag
    finally:
        reader.close()


def _converted_topic(connection: Any) -> tuple[RosTopic, Callable[[bytes], bytes]]:
    """A ROS 1 connection as a ROS 2 topic, and what turns its messages into that topic's. Types are those of the bag itself."""
    from rosbags.convert.converter import LATCH
    from rosbags.rosbag2.metadata import dump_qos_v8
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    name = _RENAMED.get(connection.msgtype, connection.msgtype)
    types = get_types_from_msg(connection.msgdef.data, name)
    if _HEADER in types:
        types[_HEADER] = get_typestore(Stores.ROS2_HUMBLE).fielddefs[_HEADER]
    store = get_typestore(Stores.EMPTY)
    store.register(types)
    definition, _ = store.generate_msgdef(name, ros_version=2)
    schema = RosSchema(
        definition, "ros2msg", store.hash_rihs01(name), dump_qos_v8(LATCH) if connection.ext.latching else ""
    )
    topic = RosTopic(connection.topic, name, schema)
    return topic, lambda raw: bytes(store.ros1_to_cdr(raw, name))


IMPORTER = Ros1Importer()
