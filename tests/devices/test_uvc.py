"""Everything around a USB camera; the camera itself is a script that behaves as OpenCV's V4L2 backend does."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.device import ClockSource, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.samples import Image, Packet
from devices.uvc import driver as uvc
from devices.uvc.driver import DRIVER, UvcConfig, UvcSource, V4l2Capture
from devices.uvc.ffmpeg import FfmpegCapture
from devices.uvc.frame_gaps import FrameGaps
from devices.uvc.names import UsbCamera, mjpeg_sizes, plugged_in
from tests.devices.builders import decoded
from tests.devices.scripted_camera import ScriptedCamera

DEVICE = "/dev/v4l/by-id/usb-Maker_Camera_1A2B-video-index0"
FRAME_NS = 33_333_333


def jpeg(shade: int) -> bytes:
    noise = np.random.default_rng(shade).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", noise + np.uint8(shade))[1].tobytes()


def opened(monkeypatch: pytest.MonkeyPatch, camera: ScriptedCamera, **keys: Any) -> UvcSource:
    monkeypatch.setattr(uvc, "video_capture", lambda device: camera)
    monkeypatch.setattr("sys.platform", "linux")
    (source,) = DRIVER.open("camera", UvcConfig(device=DEVICE, width_px=640, height_px=480, **keys))
    return source


def all_of(source: UvcSource) -> list[Packet]:
    """Until the plug is pulled."""
    packets: list[Packet] = []
    try:
        while True:
            packets += source.read(1.0)
    except DeviceError as error:
        assert str(error) == f"camera: the camera at {DEVICE} is gone; check its plug"  # noqa: PT017
    source.close()
    return packets


def test_pictures_are_kept_byte_for_byte_at_the_kernels_stamp_of_their_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ns, began_ns = time.monotonic_ns(), HOST_CLOCK.now_ns()
    pictures = [(jpeg(shade), start_ns + n * FRAME_NS // 1000 * 1000) for n, shade in enumerate((10, 90, 190))]
    source = opened(monkeypatch, ScriptedCamera(pictures))
    packets = all_of(source)
    assert [packet.data for packet in packets] == [data for data, _ in pictures]
    for number, packet in enumerate(packets):
        assert packet.stamps.device_ns is not None
        # within the microsecond that V4L2's stamps are coarse to, and what lies between the two readings above
        assert abs(packet.stamps.device_ns - began_ns - number * FRAME_NS) < 1_000_000
    assert source.clock_source is ClockSource.HOST
    assert (source.lost, source.broken) == (0, 0)


def test_the_camera_is_told_all_and_what_it_made_of_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = ScriptedCamera(limits={cv2.CAP_PROP_EXPOSURE: lambda value: min(value, 30.0)})
    source = opened(monkeypatch, camera, exposure_us=4000, gain=12, white_balance_k=5000, auto_focus=False)
    assert json.loads(source.stream.description) == {
        "device": DEVICE, "width_px": 640, "height_px": 480, "rate_hz": 30.0,
        "settings": {
            "auto_exposure": False, "exposure_us": 3000, "auto_white_balance": False, "white_balance_k": 5000.0,
            "auto_focus": False, "focus": 30.0, "gain": 12.0,
        },
        "differs": {"exposure_us": {"asked": 4000, "is": 3000}},
    }  # fmt: skip
    assert source.remark == "exposure_us is 3000, 4000 was asked"
    source.close()
    code, converts = int(camera.values[cv2.CAP_PROP_FOURCC]), camera.values[cv2.CAP_PROP_CONVERT_RGB]
    assert (code.to_bytes(4, "little"), converts) == (b"MJPG", 0.0)


def test_what_is_not_asked_for_stays_as_it_is_and_what_the_camera_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = ScriptedCamera(lacks=frozenset({cv2.CAP_PROP_FOCUS, cv2.CAP_PROP_AUTOFOCUS}))
    source = opened(monkeypatch, camera, focus=10)
    said = json.loads(source.stream.description)
    assert said["settings"] == {
        "auto_exposure": True, "exposure_us": 15700, "auto_white_balance": True, "white_balance_k": 4000.0, "gain": 64.0
    }  # fmt: skip
    assert said["differs"] == {"auto_focus": {"asked": False, "is": None}, "focus": {"asked": 10.0, "is": None}}
    source.close()
    assert cv2.CAP_PROP_EXPOSURE not in camera.calls


def test_a_camera_that_gives_other_pictures_than_asked_for_is_refused_and_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = ScriptedCamera(
        limits={cv2.CAP_PROP_FRAME_WIDTH: lambda value: 320.0, cv2.CAP_PROP_FPS: lambda value: 15.0}
    )
    with pytest.raises(DeviceError, match=r"gives 320x480 MJPG at 15 Hz, not 640x480 MJPG at 30 Hz; set width_px"):
        opened(monkeypatch, camera)
    assert camera.released.is_set()


def test_a_camera_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"camera: no camera at /dev/v4l/by-id/usb-Maker_Camera.*plug it in"):
        opened(monkeypatch, ScriptedCamera(is_there=False))
    monkeypatch.undo()
    for absent in (DEVICE, "/dev/null"):  # through OpenCV itself
        with pytest.raises(DeviceError, match=f"camera: no camera at {absent}; plug it in"):
            V4l2Capture("camera", UvcConfig(device=absent), uvc.video_capture(absent))


def test_missing_pictures_are_inferred_from_the_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ns = time.monotonic_ns()
    numbers = [0, 1, 2, 3, 6, 7, 8, 10]
    source = opened(monkeypatch, ScriptedCamera([(jpeg(9), start_ns + n * FRAME_NS) for n in numbers]))
    assert len(all_of(source)) == len(numbers)
    assert source.lost == 3


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_no_picture_is_missing_where_host_time_follows_the_wall_clock(
    by_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_ns = time.monotonic_ns()
    pictures = [(jpeg(9), start_ns + number * FRAME_NS) for number in range(8)]
    source = opened(monkeypatch, ScriptedCamera(pictures, pace_s=0.1))
    packets = list(source.read(1.0))
    with monkeypatch.context() as machine:
        machine.setattr(HOST_CLOCK, "_wall_ns", lambda: time.time_ns() + by_s * 10**9)
        HOST_CLOCK.anchor_anew()
        packets += all_of(source)
    HOST_CLOCK.anchor_anew()
    took_ns = packets[-1].stamps.own_ns - packets[0].stamps.own_ns
    assert len(packets) == len(pictures)
    assert abs(took_ns - 7 * FRAME_NS - by_s * 10**9) < FRAME_NS
    assert source.lost == 0


def test_a_cut_jpeg_is_counted_and_kept_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, start_ns = jpeg(9), time.monotonic_ns()
    datas = [whole, whole[: len(whole) // 2], b"\0\0" + whole, whole + bytes(64)]
    source = opened(monkeypatch, ScriptedCamera([(data, start_ns + n * FRAME_NS) for n, data in enumerate(datas)]))
    packets = all_of(source)
    assert [packet.data for packet in packets] == datas
    assert source.broken == 2
    assert [type(sample) for sample in decoded(DRIVER.decoder(source.stream), datas)] == [Image, Image]


def test_a_buffer_without_a_stamp_or_with_that_of_another_clock_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [0, 5_000_000_000_000_000, time.time_ns() // 1000 * 1000]
    source = opened(monkeypatch, ScriptedCamera([(jpeg(9), stamp_ns) for stamp_ns in stamps]))
    found = [packet.stamps.device_ns for packet in all_of(source)]
    assert found[:2] == [None, None]
    assert found[2] is not None
    assert (
        abs(found[2] - stamps[2]) < 1000
    )  # a driver told to stamp by UTC; milliseconds in a float hold a quarter of a us


def test_a_picture_at_which_opencv_fails_is_told_as_a_lost_camera_after_those_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(ScriptedCamera):
        def retrieve(self) -> tuple[bool, np.ndarray]:
            if self.is_last:
                raise cv2.error(
                    "OpenCV(4.11.0) cap_v4l.cpp:2091:\nerror: (-215:Assertion failed) in function 'retrieve'\n"
                )
            return super().retrieve()

    start_ns = time.monotonic_ns()
    camera = Failing([(jpeg(9), start_ns), (jpeg(10), start_ns + FRAME_NS)])
    source = opened(monkeypatch, camera)
    assert len(source.read(1.0)) == 1
    with pytest.raises(
        DeviceError, match=rf"^camera/image: {DEVICE} gave no picture: error: OpenCV.*'retrieve'; check its plug$"
    ):
        source.read(1.0)
    assert camera.released.wait(60), "the camera is let go"
    source.close()


def test_nothing_in_time_is_no_picture_and_a_camera_that_hangs_holds_up_neither_reading_nor_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = ScriptedCamera(hangs=True)
    source = opened(monkeypatch, camera)
    started = time.monotonic()
    assert source.read(0.05) == []
    source.close()
    assert time.monotonic() - started < 2
    with pytest.raises(EOFError):
        source.read(1.0)
    assert camera.released.wait(60), "the camera is let go"


def test_pictures_that_nobody_takes_are_counted_not_hoarded(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ns = time.monotonic_ns()
    source = opened(monkeypatch, ScriptedCamera([(jpeg(9), start_ns + n * FRAME_NS) for n in range(80)], hangs=True))
    until = time.monotonic() + 60
    while source.lost < 16 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(source.read(1.0)) == 64
    assert source.lost == 16
    source.close()


@pytest.mark.parametrize("device", ["0", "/dev/video0", "/dev/video12"])
def test_a_camera_cannot_be_named_by_its_number(device: str) -> None:
    with pytest.raises(ValidationError, match="numbers change with every plugging in"):
        UvcConfig(device=device)


def test_a_jpeg_without_huffman_tables_as_some_webcams_send_it_decodes() -> None:
    """The tables of the JPEG standard stand in (ITU-T T.81, K.3)."""
    whole = jpeg(9)
    kept, at = whole[:2], 2
    while whole[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", whole, at + 2)[0]
        kept += b"" if whole[at + 1] == 0xC4 else whole[at:end]
        at = end
    bare = kept + whole[at:]
    assert len(bare) < len(whole)
    (image,) = decoded(DRIVER.decoder(Stream("camera/image", "jpeg")), [bare])
    (same,) = decoded(DRIVER.decoder(Stream("camera/image", "jpeg")), [whole])
    assert np.array_equal(image.pixels, same.pixels)


def test_a_camera_that_slows_down_in_the_dark_soon_loses_nothing_more() -> None:
    gaps = FrameGaps(FRAME_NS)
    for number in range(30):
        gaps.take(number * FRAME_NS)
    assert gaps.missing == 0
    for number in range(100):
        gaps.take(30 * FRAME_NS + number * 2 * FRAME_NS)
    assert gaps.missing <= 8


@given(st.sets(st.integers(1, 298), max_size=60))
def test_single_losses_are_counted_exactly_in_spite_of_jitter(missing: set[int]) -> None:
    gaps = FrameGaps(FRAME_NS)
    jitter = np.random.default_rng(len(missing)).integers(-2_000_000, 2_000_000, 300)
    for number in range(300):
        if number not in missing:
            gaps.take(10**15 + number * FRAME_NS + int(jitter[number]))
    assert gaps.missing == len(missing)


def test_cameras_are_found_by_serial_number_and_twins_by_their_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [tmp_path / f"video{n}" for n in range(4)]
    for node in nodes:
        node.touch()
    by_id, by_port = tmp_path / "by-id", tmp_path / "by-path"
    by_id.mkdir()
    by_port.mkdir()
    # 0 and 1: one camera, pictures and metadata; 0 and 2: twins that say one serial number; 3: no USB camera
    (by_id / "usb-Maker_Cam_77-video-index0").symlink_to(nodes[0])
    (by_id / "usb-Maker_Cam_77-video-index1").symlink_to(nodes[1])
    for number in range(3):
        (by_port / f"pci-0000:00:14.0-usb-0:{number}:1.0-video-index0").symlink_to(nodes[number])
    (by_port / "platform-isp-video-index0").symlink_to(nodes[3])
    sizes = {
        nodes[0].resolve(): [(3840, 2160), (1920, 1080)],
        nodes[2].resolve(): [(1280, 720)],
        nodes[3].resolve(): [(9, 9)],
    }
    found = plugged_in(by_id, by_port, lambda device: sizes.get(device.resolve(), []))
    assert found == [
        UsbCamera(str(by_id / "usb-Maker_Cam_77-video-index0"), [(3840, 2160), (1920, 1080)]),
        UsbCamera(str(by_port / "pci-0000:00:14.0-usb-0:2:1.0-video-index0"), [(1280, 720)]),
    ]
    monkeypatch.setattr(uvc, "plugged_in", lambda: found)
    first = DRIVER.find(0.1)[0]
    assert first.label == "Maker Cam 77 (3840x2160, 1920x1080)"
    assert UvcConfig.model_validate(dict(first.config)).height_px == 1080


def test_what_is_no_camera_offers_no_sizes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert mjpeg_sizes(tmp_path / "file") == mjpeg_sizes(tmp_path / "absent") == mjpeg_sizes(Path("/dev/null")) == []


def test_pictures_that_ffmpeg_hands_out_are_kept_as_they_are_too(tmp_path: Path) -> None:
    """FFmpeg's demuxer of JPEGs in a row stands in for its devices, which only macOS and Windows have."""
    pictures = [jpeg(shade) for shade in (10, 90, 190)]
    path = tmp_path / "camera.mjpeg"
    path.write_bytes(b"".join(pictures))
    config = UvcConfig(device="Front", exposure_us=4000, auto_focus=False)
    capture = FfmpegCapture("camera", "Front", str(path), "mjpeg", {}, config.settings())
    source = UvcSource("camera/image", config, capture)
    said = json.loads(source.stream.description)
    assert said["settings"] == {}
    assert said["differs"] == {"exposure_us": {"asked": 4000, "is": None}, "auto_focus": {"asked": False, "is": None}}
    assert (
        source.remark
        == "exposure_us cannot be read back, 4000 was asked, auto_focus cannot be read back, False was asked"
    )
    packets: list[Packet] = []
    try:
        while True:
            packets += source.read(1.0)
    except DeviceError as error:
        assert "camera: the camera 'Front' is gone" in str(error)  # noqa: PT017
    source.close()
    assert [packet.data for packet in packets] == pictures
    assert all(packet.stamps.device_ns is None for packet in packets)
    assert source.clock_source is ClockSource.NONE
    with pytest.raises(DeviceError, match=r"camera: no camera 'Front' that gives this size and rate: .*-list_devices"):
        FfmpegCapture("camera", "Front", str(tmp_path / "absent"), "mjpeg", {}, UvcConfig(device="Front").settings())
