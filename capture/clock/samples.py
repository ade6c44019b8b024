"""The topic /fieldrig/clock: once a second, of each stream, the arrival that waited least, and the clock as it was then known.

The fits of a recording can be read back from it alone, without a packet, and be drawn anew by other means: every sample bears the two
stamps of a packet that waited hardly at all.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capture.bag.mcap_file import messages_in
from capture.bag.mcap_index import rare_messages
from capture.bag.rosbag import CLOCK_TOPIC
from capture.clock.filter import ClockFilter
from capture.clock.fit import ClockFit
from capture.errors import CaptureError

_ENCAPSULATION = b"\x00\x01\x00\x00"
_SECOND_NS = 1_000_000_000
# The arrival's second and nanosecond, the empty frame's length and text, the stream's length.
_HEAD = struct.Struct("<iIIB3xI")
_BODY = struct.Struct("<qqqqqdddQII")


@dataclass(frozen=True, slots=True)
class ClockSample:
    """device_ns, host_ns: the stamps of the packet that waited least since the last sample. strays: counted so far."""

    stream: str
    device_ns: int
    host_ns: int
    fit: ClockFit
    strays: int = 0


def pack_clock_sample(sample: ClockSample) -> bytes:
    """A fieldrig_msgs/ClockSample; header.stamp is the arrival. CDR: eight-byte fields are aligned from behind the encapsulation."""
    fit, stream = sample.fit, sample.stream.encode() + b"\0"
    seconds, rest = divmod(sample.host_ns, _SECOND_NS)
    head = _HEAD.pack(seconds, rest, 1, 0, len(stream)) + stream
    body = _BODY.pack(
        sample.device_ns,
        sample.host_ns,
        fit.from_host_ns,
        fit.reference_device_ns,
        fit.host_minus_device_ns,
        fit.skew_ppm,
        math.nan if fit.skew_sigma_ppm is None else fit.skew_sigma_ppm,
        fit.sigma_ns,
        fit.samples,
        fit.stretch,
        min(sample.strays, 0xFFFFFFFF),
    )
    return _ENCAPSULATION + head + bytes(-len(head) % 8) + body


def unpack_clock_sample(message: bytes) -> ClockSample:
    """Raises CaptureError when the message is not one that pack_clock_sample() makes."""
    try:
        length = _HEAD.unpack_from(message, 4)[-1]
        end = 4 + _HEAD.size + length
        stream = message[4 + _HEAD.size : end - 1].decode()
        body = _BODY.unpack_from(message, end + (4 - end) % 8)
    except (struct.error, UnicodeDecodeError):
        raise CaptureError(f"a clock sample of {len(message)} bytes is broken") from None
    device_ns, host_ns, from_host_ns, reference_ns, offset_ns, skew_ppm, skew_sigma_ppm, sigma_ns, *counts = body
    samples, stretch, strays = counts
    known_ppm = None if math.isnan(skew_sigma_ppm) else skew_sigma_ppm
    fit = ClockFit(reference_ns, offset_ns, skew_ppm, sigma_ns, samples, from_host_ns, stretch, known_ppm)
    return ClockSample(stream, device_ns, host_ns, fit, strays)


def clock_samples(files: Sequence[Path]) -> Iterator[ClockSample]:
    """The samples of a recording's finished files, oldest first; chunks that hold none are not read. Broken ones are passed over."""
    for path in files:
        # Compressed chunks have no place for single messages: they are read whole.
        for message in list(rare_messages(path, CLOCK_TOPIC)) or messages_in(path, [CLOCK_TOPIC]):
            with contextlib.suppress(CaptureError):
                yield unpack_clock_sample(message.data)


def clocks_from_samples(samples: Iterable[ClockSample]) -> Mapping[str, tuple[ClockFit, ...]]:
    """Stream -> its fits as recording.json has them: of each stretch and each minute, the last one."""
    fits: dict[str, dict[tuple[int, int], ClockFit]] = {}
    for sample in samples:
        fits.setdefault(sample.stream, {})[sample.fit.stretch, sample.fit.from_host_ns] = sample.fit
    return {stream: tuple(of_stream.values()) for stream, of_stream in fits.items()}


class ClockSampler:
    """Takes the samples of a recording's clocks, for the writer to write once a second."""

    def __init__(self, streams: Sequence[str], clocks: Sequence[ClockFilter]) -> None:
        self._clocks = list(zip(streams, clocks, strict=True))
        self._least: dict[str, tuple[int, int]] = {}
        self._strays_before = {stream: clock.strays for stream, clock in self._clocks}
        self._stopped_before = {stream: clock.stopped for stream, clock in self._clocks}

    def samples(self) -> list[ClockSample]:
        """Of every stream that something has come on since the last time."""
        return [sample for stream, clock in self._clocks if (sample := self._sample(stream, clock, clock.known))]

    def last_samples(self, fits_of: Mapping[str, Sequence[ClockFit]]) -> list[ClockSample]:
        """Of every stream on which anything ever came, with what recording.json will say: its fits."""
        made = []
        for stream, clock in self._clocks:
            fits = fits_of[stream]
            sample = self._sample(stream, clock, fits[-1] if fits else None)
            if sample is None and fits and stream in self._least:
                sample = ClockSample(stream, *self._least[stream], fits[-1], clock.strays - self._strays_before[stream])
            made += [] if sample is None else [sample]
        return made

    def notes(self) -> list[str]:
        """What a reader should know of each stream's stamps, in words."""
        strays = {stream: clock.strays - self._strays_before[stream] for stream, clock in self._clocks}
        return [
            f"{stream}: {count} packets bear a time that the sensor's clock cannot have shown when they came"
            for stream, count in strays.items()
            if count
        ]

    def doubts(self) -> list[str]:
        """What speaks against each stream's stamps, in words."""
        stopped = {stream: clock.stopped - self._stopped_before[stream] for stream, clock in self._clocks}
        return [
            f"{stream}: {count} packets came while the sensor's clock stood still; their header stamps are their arrival"
            for stream, count in stopped.items()
            if count
        ]

    def _sample(self, stream: str, clock: ClockFilter, fit: ClockFit | None) -> ClockSample | None:
        least = clock.take_least()
        if least is None or fit is None:
            return None
        self._least[stream] = least
        return ClockSample(stream, *least, fit, clock.strays - self._strays_before[stream])
