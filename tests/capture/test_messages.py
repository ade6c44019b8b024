"""What capture packs by hand is what rosbags' type store packs, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from capture.bag.diagnostics import Status, pack_diagnostics, unpack_diagnostics
from capture.bag.message_types import (
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    DIAGNOSTIC_ARRAY,
    IMAGE,
    POINT_CLOUD,
    RAW_PACKET,
)
from capture.bag.packing import Packing
from capture.errors import CaptureError
from devices.device import Stream

STAMP_NS = 1_790_000_000_123_456_789


@pytest.fixture(scope="module")
def store() -> Any:
    made = get_typestore(Stores.ROS2_HUMBLE)
    for kind in (RAW_PACKET, COMPRESSED_VIDEO):
        made.register(get_types_from_msg(kind.definition.partition("=" * 80)[0], kind.name))
    return made


def header(store: Any, frame: str) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](sec=STAMP_NS // 10**9, nanosec=STAMP_NS % 10**9)
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id=frame)


def theirs(store: Any, name: str, **fields: Any) -> bytes:
    return bytes(store.serialize_cdr(store.types[name](**fields), name))


@pytest.mark.parametrize("sensor", ["a", "ab", "lidar", "camera_left"])
@pytest.mark.parametrize("data", [b"", b"\x01", bytes(range(256)) * 97])
def test_raw_packets_and_images_are_packed_as_rosbags_packs_them(store: Any, sensor: str, data: bytes) -> None:
    array = np.frombuffer(data, dtype=np.uint8)
    raw = Packing(Stream(f"{sensor}/points", "ouster.lidar"))
    assert raw.pack(STAMP_NS, 2**63 + 5, 77, data) == theirs(
        store,
        RAW_PACKET.name,
        header=header(store, sensor),
        device_ns=2**63 + 5,
        sequence=77,
        encoding="ouster.lidar",
        data=array,
    )
    image = Packing(Stream(f"{sensor}/image", "jpeg"))
    assert image.pack(STAMP_NS, 0, 77, data) == theirs(
        store, COMPRESSED_IMAGE.name, header=header(store, sensor), format="jpeg", data=array
    )


@pytest.mark.parametrize("sensor", ["a", "ab", "camera_left"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1001])
def test_video_and_raw_pictures_are_packed_as_rosbags_packs_them(store: Any, sensor: str, size: int) -> None:
    data = np.arange(size, dtype=np.uint8)
    video = Packing(Stream(f"{sensor}/image", "h265"))
    stamp = header(store, sensor).stamp
    message = theirs(store, COMPRESSED_VIDEO.name, timestamp=stamp, frame_id=sensor, data=data, format="h265")
    assert video.pack(STAMP_NS, 0, 77, data.tobytes()) == message
    assert video.unpack(message) == (STAMP_NS, data.tobytes())
    depth = Packing(Stream(f"{sensor}/depth", "z16", '{"width_px": 5, "height_px": 3, "scale_m": 0.001}'))
    assert depth.pack(STAMP_NS, 0, 77, data.tobytes()) == theirs(
        store, IMAGE.name, header=header(store, sensor), height=3, width=5, encoding="16UC1", is_bigendian=0, step=10,
        data=data,
    )  # fmt: skip


def test_clouds_are_packed_as_rosbags_packs_them(store: Any) -> None:
    points = np.arange(40, dtype=np.float32).reshape(10, 4)
    field = store.types["sensor_msgs/msg/PointField"]
    fields = [
        field(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(("x", "y", "z", "intensity"))
    ]
    assert Packing(Stream("lidar/points", "xyzi.f32")).pack(STAMP_NS, 0, 0, points.tobytes()) == theirs(
        store,
        POINT_CLOUD.name,
        header=header(store, "lidar"),
        height=1,
        width=10,
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=160,
        data=points.view(np.uint8).reshape(-1),
        is_dense=True,
    )


def test_health_is_packed_as_rosbags_packs_it_and_comes_back(store: Any) -> None:
    statuses = [Status(0, "lidar/points", "1280.0 Hz", {"recorded": "12", "lost": "0"}), Status(2, "c", "gone", {})]
    status, pair = (store.types[f"diagnostic_msgs/msg/{name}"] for name in ("DiagnosticStatus", "KeyValue"))
    listed = [
        status(
            level=s.level, name=s.name, message=s.message, hardware_id="",
            values=[pair(key=key, value=value) for key, value in s.values.items()],
        )
        for s in statuses
    ]  # fmt: skip
    packed = pack_diagnostics(STAMP_NS, statuses)
    assert packed == theirs(store, DIAGNOSTIC_ARRAY.name, header=header(store, ""), status=listed)
    assert unpack_diagnostics(packed) == statuses
    with pytest.raises(CaptureError, match="broken"):
        unpack_diagnostics(packed[:-3])


@pytest.mark.parametrize("encoding", ["velodyne", "png", "xyzi.f32", "h264", "yuyv"])
def test_a_payload_and_its_stamp_come_back_and_a_cut_message_is_refused(encoding: str) -> None:
    packing = Packing(Stream("sensor/what", encoding, '{"width_px": 4, "height_px": 2}'))
    message = packing.pack(STAMP_NS, 5, 6, b"0123456789abcdef")
    assert packing.unpack(message) == (STAMP_NS, b"0123456789abcdef")
    for cut in (0, 3, 20, len(message) - 1):
        with pytest.raises(CaptureError, match="broken"):
            packing.unpack(message[:cut])


@pytest.mark.parametrize("kind", [RAW_PACKET, COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE, POINT_CLOUD, DIAGNOSTIC_ARRAY])
def test_definitions_and_type_hashes_are_those_of_ros_2(store: Any, kind: Any) -> None:
    assert store.hash_rihs01(kind.name) == kind.type_hash
    if kind is not RAW_PACKET:
        assert store.generate_msgdef(kind.name, ros_version=2)[0] == kind.definition
