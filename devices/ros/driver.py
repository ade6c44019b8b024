"""ROS 2 messages that another recorder kept, decoded into samples. They come in through `fieldrig import`; nothing is connected to.

[sensors.camera]
driver = "ros_message"
bag = "drive_1"           # where they come from

A stream's encoding is its message type, e.g. ``sensor_msgs/msg/Imu``, or type and content where the type alone does not say what is inside,
e.g. ``ouster_sensor_msgs/msg/PacketMsg(ouster.lidar)``. Types that are not listed below are kept as they are and hold no samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from devices.cameras.access_unit import Codec
from devices.cameras.picture import picture_decoder
from devices.cameras.video import VideoDecoder
from devices.device import Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream, driver
from devices.errors import DeviceError
from devices.ros import samples as ros_samples
from devices.ros.cloud import livox_sweep, sweep_of
from devices.ros.schema import RosSchema, content_of, message_type_of
from devices.samples import Depth, GnssFix, Image, ImuSample, NamedVector, Packet, Sample, Stamps, Sweep

_OUSTER_PACKETS = tuple(f"{package}/msg/PacketMsg" for package in ("ouster_ros", "ouster_msgs", "ouster_sensor_msgs"))
_CONVERTED: Mapping[str, tuple[type[Sample], ros_samples.Convert]] = {
    "sensor_msgs/msg/Image": (Image, ros_samples.image),
    "sensor_msgs/msg/Image(depth)": (Depth, ros_samples.depth),
    "sensor_msgs/msg/CompressedImage(depth)": (Depth, ros_samples.compressed_depth),
    "sensor_msgs/msg/Imu": (ImuSample, ros_samples.imu),
    "sensor_msgs/msg/JointState": (NamedVector, ros_samples.joint_state),
    "sensor_msgs/msg/NavSatFix": (GnssFix, ros_samples.fix),
    "sensor_msgs/msg/PointCloud2": (Sweep, sweep_of),
    "livox_ros_driver/msg/CustomMsg": (Sweep, livox_sweep),
    "livox_ros_driver2/msg/CustomMsg": (Sweep, livox_sweep),
    "nav_msgs/msg/Odometry": (NamedVector, ros_samples.odometry),
    "geometry_msgs/msg/PoseStamped": (NamedVector, ros_samples.pose_stamped),
    "geometry_msgs/msg/PoseWithCovarianceStamped": (NamedVector, ros_samples.pose_with_covariance),
    "geometry_msgs/msg/TwistStamped": (NamedVector, ros_samples.twist_stamped),
}
_PICTURES = "sensor_msgs/msg/CompressedImage"
_VIDEO = "foxglove_msgs/msg/CompressedVideo"
_VELODYNE = "velodyne_msgs/msg/VelodyneScan(velodyne)"


class RosMessageConfig(SensorConfig):
    bag: str


class RosMessageDriver:
    """Streams are named like their topics, without the leading slash; a sensor is what has the topic's first part in common."""

    config = RosMessageConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = MappingProxyType(
        {name: kind for name, (kind, _) in _CONVERTED.items()}
        | {_PICTURES: Image, _VELODYNE: Sweep}
        | {f"{_VIDEO}({codec.value})": Image for codec in Codec}
        | {f"{name}(ouster.lidar)": Sweep for name in _OUSTER_PACKETS}
        | {f"{name}(ouster.imu)": ImuSample for name in _OUSTER_PACKETS}
    )

    def open(self, name: str, config: RosMessageConfig) -> Sequence[Source]:
        raise DeviceError(f"{name}: messages of the bag {config.bag} cannot be recorded anew; run: fieldrig import")

    def decoder(self, stream: Stream) -> Decoder:
        type_name, content = message_type_of(stream.encoding), content_of(stream.encoding)
        if type_name is None:
            raise DeviceError(f"{stream.name}: no ROS message type: '{stream.encoding}'")
        schema = RosSchema.parse(stream.description)
        if stream.encoding not in self.yields:
            return PacketDecoder(_nothing)
        messages = _Messages(type_name, schema)
        if content.startswith("ouster."):
            inner = driver("ouster").decoder(Stream(stream.name, content, schema.inside))
            return UnwrappingDecoder(messages, _packet_of_buffer, inner)
        if stream.encoding == _VELODYNE:
            inner = driver("velodyne").decoder(Stream(stream.name, "velodyne", schema.inside))
            return UnwrappingDecoder(messages, _packets_of_scan, inner)
        if type_name == _VIDEO:
            return UnwrappingDecoder(messages, _packet_of_video, VideoDecoder(stream.sensor, Codec(content)))
        if stream.encoding == _PICTURES:
            return UnwrappingDecoder(messages, _packet_of_picture, picture_decoder(stream.sensor))
        return PacketDecoder(partial(_converted, stream, messages, _CONVERTED[stream.encoding][1]))

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A bag is a file, no sensor: it is not looked for."""
        return ()


class _Messages:
    """Deserialises messages of one type; the definition is compiled when the first one comes."""

    def __init__(self, type_name: str, schema: RosSchema) -> None:
        self._type_name = type_name
        self._schema = schema
        self._store: Any = None

    def read(self, data: bytes) -> Any:
        """Raises DeviceError, its text a reason to pass the message over."""
        if self._store is None:
            self._store = self._schema.typestore(self._type_name)
        try:
            return self._store.deserialize_cdr(data, self._type_name)
        except Exception:  # generated code meets foreign bytes: it may raise whatever indexing and unpacking raise
            raise DeviceError(f"no {self._type_name}") from None


@dataclass(frozen=True, slots=True)
class UnwrappingDecoder:
    """Takes the payloads out of each message and gives them to the decoder that knows them."""

    messages: _Messages
    unwrap: Callable[[Packet, Any], Iterable[Packet]]
    inner: Decoder
    rejections: Rejections = field(default_factory=Rejections)

    def decode(self, packet: Packet) -> Iterable[Sample]:
        try:
            payloads = list(self.unwrap(packet, self.messages.read(packet.data)))
        except DeviceError as error:
            self.rejections.add(str(error))
            return []
        return [sample for payload in payloads for sample in self.inner.decode(payload)]

    def flush(self) -> Iterable[Sample]:
        return self.inner.flush()

    @property
    def carries_over(self) -> bool:
        return self.inner.carries_over

    @property
    def rejected(self) -> Mapping[str, int]:
        return {**self.inner.rejected, **self.rejections.counts}


def _packet_of_buffer(packet: Packet, message: Any) -> Iterable[Packet]:
    yield Packet(packet.stream, Stamps(packet.stamps.host_ns), bytes(message.buf))


def _packet_of_picture(packet: Packet, message: Any) -> Iterable[Packet]:
    stamps = Stamps(packet.stamps.host_ns, ros_samples.stamp_ns(message.header) or None)
    yield Packet(packet.stream, stamps, bytes(message.data))


def _packet_of_video(packet: Packet, message: Any) -> Iterable[Packet]:
    stamps = Stamps(packet.stamps.host_ns, ros_samples.time_ns(message.timestamp) or None)
    yield Packet(packet.stream, stamps, bytes(message.data))


def _packets_of_scan(packet: Packet, message: Any) -> Iterable[Packet]:
    """A turn's data packets, each with its arrival at the driver."""
    for each in message.packets:
        yield Packet(packet.stream, Stamps(ros_samples.time_ns(each.stamp) or packet.stamps.host_ns), bytes(each.data))


def _converted(
    stream: Stream, messages: _Messages, convert: ros_samples.Convert, packet: Packet, rejections: Rejections
) -> Iterable[Sample]:
    try:
        message = messages.read(packet.data)
        t_ns = ros_samples.stamp_ns(message.header) or packet.stamps.host_ns
        sample = convert(stream, t_ns, message)
    except DeviceError as error:
        rejections.add(str(error))
        return
    if sample is not None:
        yield sample


def _nothing(packet: Packet, rejections: Rejections) -> Iterable[Sample]:  # noqa: ARG001
    """Kept in the recording as it is; it holds no samples that are known here."""
    return ()


DRIVER = RosMessageDriver()
