"""ROS topics as streams of a recording: one stream a topic, one sensor of the rig for the topics of a namespace."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devices.cameras.access_unit import Codec
from devices.device import Stream
from devices.errors import DeviceError
from devices.ouster.imu_packet import ImuPackets
from devices.ouster.metadata import read_metadata
from devices.ouster.packet import LidarPackets
from devices.rig import RECORDER, Rig, Sensor
from devices.ros.driver import DRIVER
from devices.ros.schema import RosSchema, message_type_of
from devices.velodyne.packet import model_of

_OUSTER_TOPICS = {"lidar_packets": "ouster.lidar", "imu_packets": "ouster.imu"}
_DEPTH_PIXELS = ("16UC1", "mono16", "32FC1")
_STRING = "std_msgs/msg/String"
_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "h264", "h265", "zstd")  # image_transport's
_PACKET_AT = 8  # where a PacketMsg's bytes begin: behind CDR's encapsulation and their count

FirstMessage = Callable[["RosTopic"], bytes | None]


@dataclass(frozen=True, slots=True)
class RosTopic:
    """A topic of a bag. content: what its messages hold where their type does not say it (ros_schema.content_of)."""

    name: str
    type_name: str
    schema: RosSchema
    content: str = ""

    @property
    def encoding(self) -> str:
        return f"{self.type_name}({self.content})" if self.content else self.type_name

    @property
    def is_decoded(self) -> bool:
        return self.encoding in DRIVER.yields


def looked_into(topics: Sequence[RosTopic], first: FirstMessage) -> list[RosTopic]:
    """The topics, with what only their messages tell: that pictures are depths, whose packets an Ouster's are."""
    return [_looked_into(topic, topics, first) for topic in topics]


def streams_of(topics: Sequence[RosTopic]) -> list[Stream]:
    """In the topics' order. A topic that carries several types is as many streams: the first keeps the name."""
    streams: list[Stream] = []
    taken: set[str] = set()
    sensors = _sensors(topics)
    for topic in topics:
        name = topic.name.strip("/")
        name = f"{name}/{topic.type_name.replace('/', '_')}" if name in taken else name
        taken.add(name)
        streams.append(Stream(name, topic.encoding, topic.schema.dump(), sensors[topic.name]))
    return streams


def _sensors(topics: Sequence[RosTopic]) -> dict[str, str]:
    """Topic -> its sensor: the topic's namespace; where that has several pictures, or sweeps, these are sensors each.

    ``/camera/front/image_raw`` and ``/camera/front/image_raw/compressed`` are of ``camera_front``; ``/stereo/left`` of ``stereo_left``.
    """
    measured: dict[tuple[str, type[Any]], set[str]] = {}
    for topic in topics:
        kind = DRIVER.yields.get(topic.encoding)
        if kind is not None:
            measured.setdefault((_namespace(topic.name), kind), set()).add(_measurement(topic.name))
    crowded = {each for names in measured.values() if len(names) > 1 for each in names}
    return {
        topic.name: (_measurement(topic.name) if _measurement(topic.name) in crowded else _namespace(topic.name)).replace("/", "_")
        for topic in topics
    }  # fmt: skip


def _measurement(topic: str) -> str:
    """The topic without the way in which its pictures are packed."""
    name, _, last = topic.strip("/").rpartition("/")
    return name if name and last in _TRANSPORTS else topic.strip("/")


def _namespace(topic: str) -> str:
    measurement = _measurement(topic)
    namespace = measurement.rpartition("/")[0] or measurement
    # Of a recording that this recorder's like has made, its own topics are not this one's.
    return f"imported_{namespace}" if namespace == RECORDER else namespace


def rig_of(bag: Path, streams: Iterable[Stream]) -> Rig:
    """A rig that is named after the bag."""
    sensors = {
        stream.sensor: Sensor(name=stream.sensor, driver="ros_message", own={"bag": bag.name}) for stream in streams
    }
    return Rig(name=rig_name(bag), sensors=sensors)


def rig_name(log: Path) -> str:
    """The log's name in the letters that a rig's may have."""
    return re.sub(r"[^a-z0-9_-]+", "-", log.absolute().stem.lower()).strip("-_") or "imported"


