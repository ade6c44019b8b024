"""fieldrig_msgs/ClockSample, packed and unpacked: the stamps of a packet that waited hardly at all, and the clock as it was then known."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from capture.bag.cdr import ENCAPSULATION
from capture.clock.fit import ClockFit
from capture.errors import CaptureError

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
    return ENCAPSULATION + head + bytes(-len(head) % 8) + body


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
