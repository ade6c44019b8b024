"""How far apart a stream's packets come, and where they stayed away for much longer than that."""

from __future__ import annotations

from dataclasses import dataclass, field

from capture.stretch import Stretch

_LONG_NS = 1_000_000_000
_SEVERAL = 5  # usual intervals: a burst, a stall of a link or a busy machine is shorter
_FEWEST = 10  # intervals that tell what is usual
_OCTAVES = 64


@dataclass(slots=True)
class Intervals:
    """A histogram by powers of two, and each interval of a second and more by its place."""

    long: list[Stretch] = field(default_factory=list)
    _spent_ns: list[int] = field(default_factory=lambda: [0] * _OCTAVES)
    _counts: list[int] = field(default_factory=lambda: [0] * _OCTAVES)

    def add(self, from_ns: int, to_ns: int, apart_ns: int, *, is_whole: bool) -> None:
        """Between the arrivals of two packets. apart_ns: how far apart they were sent, as far as is known; is_whole: nothing is known to be missing between."""
        octave = apart_ns.bit_length() % _OCTAVES
        self._spent_ns[octave] += apart_ns
        self._counts[octave] += 1
        if is_whole and apart_ns >= _LONG_NS:
            self.long.append(Stretch(from_ns, to_ns))

    def usual_ns(self, beside_ns: int) -> int | None:
        """The interval in which half of the time lies, beside one of beside_ns; None where too few tell.

        So it is a second where a receiver sends twenty packets at once every second.
        """
        spent_ns, counts, octave = list(self._spent_ns), list(self._counts), beside_ns.bit_length() % _OCTAVES
        if counts[octave]:
            spent_ns[octave], counts[octave] = max(0, spent_ns[octave] - beside_ns), counts[octave] - 1
        if sum(counts) < _FEWEST:
            return None
        half_ns, passed_ns = sum(spent_ns) // 2, 0
        for spent, count in zip(spent_ns, counts, strict=True):
            passed_ns += spent
            if count and passed_ns > half_ns:
                return spent // count
        return None

    def is_unusual(self, gap_ns: int) -> bool:
        usual_ns = self.usual_ns(gap_ns)
        return usual_ns is not None and gap_ns >= max(_LONG_NS, _SEVERAL * usual_ns)
