"""A transport on which all arrivals are late, or so it seems."""

from __future__ import annotations

from dataclasses import dataclass

from capture.clock import steps as clock_steps
from capture.clock.fit import ClockFit
from capture.clock.line import lateness_after
from capture.clock.steps import Usual
from capture.clock.window import Window

_PULLED_NS = 3_000_000_000  # in which a rate shows


@dataclass(frozen=True, slots=True, eq=False)
class Congestion:
    """Since when all arrivals are late, and what was known before."""

    from_ns: int
    fit: ClockFit
    known: Usual

    def pulled(self, window: Window) -> int:
        """How many of the newest arrivals say that somebody pulls a clock, as NTP does by up to 500 ppm: a congestion they are not. Else 0."""
        newest_ns = window.newest_host_ns
        if newest_ns - self.from_ns < _PULLED_NS:
            return 0
        _, newest = window.parted(newest_ns - _PULLED_NS)
        lateness = lateness_after(self.fit, newest)
        is_pulled = clock_steps.is_another_rate(lateness, newest.host_ns, self.known, self.from_ns)
        return len(newest) if is_pulled else 0
