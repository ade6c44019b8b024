from __future__ import annotations

import itertools
import random
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.cameras.access_unit import Codec, nal_units
from devices.cameras.video import VideoDecoder
from devices.samples import Image
from tests.devices.builders import packet
from tests.devices.video_builders import encoded_video

ENCODERS = {Codec.H264: "libx264", Codec.H265: "libx265"}
every_codec = pytest.mark.parametrize("codec", list(Codec))


def shown(codec: Codec, units: dict[int, bytes]) -> tuple[list[int], dict[str, int]]:
    """The numbers of the pictures that come out, and what was passed over."""
    decoder = VideoDecoder("camera", codec)
    images: list[Image] = []
    for number, unit in units.items():
        images += decoder.decode(packet(unit, device_ns=number))
    images += decoder.flush()
    return [image.t_ns for image in images], dict(decoder.rejected)


def without(units: list[bytes], *missing: int) -> dict[int, bytes]:
    return {number: unit for number, unit in enumerate(units) if number not in missing}


@every_codec
def test_each_picture_comes_out_at_its_own_stamp_and_at_once(codec: Codec) -> None:
    decoder = VideoDecoder("camera", codec)
    for number, unit in enumerate(encoded_video(ENCODERS[codec], 12)):
        (image,) = decoder.decode(packet(unit, device_ns=number))
        assert (image.t_ns, image.pixels.shape) == (number, (48, 64, 3))
    assert decoder.rejected == {}


@every_codec
def test_pictures_that_were_coded_out_of_order_come_in_the_order_in_which_they_were_sent_to_the_decoder_to_be_shown(
    codec: Codec,
) -> None:
    units = encoded_video(ENCODERS[codec], 25, reordered=True)
    found, rejected = shown(codec, without(units))
    assert sorted(found) == list(range(25))
    assert found != sorted(found)
    assert rejected == {}


@every_codec
def test_nothing_is_shown_before_the_first_key_frame_and_it_is_counted(codec: Codec) -> None:
    units = encoded_video(ENCODERS[codec], 25)
    found, rejected = shown(codec, without(units, 0))
    assert found == list(range(10, 25))
    assert rejected == {"before the first key frame": 9}


@every_codec
@pytest.mark.parametrize("lost", [1, 4, 9, 10, 15])
def test_what_rests_on_a_lost_picture_is_not_shown_up_to_the_next_key_frame(codec: Codec, lost: int) -> None:
    """FFmpeg alone would show smeared H.264 pictures here without a word."""
    units = encoded_video(ENCODERS[codec], 30)
    found, rejected = shown(codec, without(units, lost))
    end = (lost // 10 + 1) * 10
    assert found == [*range(lost), *range(end, 30)]
    assert sum(rejected.values()) == end - lost - 1


def test_a_picture_of_which_a_slice_is_missing_and_what_rests_on_it_is_not_shown() -> None:
    units = encoded_video("libx264", 20, slices=2)
    units[4] = b"\0\0\0\1" + nal_units(units[4])[0]
    found, rejected = shown(Codec.H264, without(units))
    assert found == [0, 1, 2, 3, *range(10, 20)]
    assert rejected == {"rests on a picture that was lost": 6}


@every_codec
@given(data=st.data())
def test_damage_anywhere_never_raises_and_the_next_key_frame_is_shown_again(codec: Codec, data: st.DataObject) -> None:
    units = encoded_once(codec)
    number = data.draw(st.integers(0, 9))
    at = data.draw(st.integers(0, len(units[number]) - 1))
    end = data.draw(st.integers(at, min(len(units[number]), at + 40)))
    damaged = units[number][:at] + data.draw(st.binary(max_size=12)) + units[number][end:]
    found, _ = shown(codec, {**without(units), number: damaged})
    assert [each for each in found if each > 9] == list(range(10, 14))


@every_codec
@given(rubbish=st.binary(max_size=200))
def test_rubbish_is_counted_and_costs_no_picture(codec: Codec, rubbish: bytes) -> None:
    units = encoded_once(codec)[:3]
    decoder = VideoDecoder("camera", codec)
    images = []
    for unit in (rubbish, units[0], b"\0\0\1" + b"\x7f" * 4 + rubbish.replace(b"\0", b""), units[1], units[2]):
        images += decoder.decode(packet(unit))
    images += decoder.flush()
    assert len(images) == 3
    assert sum(decoder.rejected.values()) == 2


_ENCODED: dict[Codec, list[bytes]] = {}


def encoded_once(codec: Codec) -> list[bytes]:
    if codec not in _ENCODED:
        _ENCODED[codec] = encoded_video(ENCODERS[codec], 14)
    return _ENCODED[codec]


@pytest.mark.parametrize("reordered", [False, True])
@every_codec
def test_of_real_footage_no_picture_is_shown_that_a_loss_has_changed(
    codec: Codec, reordered: bool, test_data: Path
) -> None:
    units = encoded_video(ENCODERS[codec], 40, reordered=reordered, pictures=street(test_data))
    whole = pictures_of(codec, dict(enumerate(units)))
    assert len(whole) == 40
    generator = random.Random(codec)
    for _ in range(4):
        lost = {generator.randrange(40) for _ in range(generator.randrange(1, 4))}
        for stamp_ns, pixels in pictures_of(codec, without(units, *lost)).items():
            assert np.array_equal(pixels, whole[stamp_ns]), f"picture {stamp_ns} is smeared when {lost} are lost"


def pictures_of(codec: Codec, units: dict[int, bytes]) -> dict[int, np.ndarray]:
    decoder = VideoDecoder("camera", codec)
    images = [image for number, unit in units.items() for image in decoder.decode(packet(unit, device_ns=number))]
    images += decoder.flush()
    assert len(images) + sum(decoder.rejected.values()) == len(units)
    return {image.t_ns: image.pixels for image in images}


def street(test_data: Path) -> list[np.ndarray]:
    with av.open(str(test_data / "street_video" / "vtest.avi")) as container:
        frames = itertools.islice(container.decode(video=0), 40)
        return [np.ascontiguousarray(frame.to_ndarray(format="rgb24")[::2, ::2]) for frame in frames]
