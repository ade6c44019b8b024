"""What every driver promises, checked of every driver that is registered."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.device import ClockSource, Decoder, SensorConfig, Stream, driver, drivers
from devices.errors import DeviceError
from devices.hesai.angles import nominal_angles
from devices.ouster.metadata import read_metadata
from devices.sdk import fed_process
from tests.devices import scripted_feed
from tests.devices.builders import Camera, ouster_metadata, ouster_packet, packet, velodyne_packet
from tests.devices.gnss_bytes import RMC
from tests.devices.gpmf_bytes import PLACE, gps5, imu, nested, numbers, stmp
from tests.devices.hesai_packets import turn_packets
from tests.devices.livox_packets import second_imu, second_packet
from tests.devices.oxts_files import oxts_line
from tests.devices.ros_messages import ROS_MESSAGES, ros_description
from tests.devices.scripted_camera import CONFIG as USB_CONFIG
from tests.devices.scripted_camera import DESCRIPTION as USB_DESCRIPTION
from tests.devices.scripted_camera import ScriptedCamera as UsbCamera
from tests.devices.scripted_rtsp import DESCRIPTION as RTSP
from tests.devices.scripted_rtsp import ScriptedCamera
from tests.devices.video_builders import encoded_video


@dataclass(frozen=True)
class Example:
    """config: keys of a working rig.toml, ports free to choose. streams: those that it opens. name: the sensor's.

    imported: its packets come in through an importer only, there is nothing to open.
    """

    config: Mapping[str, Any]
    streams: tuple[Stream, ...]
    name: str = "sensor"
    imported: bool = False


META = ouster_metadata()
LIVOX = '{"model": "Mid-360", "window_ms": 100}'
HESAI = json.dumps({"model": "XT32", "cut_deg": 0.0, "angles": nominal_angles("XT32")})
DEPTH_CAMERA = tuple(Stream(f"sensor/{what}", encoding, said) for what, encoding, said in scripted_feed.STREAMS)
EXAMPLES = {
    "ouster": Example(
        {"metadata": "METADATA", "lidar_port": 0, "imu_port": 0, "host": "127.0.0.1"},
        (Stream("sensor/points", "ouster.lidar", META), Stream("sensor/imu", "ouster.imu", META)),
    ),
    "velodyne": Example(
        {"model": "VLP-16", "port": 0, "position_port": 0, "host": "127.0.0.1"},
        (Stream("sensor/points", "velodyne", "VLP-16"), Stream("sensor/position", "velodyne.position")),
    ),
    "livox": Example(
        {"model": "Mid-360", "points_port": 0, "imu_port": 0, "host": "127.0.0.1"},
        (Stream("sensor/points", "livox.points", LIVOX), Stream("sensor/imu", "livox.imu", LIVOX)),
    ),
    "hesai": Example(
        {"model": "XT32", "port": 0, "host": "127.0.0.1"},
        (Stream("sensor/points", "hesai", HESAI),),
    ),
    "mjpeg": Example({"url": "CAMERA"}, (Stream("sensor/image", "jpeg"),)),
    "uvc": Example(USB_CONFIG, (Stream("sensor/image", "jpeg", USB_DESCRIPTION),)),
    "realsense": Example({}, DEPTH_CAMERA),
    "oak": Example({}, DEPTH_CAMERA),
    "rtsp": Example({"url": "RTSP"}, (Stream("sensor/image", "h264", RTSP),)),
    "named_vector": Example(
        {"ports": {"state": 0, "action": 0}, "host": "127.0.0.1"},
        (Stream("sensor/state", "vector.json"), Stream("sensor/action", "vector.json")),
    ),
    "marks": Example({"port": 0, "host": "127.0.0.1"}, (Stream("sensor/marks", "mark.json"),)),
    "kitti": Example({"folder": "DRIVE"}, (Stream("lidar/points", "xyzi.f32"),), name="lidar"),
    "gnss": Example({"file": "GNSS_LOG"}, (Stream("sensor/stream", "gnss"),)),
    "euroc": Example(
        {"folder": "imu0"},
        (Stream("sensor/imu", "euroc.imu"), Stream("sensor/state", "euroc.state")),
        imported=True,
    ),
    "gopro": Example(
        {"file": "GX010042.MP4"},
        (
            Stream("sensor/imu", "gpmf.imu"),
            Stream("sensor/gnss", "gpmf.gnss"),
            Stream("sensor/telemetry", "gpmf.vectors"),
        ),
        imported=True,
    ),
    "ros_message": Example(
        {"bag": "drive"},
        tuple(Stream(f"sensor/{kind.rpartition('/')[2]}", kind, ros_description(kind)) for kind in ROS_MESSAGES),
        imported=True,
    ),
}
STREAMS = [(name, stream) for name, example in EXAMPLES.items() for stream in example.streams]
STREAMS += [("kitti", Stream("oxts/gnss", "oxts.gnss")), ("kitti", Stream("oxts/imu", "oxts.imu"))]  # beside its lidar
every_driver = pytest.mark.parametrize("name", sorted(drivers()))
every_stream = pytest.mark.parametrize(
    ("name", "stream"), STREAMS, ids=[f"{name}:{stream.encoding}" for name, stream in STREAMS]
)


def decoder_of(name: str, stream: Stream) -> Decoder:
    return driver(name).decoder(stream)


@pytest.fixture
def config_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from a driver's name to its example config, with files and a camera to go with it."""
    (tmp_path / "metadata.json").write_text(META)
    (tmp_path / "receiver.log").write_bytes(RMC)
    data = tmp_path / "drive" / "velodyne_points" / "data"
    data.mkdir(parents=True)
    (data / "0000000000.bin").write_bytes(bytes(32))
    feed = Path(scripted_feed.__file__)  # in place of what needs a vendor's SDK
    monkeypatch.setattr("devices.sdk.realsense.FEED", feed)
    monkeypatch.setattr("devices.sdk.oak.FEED", feed)
    usb_camera = mock.patch("devices.uvc.driver.video_capture", side_effect=lambda _: UsbCamera(hangs=True))
    with Camera(lambda send: None) as camera, ScriptedCamera() as rtsp_camera, usb_camera:
        there = {"METADATA": str(tmp_path / "metadata.json"), "CAMERA": camera.url, "DRIVE": str(tmp_path / "drive")}
        there |= {"RTSP": rtsp_camera.url, "GNSS_LOG": str(tmp_path / "receiver.log")}

        def config(name: str) -> SensorConfig:
            said = {
                key: there.get(value, value) if isinstance(value, str) else value
                for key, value in EXAMPLES[name].config.items()
            }
            return driver(name).config.model_validate(said)

        yield config


