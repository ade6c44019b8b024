"""Whether somebody set this machine's own clock while it was looked at: all sensors' offsets change with it."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_NS = 500_000_000
_STEP_NS = 2_000_000  # what two readings, one after the other on a busy machine, may differ by


def _since_boot_ns() -> int:
    """A clock that nobody sets and that, where the system has such, goes on while the machine sleeps."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boottime is None else time.clock_gettime_ns(boottime)


class HostClock:
    """Compares the clock that stamps arrivals with one that cannot be set (NTP slews both alike)."""

    def __init__(
        self, now_ns: Callable[[], int] = time.time_ns, since_boot_ns: Callable[[], int] = _since_boot_ns
    ) -> None:
        self._now_ns = now_ns
        self._since_boot_ns = since_boot_ns
        self._distance_ns = self._distance()
        self._looked_ns = now_ns()

    def was_set(self, host_ns: int) -> bool:
        """Whether it has been set since the last look. host_ns: an arrival; one half a second away from the last look asks for another."""
        if abs(host_ns - self._looked_ns) < _LOOK_NS:
            return False
        self._looked_ns = host_ns
        distance_ns = self._distance()
        step_ns, self._distance_ns = distance_ns - self._distance_ns, distance_ns
        return abs(step_ns) > _STEP_NS

    def _distance(self) -> int:
        """The least of three: a reading may be interrupted between the two clocks."""
        pairs = ((self._since_boot_ns(), self._now_ns(), self._since_boot_ns()) for _ in range(3))
        tightest = min(pairs, key=lambda read: read[2] - read[0])
        return tightest[1] - (tightest[0] + tightest[2]) // 2
