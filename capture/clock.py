"""A sensor's clock on the host's: offset and skew from the arrivals that waited least.

Every arrival is late by the transport's jitter, never early, so the true line lies under all points (device, host - device). The line
under them with the least sum of distances is the edge of their lower convex hull that spans their mean (Zhang, Liu and Xia 2002, "Clock
synchronization algorithms for network measurements"; Olson 2010, "A passive solution to the sensor synchronization problem", keeps
such a bound online). The least latency itself cannot be seen in arrivals: it stays in the fit.

That line lies too high, the less so the more points there are. How much is read off the points themselves: they are dealt into 16 hulls,
the hulls of 4 of these (a quarter of the points) and of all are compared, and the law by which they sink as points are added,
n^(-1/k), is extrapolated (k is 1 for jitter whose likeliest value is its least, more the rarer the quickest arrivals are).
The stated sigma is made of the scatter among the 16, shrunk by the same law, and of the extrapolation's own length; the weights
of both were found in simulations, which tests/capture/test_clock.py repeats.

All arithmetic is on integer nanoseconds relative to the first sample: a float64 of nanoseconds since 1970 would be coarse to 256 ns.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise

_HANDS = 16  # into how many hulls the points are dealt; a square, so that a quarter is itself a hand of hands
_QUARTER = 4
_SKEW_LIMIT = 500e-6  # no crystal is worse; holds the line down while the points still span a moment only
_STEP_NS = 1_000_000_000  # a device clock that falls back by more than this has been set or restarted
_SCATTER_WEIGHT, _BIAS_WEIGHT = 1.2, 2.5
_ENOUGH = 64  # samples below which the hands hold too few points to be compared

_Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ClockFit:
    """host = device + host_minus_device_ns + skew * (device - reference_device_ns): when a packet arrives that waits least.

    sigma_ns: standard deviation of host_from_device() at the newest sample. samples: how many arrivals it rests on.
    """

    reference_device_ns: int
    host_minus_device_ns: int
    skew_ppm: float
    sigma_ns: float
    samples: int

    def host_from_device(self, device_ns: int) -> int:
        """The host's time of an instant on the sensor's clock, plus the transport's least latency."""
        return (
            device_ns + self.host_minus_device_ns + round((device_ns - self.reference_device_ns) * self.skew_ppm * 1e-6)
        )


class ClockFilter:
    """Takes (device, host) stamps one by one, in a memory that grows only with the hulls' corners."""

    def __init__(self) -> None:
        self.restarts = 0
        self._begin()

    def _begin(self) -> None:
        self._hulls: list[list[_Point]] = [[] for _ in range(_HANDS)]
        self._origin: _Point | None = None
        self._last_ns = 0
        self._sum_ns = 0
        self._samples = 0

    def add(self, device_ns: int, host_ns: int) -> None:
        """One arrival. A device stamp that does not advance is passed over; one that falls back by a second begins anew."""
        if self._origin is None:
            self._origin = (device_ns, host_ns - device_ns)
        elif device_ns <= self._last_ns:
            if device_ns > self._last_ns - _STEP_NS:
                return
            self.restarts += 1
            self._begin()
            self._origin = (device_ns, host_ns - device_ns)
        x, y = device_ns - self._origin[0], host_ns - device_ns - self._origin[1]
        # Dealt by a multiplicative hash (Knuth), so that no hand keeps step with a periodic sensor.
        hand = (self._samples * 2654435761 >> 16) % _HANDS
        _append(self._hulls[hand], (x, y))
        self._last_ns = device_ns
        self._sum_ns += x
        self._samples += 1

    @property
    def samples(self) -> int:
        return self._samples

    def fit(self) -> ClockFit | None:
        """The clock as known so far; None before the first sample."""
        if self._origin is None:
            return None
        middle = self._sum_ns // self._samples
        end = self._last_ns - self._origin[0]
        level, slope = _floor(_hull_of(self._hulls), middle)
        bias, sigma = self._excess(level, middle, end)
        return ClockFit(
            reference_device_ns=self._origin[0] + middle,
            host_minus_device_ns=self._origin[1] + round(level - bias),
            skew_ppm=slope * 1e6,
            sigma_ns=sigma,
            samples=self._samples,
        )

    def _excess(self, level: float, middle: int, end: int) -> tuple[float, float]:
        """By how much the line lies too high in the middle, and the standard deviation of what is left at the end, both in ns."""
        if self._samples < _ENOUGH:
            heights = [y for hull in self._hulls for _, y in hull]
            spread = max(heights) - level
            return 0.0, max(spread, 1e6)
        hands = [_floor(hull, middle) for hull in self._hulls]
        quarters = [_floor(_hull_of(self._hulls[i::_QUARTER]), middle)[0] for i in range(_QUARTER)]
        sixteenth_rise = statistics.fmean(at_middle for at_middle, _ in hands) - level
        quarter_rise = statistics.fmean(quarters) - level
        scatter = _scatter(hands, end - middle)
        if quarter_rise <= 0:
            return 0.0, scatter
        # Rises above the full line are A n^(-1/k) (4^(1/k) - 1) and A n^(-1/k) (16^(1/k) - 1): their ratio less one is 4^(1/k).
        # Held between k = 4 and k = 1, beyond which no transport's jitter begins.
        shrink = min(max(sixteenth_rise / quarter_rise - 1, 4**0.25), 4.0)
        bias = quarter_rise / (shrink - 1)
        return bias, math.hypot(_SCATTER_WEIGHT * scatter / shrink**2, _BIAS_WEIGHT * bias)


def _append(hull: list[_Point], point: _Point) -> None:
    """Adds the newest point to a lower hull (Andrew's monotone chain): corners that no longer bulge downwards go."""
    while len(hull) >= 2:
        (x0, y0), (x1, y1) = hull[-2], hull[-1]
        if (x1 - x0) * (point[1] - y0) > (y1 - y0) * (point[0] - x0):
            break
        hull.pop()
    hull.append(point)


def _hull_of(hulls: list[list[_Point]]) -> list[_Point]:
    merged: list[_Point] = []
    for point in sorted(point for hull in hulls for point in hull):
        _append(merged, point)
    return merged


def _floor(hull: list[_Point], x: int) -> tuple[float, float]:
    """(height at x, slope) of the line under all points that is highest at x, its slope within the limit."""
    slope = 0.0
    for (x0, y0), (x1, y1) in pairwise(hull):
        slope = (y1 - y0) / (x1 - x0)
        if x1 >= x:
            break
    slope = min(max(slope, -_SKEW_LIMIT), _SKEW_LIMIT)
    return min(y - slope * (x0 - x) for x0, y in hull), slope


def _scatter(lines: list[tuple[float, float]], ahead_ns: int) -> float:
    return statistics.stdev(level + slope * ahead_ns for level, slope in lines)
