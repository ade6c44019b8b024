"""What the sensors see, small: made in the page's process, only while somebody looks, at most so many times a second."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capture.dashboard.birdseye import PlanView, draw_birdseye
from capture.dashboard.figures import figures
from capture.errors import CaptureError
from devices.cameras.picture import jpeg, png
from devices.device import Decoder, Stream
from devices.errors import DeviceError, FieldrigError
from devices.rig import Rig
from devices.samples import Depth, GnssFix, Image, ImuSample, NamedVector, Packet, Sample, Sweep

PICTURE_EVERY_S, PLAN_EVERY_S = 0.45, 0.9
WIDTHS_PX = (320, 960)  # on its card, and enlarged
_BUSY_WAIT_S = 0.5
_REST = 4  # times as long as a preview took to make: what is costly (video since its key frame) is made less often
_DEPTH_FAR_M = 6.0
_JPEG, _PNG, _TEXT = "image/jpeg", "image/png", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody wants to see a stream. width_px: of a picture. plan: of a sweep."""

    width_px: int = WIDTHS_PX[0]
    plan: PlanView = field(default_factory=PlanView)


@dataclass(frozen=True, slots=True)
class Newest:
    """A stream's newest sample, and the newest packet."""

    sample: Sample
    packet: Packet

    @property
    def host_ns(self) -> int:
        return self.packet.stamps.host_ns


@dataclass(frozen=True, slots=True)
class Preview:
    """A small view of a stream's newest sample. host_ns: arrival of its newest packet."""

    kind: str
    data: bytes
    host_ns: int


@dataclass(slots=True)
class _Frame:
    """The last preview of one stream and look."""

    preview: Preview | None = None
    next_s: float = float("-inf")
    busy: threading.Lock = field(default_factory=threading.Lock)


class Gallery:
    """Previews of a rig's streams. packets: asks the recorder for the newest ones of a stream."""

    def __init__(self, rig: Rig, packets: Callable[[str], Sequence[Packet]]) -> None:
        self._rig = rig
        self._packets = packets
        self._frames: dict[tuple[str, Look], _Frame] = {}
        self._rejected: dict[str, Mapping[str, int]] = {}
        self._mountings = {name: sensor.mounting for name, sensor in rig.sensors.items()}

    def yields(self, stream: Stream) -> type[Sample] | None:
        """What its packets hold; None where they hold no samples, or it is no sensor's of this rig."""
        sensor = self._rig.sensors.get(stream.sensor)
        try:
            return None if sensor is None else sensor.loaded_driver().yields.get(stream.encoding)
        except DeviceError:
            return None

    def shows(self, stream: Stream) -> str:
        """What a stream's previews are: ``picture``, ``plan``, ``figures``, or nothing where there are none."""
        kind = self.yields(stream)
        return "" if kind is None else _SHOWN_AS.get(kind, "")

    def expected_hz(self, stream: Stream) -> float | None:
        """What rig.toml expects, where a packet is a sample and the two rates are one."""
        sensor = self._rig.sensors.get(stream.sensor)
        one_a_packet = self.yields(stream) in {Image, Depth, NamedVector}
        return sensor.rate_hz if sensor is not None and one_a_packet else None

    def newest(self, stream: Stream) -> Newest | None:
        """Of sweeps the one with most points, for the last may have just begun. Raises FieldrigError when the recorder cannot be asked."""
        packets = self._packets(stream.name) if self.shows(stream) else ()
        if not packets:
            return None
        decoder = self._rig.sensors[stream.sensor].loaded_driver().decoder(stream)
        newest: Sample | None = None
        before: Mapping[str, int] = {}
        for sample in _decoded(decoder, packets):  # one by one: a video's pictures together would fill the memory
            if newest is None and decoder.carries_over:
                before = dict(decoder.rejected)  # of what was under way when the first packet came
            if not (isinstance(newest, Sweep) and isinstance(sample, Sweep) and len(sample) < len(newest)):
                newest = sample
        self._rejected[stream.name] = {} if newest is None else Counter(decoder.rejected) - Counter(before)
        return None if newest is None else Newest(newest, packets[-1])

    def rejected(self, stream: str) -> Mapping[str, int]:
        """Reason -> packets of its newest preview that do not decode: a wrong checksum shows only there."""
        return self._rejected.get(stream, {})

    def preview(self, stream: Stream, look: Look) -> Preview | None:
        """The newest one, at most so old as its kind is made often; None when there is nothing to see.

        Raises FieldrigError when the recorder cannot be asked. One caller makes a preview; the others take what was made last.
        """
        every_s = PLAN_EVERY_S if self.shows(stream) == "plan" else PICTURE_EVERY_S
        frame = self._frames.setdefault((stream.name, look), _Frame())
        if not frame.busy.acquire(timeout=_BUSY_WAIT_S):
            return frame.preview
        try:
            began_s = time.monotonic()
            if began_s >= frame.next_s:
                frame.preview = self._make(stream, look)
                took_s = time.monotonic() - began_s
                frame.next_s = began_s + max(every_s, (1 + _REST) * took_s)
        except FieldrigError:
            raise
        except Exception as error:  # a decoder's defect is told on the stream's card
            raise CaptureError(f"{stream.name} cannot be shown: {type(error).__name__}: {error}") from None
        finally:
            frame.busy.release()
        return frame.preview

    def _make(self, stream: Stream, look: Look) -> Preview | None:
        newest = self.newest(stream)
        if newest is None:
            return None
        kind, data = self._drawn(stream, newest.sample, look)
        return Preview(kind, data, newest.host_ns)

    def _drawn(self, stream: Stream, sample: Sample, look: Look) -> tuple[str, bytes]:
        if isinstance(sample, Image):
            return _JPEG, jpeg(_narrowed(sample.pixels, look.width_px), quality=70)
        if isinstance(sample, Depth):
            return _JPEG, jpeg(_narrowed(coloured(sample), look.width_px), quality=85)
        if isinstance(sample, Sweep):
            mounting = self._mountings[stream.sensor]
            rig_from_lidar = None if mounting is None else mounting.rig_from(stream.sensor)
            return _PNG, png(draw_birdseye(sample.points_m, look.plan, rig_from_lidar), effort=1)
        return _TEXT, figures(sample).encode()


_SHOWN_AS: Mapping[type[Sample], str] = {
    Image: "picture",
    Depth: "picture",
    Sweep: "plan",
    NamedVector: "figures",
    ImuSample: "figures",
    GnssFix: "figures",
}


def _decoded(decoder: Decoder, packets: Sequence[Packet]) -> Iterator[Sample]:
    for packet in packets:
        yield from decoder.decode(packet)
    yield from decoder.flush()


def coloured(depth: Depth) -> NDArray[np.uint8]:
    """(H, W, 3): near is red, _DEPTH_FAR_M and beyond blue, black where nothing was measured."""
    import cv2

    metres = np.nan_to_num(depth.metres(), nan=0.0)
    level = (255 * (1 - np.clip(metres / _DEPTH_FAR_M, 0.0, 1.0))).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1], dtype=np.uint8).copy()
    colours[metres <= 0] = 0
    return colours


def _narrowed(pixels: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    import cv2

    height, width = pixels.shape[:2]
    if width <= width_px:
        return pixels
    size = (width_px, max(1, round(height * width_px / width)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
