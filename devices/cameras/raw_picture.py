"""Pictures as a sensor's memory holds them, row by row without gaps: depth, and colour that no encoder has touched.

    encoding    ROS' name        a pixel
    z16         16UC1            depth, uint16 little-endian, in units of ``scale_m``; 0: none was measured
    yuyv        yuv422_yuy2      two bytes: Y, and U or V in turn (ITU-R BT.601)
    rgb8        rgb8             three bytes

The stream's description is a JSON object with ``width_px``, ``height_px`` and, for depth, ``scale_m``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from devices.device import PacketDecoder, Rejections, Stream
from devices.errors import DeviceError
from devices.samples import Depth, Image, Packet, Sample

DEPTH = "z16"
KINDS: Mapping[str, type[Sample]] = {DEPTH: Depth, "yuyv": Image, "rgb8": Image}
_ROS_NAMES = {DEPTH: "16UC1", "yuyv": "yuv422_yuy2", "rgb8": "rgb8"}
_PIXEL_BYTES = {DEPTH: 2, "yuyv": 2, "rgb8": 3}


@dataclass(frozen=True, slots=True)
class RawLayout:
    """What the bytes of a stream's pictures mean. scale_m: metres a unit of depth."""

    encoding: str
    width_px: int
    height_px: int
    scale_m: float

    @property
    def ros_name(self) -> str:
        """sensor_msgs/msg/Image's ``encoding``."""
        return _ROS_NAMES[self.encoding]

    @property
    def row_bytes(self) -> int:
        return self.width_px * _PIXEL_BYTES[self.encoding]

    @property
    def size_bytes(self) -> int:
        return self.row_bytes * self.height_px

    @classmethod
    def of(cls, stream: Stream) -> RawLayout:
        """Raises DeviceError when the stream's description does not state it."""
        try:
            said = json.loads(stream.description)
            width, height, scale = said["width_px"], said["height_px"], said.get("scale_m", 1.0)
            if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0 and scale > 0):
                raise ValueError((width, height, scale))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeviceError(
                f"{stream.name}: its description does not state the size of a picture ({error!r}); "
                "it must hold width_px and height_px, docs/FORMATS.md shows one"
            ) from None
        return cls(stream.encoding, width, height, float(scale))


def raw_decoder(stream: Stream) -> PacketDecoder:
    """A raw picture a packet -> Depth or Image. Raises DeviceError when the stream's description does not state its size."""
    return PacketDecoder(partial(_sample, stream.sensor, RawLayout.of(stream)))


def _sample(sensor: str, layout: RawLayout, packet: Packet, rejections: Rejections) -> Iterable[Sample]:
    import cv2

    if len(packet.data) != layout.size_bytes:
        rejections.add("not as long as its picture")
        return
    flat = np.frombuffer(packet.data, dtype="<u2" if layout.encoding == DEPTH else np.uint8)
    rows = flat.reshape(layout.height_px, layout.width_px, *(() if layout.encoding == DEPTH else (-1,)))
    t_ns = packet.stamps.own_ns
    if layout.encoding == DEPTH:
        yield Depth(sensor, t_ns, rows.astype(np.uint16), layout.scale_m)
    elif layout.encoding == "yuyv":
        yield Image(sensor, t_ns, np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2RGB_YUY2), dtype=np.uint8))
    else:
        yield Image(sensor, t_ns, rows.copy())
