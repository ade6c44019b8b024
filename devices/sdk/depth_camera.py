"""What depth cameras have in common, whoever makes them: colour, depth and motion, each of a size or none."""

from __future__ import annotations

from collections.abc import Mapping

from devices import motion
from devices.cameras import raw_picture
from devices.cameras.picture import picture_decoder
from devices.cameras.raw_picture import raw_decoder
from devices.device import Decoder, Stream
from devices.errors import DeviceError
from devices.motion import MotionDecoder
from devices.samples import Image, ImuSample, Sample

KINDS: Mapping[str, type[Sample]] = {"jpeg": Image, **raw_picture.KINDS, motion.ENCODING: ImuSample}


def two_numbers(size: tuple[int, ...]) -> tuple[int, ...]:
    """Of a picture, or none. Raises ValueError."""
    if size and (len(size) != 2 or min(size) <= 0):
        raise ValueError("give width and height, e.g. [1280, 720], or [] for none")
    return size


def depth_camera_decoder(stream: Stream, who: str) -> Decoder:
    """For what cameras of this kind send: colour, depth, motion. Raises DeviceError for another encoding."""
    if stream.encoding == "jpeg":
        return picture_decoder(stream.sensor)
    if stream.encoding in raw_picture.KINDS:
        return raw_decoder(stream)
    if stream.encoding == motion.ENCODING:
        return MotionDecoder(stream.sensor)
    choices = ", ".join(f"'{each}'" for each in KINDS)
    raise DeviceError(f"{stream.name}: {who} sends {choices}, not '{stream.encoding}'")
