"""Bags of many types of messages, written by rosbags and by the mcap package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

START_NS = 1_700_000_000_123_456_789
STEP_NS = 10_000_001
GRASP = """std_msgs/Header header
float32 MAX_FORCE=35.5
string gripper
Contact[] contacts
float64[3] goal
int8[<=4] codes
================================================================================
MSG: lab_msgs/Contact
string<=16 finger
float32 force
bool slips
"""


def typestore(stamps: Stores = Stores.ROS2_HUMBLE) -> Typestore:
    store = get_typestore(stamps)
    text = GRASP if stamps is not Stores.ROS1_NOETIC else GRASP.replace("<=4", "").replace("<=16", "")
    store.register(get_types_from_msg(text, "lab_msgs/msg/Grasp"))
    return store


class Messages:
    """One of every type that a rig's bag is likely to hold, at a time."""

    def __init__(self, store: Typestore) -> None:
        self.store = store
        self.types = store.types

    def header(self, t_ns: int, frame: str = "base") -> Any:
        stamp = self.types["builtin_interfaces/msg/Time"](sec=t_ns // 10**9, nanosec=t_ns % 10**9)
        seq = {"seq": 77} if "ROS1" in self._version else {}
        return self.types["std_msgs/msg/Header"](**seq, stamp=stamp, frame_id=frame)

    @property
    def _version(self) -> str:
        first = self.store.fielddefs["std_msgs/msg/Header"][1][0][0]
        return "ROS1" if first == "seq" else "ROS2"

    def all(self, t_ns: int) -> list[tuple[str, str, Any]]:
        """(topic, type, message)"""
        return [
            ("/camera/front/image_raw/compressed", "sensor_msgs/msg/CompressedImage", self.compressed(t_ns)),
            ("/camera/front/image_raw", "sensor_msgs/msg/Image", self.image(t_ns)),
            ("/camera/depth/image_raw", "sensor_msgs/msg/Image", self.depth(t_ns)),
            ("/velodyne_points", "sensor_msgs/msg/PointCloud2", self.cloud(t_ns)),
            ("/imu/data", "sensor_msgs/msg/Imu", self.imu(t_ns)),
            ("/gnss/fix", "sensor_msgs/msg/NavSatFix", self.fix(t_ns)),
            ("/odom", "nav_msgs/msg/Odometry", self.odometry(t_ns)),
            ("/arm/joint_states", "sensor_msgs/msg/JointState", self.joints(t_ns)),
            ("/arm/grasp", "lab_msgs/msg/Grasp", self.grasp(t_ns)),
            ("/chatter", "std_msgs/msg/String", self.types["std_msgs/msg/String"](data="Grüße")),
        ]

    def compressed(self, t_ns: int) -> Any:
        jpeg = cv2.imencode(".jpg", np.full((8, 12, 3), 90, dtype=np.uint8))[1]
        return self.types["sensor_msgs/msg/CompressedImage"](self.header(t_ns), "jpeg", jpeg.reshape(-1))

    def image(self, t_ns: int, encoding: str = "bgr8", pixels: np.ndarray | None = None) -> Any:
        pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) if pixels is None else pixels
        height, width = pixels.shape[:2]
        data = np.frombuffer(pixels.tobytes(), dtype=np.uint8)
        return self.types["sensor_msgs/msg/Image"](
            self.header(t_ns), height, width, encoding, 0, len(data) // height, data
        )

    def depth(self, t_ns: int) -> Any:
        return self.image(t_ns, "16UC1", np.full((4, 6, 1), 1500, dtype=np.uint16))

    def cloud(self, t_ns: int, records: np.ndarray | None = None) -> Any:
        """Four points; time in float seconds after the stamp, ring 0 the lowest: as Velodyne's driver gives them."""
        if records is None:
            layout = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("ring", "u2"), ("time", "f4")]
            records = np.array(
                [(5, 0, -1, 10, 0, -0.05), (5, 0, 0, 20, 8, -0.025), (5, 0, 1, 30, 15, 0), (np.nan, 0, 0, 0, 3, 0)],
                dtype=layout,
            )
        kinds = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
        fields = [
            self.types["sensor_msgs/msg/PointField"](name, int(offset), kinds[kind.str[1:]], 1)
            for name, (kind, offset) in ((name, records.dtype.fields[name][:2]) for name in records.dtype.names)
        ]
        step = records.dtype.itemsize
        data = np.frombuffer(records.tobytes(), dtype=np.uint8)
        return self.types["sensor_msgs/msg/PointCloud2"](
            self.header(t_ns), 1, len(records), fields, False, step, step * len(records), data, False
        )

    def imu(self, t_ns: int) -> Any:
        vector, turn = self.types["geometry_msgs/msg/Vector3"], self.types["geometry_msgs/msg/Quaternion"]
        zeros = np.zeros(9)
        return self.types["sensor_msgs/msg/Imu"](
            self.header(t_ns), turn(0.0, 0.0, 0.0, 1.0), zeros, vector(0.1, 0.2, 0.3), zeros, vector(0.0, 0.5, 9.81), zeros
        )  # fmt: skip

    def fix(self, t_ns: int) -> Any:
        status = self.types["sensor_msgs/msg/NavSatStatus"](status=2, service=1)
        covariance = np.diag([0.04, 0.09, 0.25]).reshape(-1)
        return self.types["sensor_msgs/msg/NavSatFix"](
            self.header(t_ns), status, 47.285233, 8.565265, 499.6, covariance, 2
        )

    def odometry(self, t_ns: int) -> Any:
        vector = self.types["geometry_msgs/msg/Vector3"]
        pose = self.types["geometry_msgs/msg/Pose"](
            self.types["geometry_msgs/msg/Point"](1.0, 2.0, 3.0),
            self.types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.6, 0.8),
        )
        twist = self.types["geometry_msgs/msg/Twist"](vector(0.5, 0.0, 0.0), vector(0.0, 0.0, 0.25))
        return self.types["nav_msgs/msg/Odometry"](
            self.header(t_ns), "base",
            self.types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
            self.types["geometry_msgs/msg/TwistWithCovariance"](twist, np.zeros(36)),
        )  # fmt: skip

    def joints(self, t_ns: int) -> Any:
        return self.types["sensor_msgs/msg/JointState"](
            self.header(t_ns), ["hip", "knee"], np.array([0.5, -1.25]), np.array([]), np.array([3.0, 4.0])
        )

    def grasp(self, t_ns: int) -> Any:
        contact = self.types["lab_msgs/msg/Contact"]
        return self.types["lab_msgs/msg/Grasp"](
            self.header(t_ns), "left", [contact("thumb", 1.5, False), contact("index", 2.5, True)],
            np.array([1.0, 2.0, 3.0]), np.array([1, -2], dtype=np.int8),
        )  # fmt: skip


