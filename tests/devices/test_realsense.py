"""With librealsense's own software_device, in a process of its own as a camera's would be; what that cannot play, by a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from devices.cameras.picture import is_whole
from devices.device import Attentive, ClockSource, Source
from devices.errors import DeviceError
from devices.samples import Depth, Image, ImuSample, Packet, Sample
from devices.sdk import realsense
from devices.sdk.realsense import DRIVER, RealsenseConfig
from devices.sdk.realsense_feed import jpeg_of

FRAMES, MISSING = 12, 5  # as the software feed plays them
FIRST_NS = ((2 << 32) - 200_000) * 1000
STEP_NS = 33_333_000


@pytest.fixture
def camera(environment: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., RealsenseConfig]:
    """A function from keys to the config of a camera that the SDK plays."""
    python = environment("depth-cameras") / "python"
    monkeypatch.setattr(realsense, "FEED", Path(__file__).with_name("realsense_software_feed.py"))
    sizes = {"color_px": (64, 48), "depth_px": (32, 24)}
    return lambda **keys: RealsenseConfig(python=str(python), **(sizes | keys))


def all_of(source: Source) -> list[Packet]:
    """Until the camera is unplugged."""
    packets: list[Packet] = []
    said = ""
    while not said:
        try:
            packets += source.read(5.0)
        except DeviceError as error:
            said = str(error)
    assert said == "head: the RealSense camera is gone; check its plug"
    return packets


def decoded(source: Source, packets: list[Packet]) -> list[Sample]:
    decoder = DRIVER.decoder(source.stream)
    return [*[sample for packet in packets for sample in decoder.decode(packet)], *decoder.flush()]


def test_colour_depth_and_motion_come_as_the_sdk_gives_them(camera: Callable[..., RealsenseConfig]) -> None:
    image, depth, imu = sources = DRIVER.open("head", camera(serial="software-7", imu=True))
    assert [(source.stream.name, source.stream.encoding) for source in sources] == [
        ("head/image", "yuyv"), ("head/depth", "z16"), ("head/imu", "motion")
    ]  # fmt: skip
    pictures, depths, motions = (all_of(source) for source in sources)

    assert [packet.data for packet in pictures] == [bytes([16 + number]) * (48 * 128) for number in range(FRAMES)]
    assert [packet.stamps.device_ns for packet in pictures] == [FIRST_NS + n * STEP_NS for n in range(FRAMES)]
    assert (image.lost, image.clock_source) == (0, ClockSource.FREE)
    samples = decoded(image, pictures)
    assert [type(sample) for sample in samples] == [Image] * FRAMES

    given = [number for number in range(FRAMES) if number != MISSING]
    assert depth.lost == 1
    assert [packet.stamps.device_ns for packet in depths] == [FIRST_NS + n * STEP_NS - 2_000_000 for n in given]
    for number, sample in zip(given, decoded(depth, depths), strict=True):
        assert isinstance(sample, Depth)
        assert np.all(sample.units == 1000 + number)
        assert np.allclose(sample.metres(), 1.0 + number / 1000)

    moved = decoded(imu, motions)
    assert len(moved) == FRAMES - 1
    for number, sample in enumerate(moved):
        assert isinstance(sample, ImuSample)
        assert sample.t_ns == FIRST_NS + number * STEP_NS + 10_000_000
        assert np.allclose(sample.angular_rate, [0.1 * number, 0, 0], atol=1e-6)
        assert np.allclose(sample.acceleration, [0, -9.5 - number - 10_000 / 33_333, 0], atol=1e-5)
    for source in sources:
        source.close()


@pytest.mark.parametrize("late", [3, 8])
def test_streams_that_begin_on_either_side_of_the_clocks_turn_share_it(
    late: int, camera: Callable[..., RealsenseConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATE", str(late))
    _, _, imu = sources = DRIVER.open("head", camera(serial="software-7", imu=True))
    pictures, depths, motions = (all_of(source) for source in sources)
    assert [packet.stamps.device_ns for packet in pictures] == [FIRST_NS + n * STEP_NS for n in range(late, FRAMES)]
    assert depths[-1].stamps.device_ns == FIRST_NS + (FRAMES - 1) * STEP_NS - 2_000_000
    assert len(decoded(imu, motions)) == FRAMES - late - 1
    for source in sources:
        source.close()


def jpeg(number: int) -> bytes:
    """A picture that needs fewer bytes the higher its number: of noise, ever more of it black."""
    pixels = np.random.default_rng(number).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    pixels[120 - 8 * number :] = 0
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def test_mjpeg_is_cut_where_each_picture_ends(
    camera: Callable[..., RealsenseConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPEGS", str(tmp_path))
    made = [jpeg(number) for number in range(FRAMES)]
    assert [len(data) for data in made] == sorted((len(data) for data in made), reverse=True)
    for number, data in enumerate(made):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    (source,) = DRIVER.open("head", camera(serial="software-7", color_px=(160, 120), depth_px=()))
    assert source.stream.encoding == "jpeg"
    packets = all_of(source)
    assert [packet.data for packet in packets] == made
    assert isinstance(source, Attentive)
    assert source.rejected == {}
    assert len(decoded(source, packets)) == FRAMES
    source.close()


def test_a_picture_without_its_end_is_kept_as_it_came_and_rejected(
    camera: Callable[..., RealsenseConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPEGS", str(tmp_path))
    cut = b"\xff\xd8" + bytes(1000)
    for number in range(FRAMES):
        (tmp_path / f"{number}.jpg").write_bytes(cut if number < MISSING else jpeg(number))
    (source,) = DRIVER.open("head", camera(serial="software-7", color_px=(160, 120), depth_px=()))
    packets = all_of(source)
    assert len(packets) == FRAMES
    assert {packet.data for packet in packets[:MISSING]} == {cut.ljust(160 * 120, b"\0")}
    assert isinstance(source, Attentive)
    assert source.rejected == {"a picture without its start or end": MISSING}
    source.close()


class JpegFrame:
    """A frame of the SDK, as one of a camera is: the buffer has the picture's geometry, its size is the JPEG's."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = np.frombuffer(data.ljust(160 * 120, b"?"), dtype=np.uint8).reshape(120, 160)
        self._size = size

    def get_data(self) -> memoryview:
        return memoryview(self._data)

    def get_data_size(self) -> int:
        return self._size


