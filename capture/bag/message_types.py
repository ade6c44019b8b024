"""The ROS 2 message types of a recording, and which of them a stream's packets become."""

from __future__ import annotations

from dataclasses import dataclass

from devices.cameras import raw_picture
from devices.device import Stream
from devices.ros.schema import RosSchema, message_type_of

_RULE = "=" * 80 + "\n"
_HEADER_TEXT = (
    _RULE + "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    + _RULE + "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MessageType:
    """A ROS 2 message type: its name, its definition (and in which language), and its RIHS01 hash (REP 2016).

    qos: the profiles that its publisher offered, where another recorder has kept them.
    """

    name: str
    definition: str
    type_hash: str
    format: str = "ros2msg"
    qos: str = ""


RAW_PACKET = MessageType(
    "fieldrig_msgs/msg/RawPacket",
    "std_msgs/Header header\nuint64 device_ns\nuint64 sequence\nstring encoding\nuint8[] data\n" + _HEADER_TEXT,
    "RIHS01_6dc0cb4c4979124fd726e8c68e1b659902490c8f028271bf4929e3eb10683a55",
)
COMPRESSED_IMAGE = MessageType(
    "sensor_msgs/msg/CompressedImage",
    "std_msgs/Header header\nstring format\nuint8[] data\n" + _HEADER_TEXT,
    "RIHS01_15640771531571185e2efc8a100baf923961a4d15d5569652e6cb6691e8e371a",
)
IMAGE = MessageType(
    "sensor_msgs/msg/Image",
    "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n"
    + _HEADER_TEXT,
    "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
)
COMPRESSED_VIDEO = MessageType(
    "foxglove_msgs/msg/CompressedVideo",
    "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n"
    + _RULE + "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
    "RIHS01_32039eafc3770e589c86c4dabff9c392ce9955ebffd43f5f60763011d43d8d1d",
)  # fmt: skip
POINT_CLOUD = MessageType(
    "sensor_msgs/msg/PointCloud2",
    "std_msgs/Header header\nuint32 height\nuint32 width\nsensor_msgs/PointField[] fields\nbool is_bigendian\n"
    "uint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense\n"
    + _HEADER_TEXT
    + _RULE + "MSG: sensor_msgs/PointField\n"
    "uint8 INT8=1\nuint8 UINT8=2\nuint8 INT16=3\nuint8 UINT16=4\n"
    "uint8 INT32=5\nuint8 UINT32=6\nuint8 FLOAT32=7\nuint8 FLOAT64=8\n"
    "string name\nuint32 offset\nuint8 datatype\nuint32 count\n",
    "RIHS01_9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5",
)  # fmt: skip
DIAGNOSTIC_ARRAY = MessageType(
    "diagnostic_msgs/msg/DiagnosticArray",
    "std_msgs/Header header\ndiagnostic_msgs/DiagnosticStatus[] status\n"
    + _HEADER_TEXT
    + _RULE + "MSG: diagnostic_msgs/DiagnosticStatus\nbyte OK=0\nbyte WARN=1\nbyte ERROR=2\nbyte STALE=3\n"
    "byte level\nstring name\nstring message\nstring hardware_id\ndiagnostic_msgs/KeyValue[] values\n"
    + _RULE + "MSG: diagnostic_msgs/KeyValue\nstring key\nstring value\n",
    "RIHS01_5a8a36efb05fb25070fa0fb3810290c0e6cd4862b54a8fb975a1ee8dc55a333e",
)  # fmt: skip

CLOCK_SAMPLE = MessageType(
    "fieldrig_msgs/msg/ClockSample",
    "std_msgs/Header header\nstring stream\nint64 device_ns\nint64 host_ns\nint64 from_host_ns\nint64 reference_device_ns\n"
    "int64 host_minus_device_ns\nfloat64 skew_ppm\nfloat64 skew_sigma_ppm\nfloat64 sigma_ns\nuint64 samples\nuint32 stretch\n"
    "uint32 strays\n" + _HEADER_TEXT,
    "RIHS01_49b62b1cc28e681480044e957ac87d60eaca3f6cca04ee2496e7fe843b073aa6",
)


def message_type(stream: Stream) -> MessageType:
    """Pictures and clouds that ROS tools can show are stored as such, ROS messages as they are; all else is kept as a raw packet."""
    if (foreign := message_type_of(stream.encoding)) is not None:
        schema = RosSchema.parse(stream.description)
        return MessageType(foreign, schema.definition, schema.type_hash, schema.format, schema.qos)
    if stream.encoding in ("jpeg", "png"):
        return COMPRESSED_IMAGE
    if stream.encoding in ("h264", "h265"):
        return COMPRESSED_VIDEO
    if stream.encoding in raw_picture.KINDS:
        return IMAGE
    return POINT_CLOUD if stream.encoding == "xyzi.f32" else RAW_PACKET
