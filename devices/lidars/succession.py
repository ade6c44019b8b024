"""Whether a packet continues its stream, judged by its own time: for lidars whose packets no turn number puts in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from devices.device import Rejections

OUTAGE_NS = 1_000_000_000  # further ahead than this is no step, but an outage, or a time that is broken
# Packets of a turning head come every 0.1 to 1.7 ms. Nothing for half a turn of the fastest, which makes 20 a second: it may have
# passed the cut unseen.
HALF_TURN_NS = 25_000_000
# The slowest turns in 200 ms; one that stands still is cut all the same, so that memory stays bounded.
LONGEST_TURN_NS = 300_000_000

T = TypeVar("T")


class Succession(Generic[T]):
    """Passes packets on whose times run forwards; counts duplicates, stragglers and broken times in ``rejections``.

    A packet whose time is behind, or far ahead, is held until the next one tells: if that continues it, time has leapt (the sensor started
    anew, its clock was set, an outage is over) and both are used; else it was a straggler, or its time is broken.
    """

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections
        self._newest_ns: int | None = None
        self._held: tuple[int, T] | None = None

    def admit(self, t_ns: int, item: T) -> Iterator[tuple[bool, T]]:
        """(whether time has leapt before this one, the item) of what may be used now: none, this one, or the held one and this."""
        step_ns = 1 if self._newest_ns is None else t_ns - self._newest_ns
        if 0 < step_ns <= OUTAGE_NS:
            self.settle()
            self._newest_ns = t_ns
            yield False, item
        elif step_ns == 0 or (self._held is not None and t_ns == self._held[0]):
            self._rejections.add("duplicate packet")
        elif self._held is not None and 0 < t_ns - self._held[0] <= OUTAGE_NS:
            held, self._held = self._held, None
            self._newest_ns = t_ns
            yield True, held[1]
            yield False, item
        else:
            self.settle()
            self._held = t_ns, item

    def settle(self) -> None:
        """Give up what the next packet has not confirmed."""
        if self._held is not None and self._newest_ns is not None:
            behind = -OUTAGE_NS <= self._held[0] - self._newest_ns < 0
            self._rejections.add("late packet" if behind else "a time out of step")
        self._held = None