def test_a_jpeg_is_as_long_as_the_sdk_says_unless_that_is_nonsense() -> None:
    whole = jpeg(3)
    padded = whole + b"\0\0"
    assert jpeg_of(JpegFrame(padded, len(padded))) == padded, "the camera's own padding"
    for nonsense in (0, 160 * 120 + 1, 160 * 120, len(whole) + 9):
        assert jpeg_of(JpegFrame(whole, nonsense)) == whole
    thumbnail = jpeg(11)
    told = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert jpeg_of(JpegFrame(whole[:2] + told + whole[2:], 0)) == whole[:2] + told + whole[2:]
    for size in (0, 500):
        assert not is_whole(jpeg_of(JpegFrame(whole[:500], size)))


def test_the_description_states_size_scale_settings_and_the_factorys_lens(
    camera: Callable[..., RealsenseConfig],
) -> None:
    sources = DRIVER.open("head", camera())
    said = [json.loads(source.stream.description) for source in sources]
    for source in sources:
        source.close()
    assert (said[0]["width_px"], said[0]["height_px"], said[1]["width_px"], said[1]["height_px"]) == (64, 48, 32, 24)
    assert said[1]["scale_m"] == 0.001
    assert said[0]["factory_lens"] == {
        "fx": 50.0, "fy": 50.0, "cx": 32.0, "cy": 24.0, "model": "brown_conrady",
        "distortion": pytest.approx([0.1, 0.2, 0.0, 0.0, 0.3]),
    }  # fmt: skip
    assert said[0]["settings"] == {
        "auto_exposure": 1.0, "exposure": 156.0, "gain": 0.5, "auto_white_balance": 1.0, "white_balance": 4600.0
    }  # fmt: skip
    assert said[0]["differs"] == {}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"serial": "other"},
            r"no RealSense camera with serial number other; connected: Software Camera software-7; check",
        ),
        (
            {"color_px": (640, 480)},
            r"gives no color of 640x480 at 30 Hz; set color_px .* to one of: 160x120 at 30 Hz, 64x48 at 30 Hz$",
        ),
        ({"depth_px": (), "color_px": ()}, r"nothing is asked of the camera; set color_px, depth_px or imu"),
        ({"color_options": {"warp": 9.0}}, r"the camera has no option 'warp'; it has: .*frames_queue_size"),
        ({"color_options": {"exposure": 20_000.0}}, r"exposure cannot be 20000: .*; it takes 1 to 10000 in steps of 1"),
    ],
)
def test_what_the_camera_cannot_do_is_said_with_the_choices(
    keys: dict[str, object], says: str, camera: Callable[..., RealsenseConfig]
) -> None:
    with pytest.raises(DeviceError, match=f"^head: .*{says}"):
        DRIVER.open("head", camera(**keys))


WANTED = {
    "exposure": 300.0, "gain": 0.7, "white_balance": 5000.0, "frames_queue_size": 8.0, "enable_auto_exposure": 0.0,
    "enable_auto_white_balance": 0.0,
}  # fmt: skip


def test_settings_are_set_and_read_back_and_what_differs_is_said(camera: Callable[..., RealsenseConfig]) -> None:
    sources = DRIVER.open("head", camera(depth_px=(), color_options=WANTED))
    said = json.loads(sources[0].stream.description)
    sources[0].close()
    assert said["settings"] == {
        "auto_exposure": 0.0, "exposure": 300.0, "gain": pytest.approx(0.7), "auto_white_balance": 0.0,
        "white_balance": 5000.0, "frames_queue_size": 8.0,
    }  # fmt: skip
    assert said["differs"] == {}, "the SDK's figures are float32: 0.7 is 0.69999999"


def test_a_python_without_the_sdk_says_what_to_install() -> None:
    with pytest.raises(
        DeviceError, match=r"head: this Python has no pyrealsense2; pip install 'fieldrig\[realsense\]'"
    ):
        DRIVER.open("head", RealsenseConfig())
    assert DRIVER.find(0.1) == []


def test_an_sdk_that_sees_no_camera_finds_none_and_says_so(environment: Callable[[str], Path]) -> None:
    python = environment("depth-cameras") / "python"
    with pytest.raises(DeviceError, match=r"head: 0 RealSense cameras are connected \(none\); give the serial number"):
        DRIVER.open("head", RealsenseConfig(python=str(python)))


def test_a_size_is_two_numbers_or_none() -> None:
    with pytest.raises(ValidationError, match="give width and height"):
        RealsenseConfig(color_px=(640,))