def ros2_bag(path: Path, plugin: StoragePlugin, mode: CompressionMode = CompressionMode.NONE, rounds: int = 5) -> Path:
    """Written by rosbags; message n lies n steps after the start."""
    store = typestore()
    writer = Writer2(path, version=9, storage_plugin=plugin)
    if mode is not CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for number, (topic, kind, message) in enumerate(_rounds(Messages(store), rounds)):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], START_NS + number * STEP_NS, store.serialize_cdr(message, kind))
    return path


def mcap_bag(path: Path, compression: CompressionType, rounds: int = 5) -> Path:
    """Written by the mcap package in chunks, published a little before they were logged; with an attachment and a metadata record."""
    store = typestore()
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=4096, compression=compression)
        writer.start(profile="ros2", library="peer")
        channels: dict[str, int] = {}
        for number, (topic, kind, message) in enumerate(_rounds(Messages(store), rounds)):
            if topic not in channels:
                definition = store.generate_msgdef(kind, ros_version=2)[0].encode()
                schema = writer.register_schema(kind, "ros2msg", definition)
                channels[topic] = writer.register_channel(topic, "cdr", schema, {"offered_qos_profiles": QOS})
            log_ns = START_NS + number * STEP_NS
            data = bytes(store.serialize_cdr(message, kind))
            writer.add_message(channels[topic], log_ns, data, log_ns - 1_234_567, number)
        writer.add_attachment(START_NS, START_NS, "../calibration.yaml", "text/yaml", b"fx: 500\n")
        writer.add_metadata("weather", {"sky": "clear"})
        writer.finish()
    return path


def ros1_bag(path: Path, compression: str | None, rounds: int = 5) -> Path:
    store = typestore(Stores.ROS1_NOETIC)
    writer = Writer1(path)
    if compression:
        writer.set_compression(Writer1.CompressionFormat[compression.upper()])
    with writer:
        connections: dict[str, Any] = {}
        for number, (topic, kind, message) in enumerate(_rounds(Messages(store), rounds)):
            if topic not in connections:
                latching = 1 if topic == "/chatter" else 0
                connections[topic] = writer.add_connection(topic, kind, typestore=store, latching=latching)
            writer.write(connections[topic], START_NS + number * STEP_NS, store.serialize_ros1(message, kind))
    return path


QOS = """- history: 1
  depth: 1
  reliability: 1
  durability: 1
  deadline: {sec: 2147483647, nsec: 4294967295}
  lifespan: {sec: 2147483647, nsec: 4294967295}
  liveliness: 1
  liveliness_lease_duration: {sec: 2147483647, nsec: 4294967295}
  avoid_ros_namespace_conventions: false"""


def _rounds(messages: Messages, rounds: int) -> list[tuple[str, str, Any]]:
    each = len(messages.all(0))
    return [found for number in range(rounds) for found in messages.all(START_NS + number * each * STEP_NS - 5_000_000)]


def blob_bag(path: Path, megabytes: int) -> Path:
    """One topic of 200 kB a message."""
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=1 << 20, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="peer")
        schema = writer.register_schema("lab_msgs/msg/Blob", "ros2msg", b"uint8[] data\n")
        channel = writer.register_channel("/blob", "cdr", schema)
        for number in range(5 * megabytes):
            writer.add_message(channel, START_NS + number, bytes([number % 256]) * 200_000, START_NS)
        writer.finish()
    return path
