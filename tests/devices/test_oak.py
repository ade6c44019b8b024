"""With DepthAI's own message types and queues; what runs on the camera needs a camera, and is not tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from devices.device import Source
from devices.errors import DeviceError
from devices.samples import Depth, ImuSample, Packet
from devices.sdk import oak
from devices.sdk.oak import DRIVER, OakConfig

FRAMES, MISSING, SETTLING = 24, 15, 10  # as the feed plays them, and what oak_feed.py passes over
DAY_NS, STEP_NS = 86_400 * 10**9, 33_333_000


def all_of(source: Source) -> list[Packet]:
    packets: list[Packet] = []
    said = ""
    while not said:
        try:
            packets += source.read(20.0)
        except DeviceError as error:
            said = str(error)
    assert said.startswith("head: the OAK camera is gone; check its plug")
    return packets


@pytest.fixture
def opened(
    environment: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Source], list[list[Packet]]]:
    python = environment("depth-cameras") / "python"
    monkeypatch.setattr(oak, "FEED", Path(__file__).with_name("oak_host_feed.py"))
    config = OakConfig(python=str(python), depth_px=(4, 2), imu=True, exposure_us=4000, iso=800, white_balance_k=4500)
    sources = list(DRIVER.open("head", config))
    packets = [all_of(source) for source in sources]
    for source in sources:
        source.close()
    return sources, packets


def test_pictures_depth_and_motion_come_as_the_sdk_gives_them(opened: tuple[list[Source], list[list[Packet]]]) -> None:
    (image, depth, imu), (pictures, depths, motions) = opened
    assert [source.stream.encoding for source in (image, depth, imu)] == ["jpeg", "z16", "motion"]
    numbers = list(range(SETTLING, FRAMES))
    given = [number for number in numbers if number != MISSING]
    assert [packet.data for packet in pictures] == [b"\xff\xd8" + bytes([number]) * 5 + b"\xff\xd9" for number in given]
    # the middle of an exposure of 4 ms, which the SDK stamps at its end
    assert [packet.stamps.device_ns for packet in pictures] == [DAY_NS + n * STEP_NS - 2_000_000 for n in given]
    assert (image.lost, depth.lost, imu.lost) == (1, 0, 0)

    decoder = DRIVER.decoder(depth.stream)
    for number, sample in zip(numbers, (each for packet in depths for each in decoder.decode(packet)), strict=True):
        assert isinstance(sample, Depth)
        assert np.all(sample.units == 1000 + number)
        assert sample.scale_m == 0.001

    decoder = DRIVER.decoder(imu.stream)
    samples = [each for packet in motions for each in decoder.decode(packet)]
    for number, sample in zip(numbers[: len(samples)], samples, strict=True):
        assert isinstance(sample, ImuSample)
        assert (sample.t_ns, sample.acceleration[1]) == (DAY_NS + number * STEP_NS, pytest.approx(-9.5 - number))
        assert sample.angular_rate[0] == pytest.approx(0.1 * number)
    assert len(samples) == len(numbers) - 1  # the last one awaits its acceleration's successor


def test_settings_are_read_back_from_the_pictures_and_what_differs_is_said(
    opened: tuple[list[Source], list[list[Packet]]],
) -> None:
    said = json.loads(opened[0][0].stream.description)
    assert said["settings"] == {
        "exposure_us": 4000, "iso": 800, "white_balance_k": 5000, "focus": 0,
        "auto_exposure": False, "auto_white_balance": False,
    }  # fmt: skip
    assert said["differs"] == {"white_balance_k": {"asked": 4500, "is": 5000}}
    assert (said["width_px"], said["height_px"], said["factory_lens"]) == (1920, 1080, {"fx": 1.0})


def test_an_sdk_that_sees_no_camera_says_so(environment: Callable[[str], Path]) -> None:
    python = str(environment("depth-cameras") / "python")
    with pytest.raises(DeviceError, match=r"head: 0 OAK cameras are connected \(none\); give the serial number"):
        DRIVER.open("head", OakConfig(python=python))
    with pytest.raises(DeviceError, match="head: no OAK camera with serial number 77; connected: none; check its plug"):
        DRIVER.open("head", OakConfig(python=python, serial="77"))


def test_a_python_without_the_sdk_says_what_to_install() -> None:
    with pytest.raises(DeviceError, match=r"head: this Python has no depthai; pip install 'fieldrig\[oak\]'"):
        DRIVER.open("head", OakConfig())
    assert DRIVER.find(0.1) == []


def test_figures_beyond_the_cameras_range_are_refused() -> None:
    for keys in ({"iso": 20}, {"focus": 300}, {"white_balance_k": 200}, {"color_px": (0, 3)}):
        with pytest.raises(ValidationError):
            OakConfig.model_validate(keys)
