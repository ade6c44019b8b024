"""How far apart a stream's packets come, and how long one must stay away for that to be unusual."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_UNUSUAL_NS = 1_000_000_000  # of any stream
_SEVERAL = 5  # usual intervals: a burst, a stall of a link or a busy machine is shorter
_WEIGHT_NS = 200_000_000  # of one interval at the most
_FEWEST = 10  # intervals that tell what is usual
_OCTAVES = 64


def between_ns(arrivals_ns: int, stamps_ns: int | None) -> int:
    """How far apart two packets were sent, by how far apart they arrived and, where it is known, were stamped: what a link holds up is no gap."""
    return min(arrivals_ns, stamps_ns) if stamps_ns is not None and stamps_ns > 0 else arrivals_ns


@dataclass(slots=True)
class Intervals:
    """A histogram by powers of two."""

    _spent_ns: list[int] = field(default_factory=lambda: [0] * _OCTAVES)
    _counts: list[int] = field(default_factory=lambda: [0] * _OCTAVES)

    def add(self, interval_ns: int) -> None:
        octave = interval_ns.bit_length() % _OCTAVES
        self._spent_ns[octave] += interval_ns
        self._counts[octave] += 1

    def fade(self) -> None:
        """All that was added counts half as much from now on."""
        self._spent_ns = [spent // 2 for spent in self._spent_ns]
        self._counts = [count // 2 for count in self._counts]

    def usual_ns(self, beside_ns: int | None = None) -> int | None:
        """The interval in which half of the time lies, beside one of beside_ns; None where too few tell.

        So it is a second where a receiver sends twenty packets at once every second. Long ones, which may be gaps, count little.
        """
        spent_ns, counts = list(self._spent_ns), list(self._counts)
        octave = 0 if beside_ns is None else beside_ns.bit_length() % _OCTAVES
        if beside_ns is not None and counts[octave]:
            spent_ns[octave], counts[octave] = max(0, spent_ns[octave] - beside_ns), counts[octave] - 1
        if sum(counts) < _FEWEST:
            return None
        weights_ns = [min(spent, count * _WEIGHT_NS) for spent, count in zip(spent_ns, counts, strict=True)]
        half_ns, passed_ns = sum(weights_ns) // 2, 0
        for weight_ns, spent, count in zip(weights_ns, spent_ns, counts, strict=True):
            passed_ns += weight_ns
            if count and passed_ns > half_ns:
                return spent // count
        return None

    def unusual_ns(self, beside_ns: int | None = None) -> int | None:
        """How long an interval is at least that is unusual beside all but one of beside_ns; None where too few tell."""
        usual_ns = self.usual_ns(beside_ns)
        return None if usual_ns is None else max(LEAST_UNUSUAL_NS, _SEVERAL * usual_ns)
