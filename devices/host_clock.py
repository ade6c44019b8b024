"""This machine's monotonic clock, by which kernels stamp, laid beside UTC."""

from __future__ import annotations

import time
from collections.abc import Callable

_MEASURE_EVERY_NS = 1_000_000_000
_TRIES = 5
_NEAR_NS = 60_000_000_000  # an older stamp is of no picture that comes now


class MonotonicClock:
    """Turns CLOCK_MONOTONIC into UTC by the offset between the two clocks.

    The offset is the tightest of five readings of UTC between two of the monotonic clock; half their distance bounds its error:
    below 1 us on an idle machine, and never more than ``uncertainty_ns`` says. NTP's slewing moves both clocks alike, so only a
    step of UTC (somebody set the clock, a leap second) changes the offset: it is measured anew every second.
    """

    def __init__(
        self, monotonic_ns: Callable[[], int] = time.monotonic_ns, utc_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._monotonic_ns, self._utc_ns = monotonic_ns, utc_ns
        self.uncertainty_ns = 0
        self._offset_ns = 0
        self._measured_ns = 0
        self._measure()

    def utc_from(self, stamp_ns: int) -> int | None:
        """A stamp near now, by whichever of the two clocks its driver goes (uvcvideo can be told either); None for one of neither."""
        now_ns = self._monotonic_ns()
        if now_ns - self._measured_ns > _MEASURE_EVERY_NS:
            self._measure()
        if abs(now_ns - stamp_ns) < _NEAR_NS:
            return stamp_ns + self._offset_ns
        return stamp_ns if abs(now_ns + self._offset_ns - stamp_ns) < _NEAR_NS else None

    def _measure(self) -> None:
        readings = []
        for _ in range(_TRIES):
            before, utc, after = self._monotonic_ns(), self._utc_ns(), self._monotonic_ns()
            readings.append((after - before, utc - (before + after) // 2))
        width, self._offset_ns = min(readings)
        self.uncertainty_ns = (width + 1) // 2
        self._measured_ns = self._monotonic_ns()
