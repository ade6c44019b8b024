"""When a packet's instant was on this machine's clock: its header stamp."""

from __future__ import annotations

from collections.abc import Sequence

from capture.bag.packing import holds_stamp
from capture.clock.filter import ClockFilter
from capture.clock.follower import ClockFollower
from capture.packet_queue import Queued

_LONGEST_WAIT_NS = 10_000_000_000  # a capture time further than this from the arrival is a broken stamp's


class Stamper:
    """Stamps packets by their streams' clocks as they are known, and lets these learn from them."""

    def __init__(self, latencies_ns: Sequence[int], follower: ClockFollower) -> None:
        """latencies_ns: each stream's least latency, by inlet."""
        self._latencies_ns = latencies_ns
        self._follower = follower
        self._clocks = follower.clocks

    def stamp_ns(self, queued: Queued) -> int:
        """UTC capture time, ns, as well as it is known by now; the arrival less the least latency where the sensor has no clock, or one that stands still."""
        stamps, index = queued.packet.stamps, queued.inlet.index
        stamp_ns, device_ns = stamps.host_ns, stamps.device_ns
        self._follower.put(index, device_ns, stamp_ns)
        clock = self._clocks[index]
        if device_ns is not None and (fit := clock.known) is not None and not clock.stands_still:
            # No packet arrives before its time.
            estimated_ns = min(fit.host_from_device(device_ns), stamp_ns)
            # A broken packet may bear any time; the arrival then stands in, and the packet is kept like any other.
            if stamp_ns - estimated_ns < _LONGEST_WAIT_NS and holds_stamp(estimated_ns):
                stamp_ns = estimated_ns
        return stamp_ns - self._latencies_ns[index]

    def clock(self, index: int) -> ClockFilter:
        """The clock by which a stream's packets are stamped."""
        return self._clocks[index]