def test_every_registered_driver_has_an_example_here() -> None:
    assert set(EXAMPLES) <= set(drivers())
    assert set(drivers()) <= set(EXAMPLES), "add the new driver to EXAMPLES: it then undergoes this suite"


def test_an_unknown_driver_is_answered_with_the_choices() -> None:
    choices = ", ".join(sorted(drivers()))
    with pytest.raises(DeviceError, match=f"no driver called 'sonar'; choose one of: {choices}$"):
        driver("sonar")


@every_driver
def test_config_refuses_keys_that_it_does_not_know_and_cannot_be_changed(name: str, config_of: Any) -> None:
    config = config_of(name)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        driver(name).config.model_validate({**config.model_dump(), "no_such_key": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, next(iter(type(config).model_fields)), "changed")


@every_driver
def test_open_gives_the_streams_that_decoder_takes(name: str, config_of: Any) -> None:
    example = EXAMPLES[name]
    if example.imported:
        with pytest.raises(DeviceError, match="run: fieldrig import"):
            driver(name).open(example.name, config_of(name))
        return
    sources = driver(name).open(example.name, config_of(name))
    try:
        assert tuple(source.stream for source in sources) == example.streams
        for source in sources:
            assert source.stream.sensor == example.name
            assert source.lost == 0
            assert isinstance(source.clock_source, ClockSource)
            assert decoder_of(name, source.stream).rejected == {}
    finally:
        for source in sources:
            source.close()
            source.close()  # twice does no harm
    for source in sources:
        with pytest.raises(EOFError):
            source.read(0.0)


@every_driver
def test_a_stream_of_another_driver_is_refused_by_name(name: str) -> None:
    with pytest.raises(DeviceError, match=r"sensor/odd: .*'smoke\.signals'"):
        driver(name).decoder(Stream("sensor/odd", "smoke.signals", META if name == "ouster" else ""))


UDP_PORTS = [
    ("ouster", "lidar_port"), ("ouster", "imu_port"), ("velodyne", "port"), ("velodyne", "position_port"),
    ("marks", "port"), ("named_vector", "ports"), ("livox", "points_port"), ("livox", "imu_port"), ("hesai", "port"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "key"), UDP_PORTS)
def test_a_port_in_use_is_said_and_the_sensors_other_ports_are_free_again(name: str, key: str, config_of: Any) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        other.bind(("127.0.0.1", 0))
        probe.bind(("127.0.0.1", 0))
        taken, free = other.getsockname()[1], probe.getsockname()[1]
        probe.close()
        said = config_of(name).model_dump()
        for each in (key for driver_name, key in UDP_PORTS if driver_name == name):
            said[each] = free
        said[key] = {"state": free, "action": taken} if key == "ports" else taken
        with pytest.raises(DeviceError, match=f"UDP port {taken} is in use by another program; stop that one"):
            driver(name).open("sensor", driver(name).config.model_validate(said))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", free))


@every_stream
@given(data=st.one_of(st.binary(max_size=2000), st.sampled_from([b"{}", b"[" * 5000, b"null", b"\xff\xd8\xff\xd9"])))
def test_foreign_bytes_are_counted_and_never_raise(name: str, stream: Stream, data: bytes) -> None:
    decoder = decoder_of(name, stream)
    samples = [*decoder.decode(packet(data)), *decoder.flush()]
    is_points = stream.encoding == "xyzi.f32" and data and len(data) % 16 == 0  # any 16 bytes are a point there
    is_blank = stream.encoding.endswith((".json", "gnss")) and not data.strip()
    if not (is_points or is_blank):
        assert samples == []
        assert sum(decoder.rejected.values()) >= 1
        assert all(isinstance(reason, str) and reason for reason in decoder.rejected)


@every_stream
def test_decoders_say_whether_they_carry_over(name: str, stream: Stream) -> None:
    decoder = decoder_of(name, stream)
    carrying = {"ouster.lidar", "velodyne", "livox.points", "hesai", "gnss", "h264", "motion"}
    assert decoder.carries_over is (stream.encoding in carrying or stream.encoding.startswith("gpmf."))
    assert list(decoder.flush()) == []


def a_jpeg() -> bytes:
    import cv2

    return cv2.imencode(".jpg", np.full((16, 24, 3), 200, dtype=np.uint8))[1].tobytes()


@cache
def a_key_frame(encoder: str) -> bytes:
    return encoded_video(encoder, 1)[0]


GOOD_PACKETS = {
    "ouster.lidar": lambda: ouster_packet(read_metadata(META), 7, 0, 2000, 1000),
    "ouster.imu": lambda: (
        np.array([1, 2, 3], dtype="<u8").tobytes() + np.array([0, 0, 1, 9, 0, 0], dtype="<f4").tobytes()
    ),
    "velodyne": lambda: velodyne_packet(1_000_000, 0),
    "velodyne.position": lambda: bytes(512),
    "livox.points": lambda: second_packet([(1.0, 2.0, 0.5)] * 96, 5_000),
    "livox.imu": lambda: second_imu(5_000, (0.1, 0.2, 0.3), (0.0, 0.0, 1.0)),
    "hesai": lambda: turn_packets("XT32", 0.1, t_ns=1_700_000_000_000_000_000)[0],
    "jpeg": a_jpeg,
    "z16": lambda: bytes(64 * 48 * 2),
    "motion": lambda: fed_process.MOTION.pack(fed_process.ACCELERATION, 0.0, -9.8, 0.0),
    "h264": lambda: a_key_frame("libx264"),
    "h265": lambda: a_key_frame("libx265"),
    "vector.json": lambda: b'{"t_ns": 5, "topic": "state", "names": ["x_m"], "values": [1.5]}\n',
    "mark.json": lambda: b'{"t_ns": 5, "kind": "episode_start", "text": "drive"}\n',
    "xyzi.f32": lambda: np.ones(8, dtype="<f4").tobytes(),
    "oxts.gnss": oxts_line,
    "oxts.imu": oxts_line,
    "gnss": lambda: RMC,
    "euroc.imu": lambda: b"5,0.1,0.2,0.3,0,0,9.8\n",
    "euroc.state": lambda: b"5,1,2,3,1,0,0,0\n",
    "gpmf.imu": lambda: imu(5),
    "gpmf.gnss": lambda: gps5(5, [PLACE]),
    "gpmf.vectors": lambda: nested("STRM", stmp(5), numbers("ISOE", "S", [[100]])),
    **ROS_MESSAGES,
}


def good_packet(stream: Stream) -> bytes:
    good = GOOD_PACKETS[stream.encoding]()
    return good.replace(b"state", b"action") if "action" in stream.name else good


ONE_A_PACKET = {"ouster.imu", "livox.imu", "jpeg", "z16", "xyzi.f32", "oxts.gnss", "oxts.imu"}
NONE_OF_ONE_PACKET = {"velodyne.position", "motion"}  # no samples at all; not without measurements around it


@every_stream
@given(data=st.data())
def test_a_good_packet_damaged_anywhere_is_used_or_counted(name: str, stream: Stream, data: st.DataObject) -> None:
    good = good_packet(stream)
    decoder = decoder_of(name, stream)
    samples: list[Any] = []
    for _ in range(3):
        at = data.draw(st.integers(0, len(good) - 1))
        damage = data.draw(st.binary(max_size=12))
        end = data.draw(st.integers(at, len(good)))
        samples += decoder.decode(packet(good[:at] + damage + good[end:]))
    samples += decoder.flush()
    assert {type(sample) for sample in samples} <= {kind for kind in [driver(name).yields.get(stream.encoding)] if kind}
    counted = sum(decoder.rejected.values())
    if stream.encoding in ONE_A_PACKET:
        assert len(samples) + counted == 3
    elif not stream.encoding.endswith((".json", "gnss")):  # in those a packet is several lines
        assert counted < 3 or (counted == 3 and not samples)


@every_stream
def test_bad_packets_lose_no_good_one(name: str, stream: Stream) -> None:
    good = good_packet(stream)
    alone = decoder_of(name, stream)
    expected = [*alone.decode(packet(good)), *alone.flush()]
    among = decoder_of(name, stream)
    found = [
        *among.decode(packet(b"rubbish")),
        *among.decode(packet(good)),
        *among.decode(packet(b"more")),
        *among.flush(),
    ]
    assert len(found) == len(expected) == (0 if stream.encoding in NONE_OF_ONE_PACKET else 1)
    assert {type(sample) for sample in found} <= {kind for kind in [driver(name).yields.get(stream.encoding)] if kind}
    assert [(type(sample), sample.t_ns) for sample in found] == [(type(sample), sample.t_ns) for sample in expected]
    assert sum(among.rejected.values()) == 2
    assert all(sample.sensor == "sensor" or name == "kitti" for sample in found)


@every_stream
def test_samples_cannot_be_changed(name: str, stream: Stream) -> None:
    decoder = decoder_of(name, stream)
    samples = [*decoder.decode(packet(good_packet(stream))), *decoder.flush()]
    assert bool(samples) is (stream.encoding not in NONE_OF_ONE_PACKET)
    for sample in samples:
        arrays = [getattr(sample, field) for field in sample.__slots__]
        assert not any(array.flags.writeable for array in arrays if isinstance(array, np.ndarray))
