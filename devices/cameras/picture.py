"""Pictures as files: JPEG and PNG bytes to pixels, and back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from devices.device import PacketDecoder, Rejections
from devices.samples import Image, Packet

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) RGB -> a JPEG file. quality: libjpeg's, 0 to 100."""
    import cv2

    return _encoded(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, quality)


def png(pixels: NDArray[np.uint8], effort: int = 4) -> bytes:
    """(H, W, 3) RGB -> a PNG file. effort: zlib's, 0 to 9."""
    import cv2

    return _encoded(".png", pixels, cv2.IMWRITE_PNG_COMPRESSION, effort)


def picture_decoder(sensor: str) -> PacketDecoder:
    """A JPEG or PNG a packet -> Image, at the device's stamp, or the arrival where the camera has no clock.

    A picture that ends early is passed over: libjpeg would fill the rest with grey, and nobody would know.
    """
    return PacketDecoder(partial(_image, sensor))


def _encoded(ending: str, pixels: NDArray[np.uint8], setting: int, value: int) -> bytes:
    import cv2

    _, encoded = cv2.imencode(ending, pixels[..., ::-1], [setting, value])
    return encoded.tobytes()


def _image(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[Image]:
    import cv2

    if not is_whole(packet.data):
        rejections.add("not a whole JPEG or PNG")
        return
    try:
        pixels = cv2.imdecode(np.frombuffer(packet.data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # a size that no memory holds
        pixels = None
    if pixels is None:
        rejections.add("a picture that does not decode")
        return
    yield Image(sensor, packet.stamps.own_ns, np.asarray(pixels, dtype=np.uint8))


def is_whole(data: bytes) -> bool:
    """Whether it begins and ends as a JPEG or PNG does; what pads it behind its end does not count."""
    if data.startswith(_JPEG_START):
        return data.rstrip(b"\0\r\n").endswith(_JPEG_END)
    return data.startswith(_PNG_START) and data.rstrip(b"\0\r\n").endswith(_PNG_END)
