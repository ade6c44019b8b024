"""When a packet's instant was on this machine's clock: its header stamp."""

from __future__ import annotations

import time
from collections.abc import Sequence

from capture.clock import ClockFilter, ClockFit
from capture.messages import holds_stamp
from capture.packet_queue import Queued

_FIT_S = 0.2  # how old the clock may be by which a packet is stamped


class Stamper:
    """One clock a stream, followed from the moment on at which the sensor was opened."""

    def __init__(self, latencies_ns: Sequence[int]) -> None:
        """latencies_ns: each stream's least latency, by inlet."""
        self.clocks = [ClockFilter() for _ in latencies_ns]
        self._latencies_ns = latencies_ns
        self._fits: list[ClockFit | None] = [None] * len(latencies_ns)
        self._next_fit_s = [0.0] * len(latencies_ns)

    def stamp_ns(self, queued: Queued) -> int:
        """UTC capture time, ns, as well as it is known by now; the arrival less the least latency where the sensor has no clock."""
        stamps, index = queued.packet.stamps, queued.inlet.index
        stamp_ns = stamps.host_ns
        if stamps.device_ns is not None:
            self.clocks[index].add(stamps.device_ns, stamps.host_ns)
            fit = self._fit(index, stamps.device_ns)
            estimated_ns = stamp_ns if fit is None else fit.host_from_device(stamps.device_ns)
            # A broken packet may bear any time; the arrival then stands in, and the packet is kept like any other.
            stamp_ns = estimated_ns if holds_stamp(estimated_ns) else stamp_ns
        return stamp_ns - self._latencies_ns[index]

    def known(self, index: int) -> ClockFit | None:
        """The clock by which a stream's packets are stamped at the moment; None where none is known."""
        return self._fits[index]

    def _fit(self, index: int, device_ns: int) -> ClockFit | None:
        now, fit = time.monotonic(), self._fits[index]
        was_set_back = fit is not None and device_ns < fit.reference_device_ns
        if fit is None or was_set_back or now >= self._next_fit_s[index]:
            fit = self._fits[index] = self.clocks[index].fit()
            self._next_fit_s[index] = now + _FIT_S
        return fit
