"""When a packet's instant was on this machine's clock: its header stamp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.ma  # noqa: F401 -- the first median asks for it: not then, in the thread that writes

from capture.clock import ClockFilter, ClockFit
from capture.clock_host import HostClock
from capture.messages import holds_stamp
from capture.packet_queue import Queued

_LONGEST_WAIT_NS = 10_000_000_000  # a capture time further than this from the arrival is a broken stamp's


class Stamper:
    """One clock a stream, followed from the moment on at which the sensor was opened."""

    def __init__(self, latencies_ns: Sequence[int]) -> None:
        """latencies_ns: each stream's least latency, by inlet."""
        self.clocks = [ClockFilter() for _ in latencies_ns]
        self._latencies_ns = latencies_ns
        self._host_clock = HostClock()

    def stamp_ns(self, queued: Queued) -> int:
        """UTC capture time, ns, as well as it is known by now; the arrival less the least latency where the sensor has no clock."""
        stamps, index = queued.packet.stamps, queued.inlet.index
        stamp_ns = stamps.host_ns
        if self._host_clock.was_set(stamp_ns):
            for clock in self.clocks:
                clock.set_anew()
        if stamps.device_ns is not None:
            clock = self.clocks[index]
            clock.add(stamps.device_ns, stamps.host_ns)
            fit = clock.known
            estimated_ns = stamp_ns if fit is None else fit.host_from_device(stamps.device_ns)
            # A broken packet may bear any time; the arrival then stands in, and the packet is kept like any other.
            is_sound = abs(estimated_ns - stamp_ns) < _LONGEST_WAIT_NS and holds_stamp(estimated_ns)
            stamp_ns = estimated_ns if is_sound else stamp_ns
        return stamp_ns - self._latencies_ns[index]

    def known(self, index: int) -> ClockFit | None:
        """The clock by which a stream's packets are stamped at the moment; None where none is known."""
        return self.clocks[index].known
