"""H.264 and H.265 as cameras stream them, an access unit a packet, to pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.cameras.access_unit import Codec, nal_units
from devices.cameras.h264 import MissingReferences
from devices.device import Rejections
from devices.samples import Image, Packet

if TYPE_CHECKING:
    from av import VideoFrame

_PIXELS_MAX = 1 << 26  # what a damaged parameter set may ask for must not fill the memory
_PENDING_MAX = 64  # pictures that a decoder holds back to put them in order: 16 at the most, by both standards
_FIRST = "before the first key frame"
_SMEARED = "rests on a picture that was lost"
_UNDECODED = "a picture that does not decode"
VIDEO_ENCODINGS = frozenset(Codec)


def can_begin(encoding: str, data: bytes) -> bool:
    """Whether decoding can begin with this access unit of a video stream."""
    return any(Codec(encoding).starts_here(nal) for nal in nal_units(data))


class VideoDecoder:
    """Access units in Annex B -> Images, from the first one on at which decoding can begin.

    A picture that was concealed for want of a lost one, and those that rest on it, are passed over up to the next such beginning.
    """

    carries_over = True

    def __init__(self, sensor: str, codec: Codec) -> None:
        import av

        self._sensor = sensor
        self._codec = codec
        self._rejections = Rejections()
        self._context: Any = av.CodecContext.create(codec.replace("h265", "hevc"), "r")
        self._context.thread_count = 1
        self._context.options = {"max_pixels": str(_PIXELS_MAX)}
        self._missing = MissingReferences()
        self._waits_for = _FIRST  # why pictures are passed over until one comes at which decoding can begin
        self._is_smeared = False
        self._fed = 0
        self._stamps_ns: dict[int, int] = {}  # of pictures on their way through the decoder, by the order of feeding

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts

    def decode(self, packet: Packet) -> Iterable[Image]:
        nals = nal_units(packet.data)
        if not any(self._codec.is_picture(nal) for nal in nals):
            self._rejections.add("no access unit")
            return []
        images: list[Image] = []
        if self._codec is Codec.H264 and self._missing.before(nals) and not self._waits_for:
            images += self.flush()
            self._waits_for = _SMEARED
        if any(self._codec.starts_here(nal) for nal in nals):
            self._waits_for = ""
        if self._waits_for:
            self._rejections.add(self._waits_for)
            return images
        return [*images, *self._images(self._decoded(self._numbered(packet)))]

    def flush(self) -> Iterable[Image]:
        images = self._images(self._decoded(None))
        for _ in self._stamps_ns:
            self._rejections.add(_UNDECODED)
        self._stamps_ns.clear()
        self._context.flush_buffers()
        return images

    def _numbered(self, packet: Packet) -> Any:
        import av

        numbered = av.Packet(packet.data)
        numbered.pts = numbered.dts = self._fed
        self._stamps_ns[self._fed] = packet.stamps.own_ns
        if self._stamps_ns.pop(self._fed - _PENDING_MAX, None) is not None:
            self._rejections.add(_UNDECODED)
        self._fed += 1
        return numbered

    def _decoded(self, packet: Any) -> Sequence[VideoFrame]:
        import av

        frames: list[VideoFrame] = []
        with suppress(av.FFmpegError):  # its stamp stays behind, and is counted
            frames += self._context.decode(packet)
        return frames

    def _images(self, frames: Sequence[VideoFrame]) -> list[Image]:
        images = []
        for frame in frames:
            stamp_ns = self._stamps_ns.pop(-1 if frame.pts is None else frame.pts, None)
            self._is_smeared = frame.is_corrupt or (self._is_smeared and not frame.key_frame)
            if stamp_ns is None:
                continue  # of one already given, or long given up
            if self._is_smeared:
                self._rejections.add(_SMEARED)
                continue
            images.append(Image(self._sensor, stamp_ns, np.ascontiguousarray(frame.to_ndarray(format="rgb24"))))
        return images
