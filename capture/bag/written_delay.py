"""How long messages took from their arrival at this machine until they were handed to the disk."""

from __future__ import annotations

from collections.abc import Iterable

_BIN_NS = 1_000_000
_BINS = 1024  # the last one holds all that took longer than a second


class WrittenDelay:
    """A histogram in steps of a millisecond."""

    def __init__(self) -> None:
        self.longest_ns = 0
        self._bins = [0] * _BINS
        self._count = 0

    def add(self, written_ns: int, arrived_ns: Iterable[int]) -> None:
        """Messages that were written at this moment; arrived_ns: of each, on the same clock."""
        bins = self._bins
        for each_ns in arrived_ns:
            delay_ns = max(0, written_ns - each_ns)  # 0: a kernel's stamp, turned into host time, can be a hair ahead
            bins[min(delay_ns // _BIN_NS, _BINS - 1)] += 1
            self.longest_ns = max(self.longest_ns, delay_ns)
            self._count += 1

    def quantile_ms(self, fraction: float) -> float:
        """What this fraction of the messages did not exceed, rounded up to a whole ms; 0 before the first message."""
        wanted, seen = fraction * self._count, 0
        for index, count in enumerate(self._bins[:-1]):
            seen += count
            if seen >= wanted:
                return float(index + 1) if self._count else 0.0
        return self.longest_ns / 1e6
