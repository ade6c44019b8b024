"""One stream of a recording as it was read, through all of its files: what is missing, what is late, what is out of order."""

from __future__ import annotations

from dataclasses import dataclass, field

from capture.intervals import LEAST_UNUSUAL_NS, Intervals, between_ns
from capture.stretch import Stretch

_SEQUENCES = 1 << 32  # MCAP's sequence numbers are 32 bits wide


@dataclass(slots=True)
class StreamCheck:
    """Sequence numbers, arrivals and device stamps, in the order in which they lie.

    missing: sequence numbers that do not occur; out_of_order: those that are not behind the one before;
    host_backwards, device_backwards: stamps that fall behind the one before. long: the intervals of a second and more in which nothing is known
    to be missing, by their place.
    """

    name: str
    messages: int = 0
    missing: int = 0
    out_of_order: int = 0
    host_backwards: int = 0
    device_backwards: int = 0
    longest_gap_ns: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    last_sequence: int = -1
    last_device_ns: int | None = None
    intervals: Intervals = field(default_factory=Intervals)
    long: list[Stretch] = field(default_factory=list)

    def take(self, sequence: int, host_ns: int, device_ns: int | None) -> None:
        ahead = (sequence - self.last_sequence) % _SEQUENCES
        stamps_ns = None if device_ns is None or self.last_device_ns is None else device_ns - self.last_device_ns
        if 0 < ahead < _SEQUENCES // 2:
            self.missing += ahead - 1
            self.last_sequence = sequence
        else:
            self.out_of_order += 1
        if device_ns is not None:
            if self.last_device_ns is not None and device_ns < self.last_device_ns:
                self.device_backwards += 1
            self.last_device_ns = device_ns
        if self.first_ns is None:
            self.first_ns = host_ns
        elif host_ns < self.last_ns:
            self.host_backwards += 1
        else:
            apart_ns = host_ns - self.last_ns
            self.longest_gap_ns = max(self.longest_gap_ns, apart_ns)
            sent_ns = between_ns(apart_ns, stamps_ns)
            self.intervals.add(sent_ns)
            if ahead == 1 and sent_ns >= LEAST_UNUSUAL_NS:
                self.long.append(Stretch(self.last_ns, host_ns))
        self.last_ns = host_ns
        self.messages += 1
