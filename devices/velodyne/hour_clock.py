"""Time that a lidar tells as microseconds past the hour (Velodyne), made into nanoseconds that run on."""

from __future__ import annotations

HOUR_US = 3_600_000_000
_HOUR_NS = HOUR_US * 1000


class HourClock:
    """Microseconds past the hour -> ns that run on: the hour is the host's at first, and follows the host's pace from then on."""

    def __init__(self) -> None:
        self._device_minus_host_ns = 0

    def ns(self, us_past_hour: int, host_ns: int) -> int:
        t_ns = nearest_hour(us_past_hour * 1000, host_ns + self._device_minus_host_ns)
        self._device_minus_host_ns = t_ns - host_ns
        return t_ns


def nearest_hour(ns_past_hour: int, near_ns: int) -> int:
    """The instant so far past some full hour that is within 30 min of near_ns."""
    return near_ns + (ns_past_hour - near_ns + _HOUR_NS // 2) % _HOUR_NS - _HOUR_NS // 2
