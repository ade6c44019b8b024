from __future__ import annotations

import json
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.cameras.raw_picture import RawLayout, raw_decoder
from devices.device import Stream
from devices.errors import DeviceError
from devices.motion import MotionDecoder
from devices.samples import Depth, Image, ImuSample
from devices.sdk.fed_process import ACCELERATION, ANGULAR_RATE, MOTION
from tests.devices.builders import decoded, packet


def stream(encoding: str, width: int, height: int, **more: object) -> Stream:
    return Stream("head/what", encoding, json.dumps({"width_px": width, "height_px": height, **more}))


def test_depth_keeps_its_units_and_their_scale_and_what_was_not_measured_is_no_distance() -> None:
    units = np.array([[0, 1, 2], [1000, 65535, 7]], dtype=np.uint16)
    (depth,) = decoded(raw_decoder(stream("z16", 3, 2, scale_m=0.0001)), [units.tobytes()])
    assert isinstance(depth, Depth)
    assert np.array_equal(depth.units, units)
    assert depth.scale_m == 0.0001
    assert np.isnan(depth.metres()[0, 0])
    assert np.allclose(depth.metres()[1], [0.1, 6.5535, 0.0007])
    with pytest.raises(ValueError, match="read-only"):
        depth.units[0, 0] = 1


def test_raw_colour_is_rgb() -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (2, 4, 3), dtype=np.uint8)
    (image,) = decoded(raw_decoder(stream("rgb8", 4, 2)), [rgb.tobytes()])
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, rgb)
    red = np.zeros((2, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    y, u, v = cv2.cvtColor(red, cv2.COLOR_RGB2YUV_I420)[0, 0], 90, 240  # BT.601: red
    (image,) = decoded(raw_decoder(stream("yuyv", 4, 2)), [bytes([y, u, y, v]) * 4])
    assert isinstance(image, Image)
    assert image.pixels[..., 0].min() > 230
    assert image.pixels[..., 1:].max() < 30


@pytest.mark.parametrize("said", ["", "no JSON", "[]", "{}", '{"width_px": 0, "height_px": 4}', '{"width_px": 2.5, "height_px": 4}',
                                  '{"width_px": 2, "height_px": 4, "scale_m": 0}'])  # fmt: skip
def test_a_description_without_a_size_is_told(said: str) -> None:
    with pytest.raises(
        DeviceError, match=r"head/depth: its description does not state the size of a picture .*width_px"
    ):
        RawLayout.of(Stream("head/depth", "z16", said))


@pytest.mark.parametrize("encoding", ["z16", "yuyv", "rgb8"])
@given(data=st.binary(max_size=60))
def test_bytes_of_another_length_are_counted_and_never_raise(encoding: str, data: bytes) -> None:
    decoder = raw_decoder(stream(encoding, 4, 2))
    samples = decoded(decoder, [data])
    assert len(samples) + sum(decoder.rejected.values()) == 1
    assert len(samples) == (len(data) == {"z16": 16, "yuyv": 16, "rgb8": 24}[encoding])


def rate(t_ns: int, x: float) -> tuple[int, bytes]:
    return t_ns, MOTION.pack(ANGULAR_RATE, x, 0.0, 0.0)


def acceleration(t_ns: int, y: float) -> tuple[int, bytes]:
    return t_ns, MOTION.pack(ACCELERATION, 0.0, y, 0.0)


def moved(packets: list[tuple[int, bytes]]) -> tuple[list[ImuSample], dict[str, int]]:
    decoder = MotionDecoder("head")
    samples = [sample for t_ns, data in packets for sample in decoder.decode(packet(data, device_ns=t_ns))]
    return [*samples, *decoder.flush()], dict(decoder.rejected)


def test_acceleration_is_interpolated_at_each_angular_rate() -> None:
    samples, rejected = moved(
        [rate(5, 1.0), acceleration(10, 2.0), rate(10, 2.0), rate(15, 3.0), rate(22, 4.0), acceleration(20, 4.0),
         acceleration(30, 5.0), rate(31, 5.0)]
    )  # fmt: skip
    assert [(sample.t_ns, sample.angular_rate[0], sample.acceleration[1]) for sample in samples] == [
        (10, 2.0, 2.0), (15, 3.0, 3.0), (22, 4.0, pytest.approx(4.2))
    ]  # fmt: skip
    assert rejected == {"no acceleration beside it": 2}


@given(st.lists(st.binary(max_size=20)))
def test_no_bytes_of_a_motion_stream_raise(datas: list[bytes]) -> None:
    moved([(number, data) for number, data in enumerate(datas)])
    _, rejected = moved(
        [(1, b"rubbish"), (2, struct.pack("<B3xfff", 7, 0, 0, 0)), (3, MOTION.pack(1, float("nan"), 0, 0))]
    )
    assert rejected == {"not as long as a measurement": 1, "no measurement": 2}