def device_clock(topic: RosTopic) -> Callable[[bytes], int | None]:
    """Message -> the newest instant in it on its sensor's own clock; None for all messages that tell the robot's time."""
    if not topic.content.startswith("ouster."):
        return lambda _: None
    metadata = read_metadata(topic.schema.inside)
    packets = LidarPackets(metadata) if topic.content == "ouster.lidar" else ImuPackets(metadata)

    def newest_ns(message: bytes) -> int | None:
        try:
            return packets.newest_ns(message[_PACKET_AT:])
        except (ValueError, IndexError, struct.error):
            return None

    return newest_ns


def notes_on(topics: Sequence[RosTopic], streams: Sequence[Stream]) -> list[str]:
    """What a reader should know of how the topics became streams."""
    undecoded = sorted({f"{each.name} ({each.encoding})" for each in topics if not each.is_decoded})
    notes = [f"kept as they are, nothing here decodes them: {', '.join(undecoded)}"] if undecoded else []
    return notes + [
        f"topic '{topic.name}' of {topic.type_name} is /{stream.name} here"
        for topic, stream in zip(topics, streams, strict=True)
        if topic.name != f"/{stream.name}"
    ]


def _looked_into(topic: RosTopic, topics: Sequence[RosTopic], first: FirstMessage) -> RosTopic:
    namespace, _, last = topic.name.rpartition("/")
    if topic.type_name.endswith("/PacketMsg") and last in _OUSTER_TOPICS:
        beside = (each for each in topics if each.name == f"{namespace}/metadata" and each.type_name == _STRING)
        metadata = _ouster_metadata(next(beside, None), first)
        content = replace(topic, content=_OUSTER_TOPICS[last], schema=replace(topic.schema, inside=metadata))
        return content if metadata and content.is_decoded else topic
    look = _LOOKS.get(topic.type_name)
    message = first(topic) if look is not None else None
    try:
        return topic if look is None or message is None else look(topic, _read(topic, message))
    except (DeviceError, AttributeError):
        return topic  # its decoder will count what is wrong


def _picture(topic: RosTopic, message: Any) -> RosTopic:
    return replace(topic, content="depth") if message.encoding in _DEPTH_PIXELS else topic


def _compressed_picture(topic: RosTopic, message: Any) -> RosTopic:
    return replace(topic, content="depth") if "compressedDepth" in message.format else topic


def _video(topic: RosTopic, message: Any) -> RosTopic:
    return replace(topic, content=message.format) if message.format in set(Codec) else topic


def _velodyne_scan(topic: RosTopic, message: Any) -> RosTopic:
    """Its lidar's model, which each packet tells by its number; unknown ones stay undecoded."""
    model = next((name for each in message.packets if (name := model_of(bytes(each.data))) is not None), None)
    return topic if model is None else replace(topic, content="velodyne", schema=replace(topic.schema, inside=model))


_LOOKS: dict[str, Callable[[RosTopic, Any], RosTopic]] = {
    "sensor_msgs/msg/Image": _picture,
    "sensor_msgs/msg/CompressedImage": _compressed_picture,
    "foxglove_msgs/msg/CompressedVideo": _video,
    "velodyne_msgs/msg/VelodyneScan": _velodyne_scan,
}


def _ouster_metadata(topic: RosTopic | None, first: FirstMessage) -> str:
    """The sensor's metadata as its driver publishes it; "" where it is not there or cannot be read."""
    message = first(topic) if topic is not None else None
    if topic is None or message is None:
        return ""
    try:
        text = str(_read(topic, message).data)
        read_metadata(text)
    except (DeviceError, AttributeError):
        return ""
    return text


def _read(topic: RosTopic, message: bytes) -> Any:
    """Raises DeviceError when the message is none of the topic's type."""
    try:
        return topic.schema.typestore(topic.type_name).deserialize_cdr(message, topic.type_name)
    except Exception as error:  # generated code meets foreign bytes
        raise DeviceError(f"{topic.name}: {error}") from None


def is_message_type(name: str) -> bool:
    """Whether a stream can say that its packets are such messages: ``PACKAGE/msg/TYPE``."""
    return message_type_of(name) == name
