"""ROS 2 messages of the types that fieldrig decodes, as rosbags serialises them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from devices.ros.schema import RosSchema

STORE = get_typestore(Stores.ROS2_HUMBLE)
STORE.register(get_types_from_msg("uint8[] buf\n", "ouster_sensor_msgs/msg/PacketMsg"))
STORE.register(
    get_types_from_msg(
        "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n",
        "foxglove_msgs/msg/CompressedVideo",
    )
)
_POINT = (
    "=" * 80 + "\nMSG: livox_ros_driver2/CustomPoint\nuint32 offset_time\nfloat32 x\nfloat32 y\nfloat32 z\n"
    "uint8 reflectivity\nuint8 tag\nuint8 line\n"
)
STORE.register(
    get_types_from_msg(
        "std_msgs/Header header\nuint64 timebase\nuint32 point_num\nuint8 lidar_id\nuint8[3] rsvd\n"
        f"livox_ros_driver2/CustomPoint[] points\n{_POINT}",
        "livox_ros_driver2/msg/CustomMsg",
    )
)
_PACKET = "=" * 80 + "\nMSG: velodyne_msgs/VelodynePacket\nbuiltin_interfaces/Time stamp\nuint8[1206] data\n"
STORE.register(
    get_types_from_msg(
        f"std_msgs/Header header\nvelodyne_msgs/VelodynePacket[] packets\n{_PACKET}", "velodyne_msgs/msg/VelodyneScan"
    )
)


def ros_description(kind: str) -> str:
    definition, _ = STORE.generate_msgdef(kind, ros_version=2)
    return RosSchema(definition, "ros2msg", STORE.hash_rihs01(kind)).dump()


def header(sec: int = 5) -> Any:
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=7)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="base")


def serialised(kind: str, *fields: Any) -> bytes:
    return bytes(STORE.serialize_cdr(STORE.types[kind](*fields), kind))


def image(encoding: str, pixels: np.ndarray, head: Any = None) -> bytes:
    height, width = pixels.shape[:2]
    data = np.frombuffer(pixels.tobytes(), dtype=np.uint8)
    return serialised("sensor_msgs/msg/Image", head or header(), height, width, encoding, 0, len(data) // height, data)


def cloud(records: np.ndarray, *, big_endian: bool = False, height: int = 1, head: Any = None) -> bytes:
    kinds = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
    fields = [
        STORE.types["sensor_msgs/msg/PointField"](name, int(offset), kinds[kind.str[1:]], 1)
        for name, (kind, offset) in ((name, records.dtype.fields[name][:2]) for name in records.dtype.names)
    ]
    step, data = records.dtype.itemsize, np.frombuffer(records.tobytes(), dtype=np.uint8)
    width = len(records) // height
    return serialised(
        "sensor_msgs/msg/PointCloud2", head or header(), height, width, fields, big_endian, step, step * width, data, True
    )  # fmt: skip


def imu() -> bytes:
    vector, turn, zeros = _type("Vector3"), _type("Quaternion"), np.zeros(9)
    return serialised(
        "sensor_msgs/msg/Imu", header(), turn(0.0, 0.0, 0.0, 1.0), zeros, vector(0.1, 0.2, 0.3), zeros,
        vector(0.0, 0.5, 9.81), zeros,
    )  # fmt: skip


def fix(status: int = 0) -> bytes:
    said = STORE.types["sensor_msgs/msg/NavSatStatus"](status=status, service=1)
    return serialised("sensor_msgs/msg/NavSatFix", header(), said, 47.0, 8.0, 400.0, np.zeros(9), 0)


def pose() -> bytes:
    at = _type("Pose")(_type("Point")(1.0, 2.0, 3.0), _type("Quaternion")(0.0, 0.0, 0.0, 1.0))
    return serialised("geometry_msgs/msg/PoseStamped", header(), at)


def joints() -> bytes:
    return serialised("sensor_msgs/msg/JointState", header(), ["hip"], np.array([0.5]), np.array([]), np.array([]))


def _type(name: str) -> Any:
    return STORE.types[f"geometry_msgs/msg/{name}"]


def _two_points() -> np.ndarray:
    return np.array([(1, 2, 3), (4, 5, 6)], dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4")])


ROS_MESSAGES: dict[str, Callable[[], bytes]] = {
    "sensor_msgs/msg/Image": lambda: image("rgb8", np.full((2, 3, 3), 9, dtype=np.uint8)),
    "sensor_msgs/msg/PointCloud2": lambda: cloud(_two_points()),
    "sensor_msgs/msg/Imu": imu,
    "sensor_msgs/msg/NavSatFix": fix,
    "geometry_msgs/msg/PoseStamped": pose,
    "sensor_msgs/msg/JointState": joints,
}
