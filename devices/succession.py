"""Whether a packet continues its stream, judged by its own time: for lidars whose packets no turn number puts in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from devices.device import Rejections

# A step further than this, ahead or back, is believed when a second packet says the same: one broken time must not end a
# scan, nor a sensor's restart or a clock that was set end the stream.
_LEAP_NS = 1_000_000_000

T = TypeVar("T")


class Succession(Generic[T]):
    """Passes packets on whose times run forwards; counts duplicates, stragglers and broken times in ``rejections``."""

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections
        self._newest_ns: int | None = None
        self._doubtful: tuple[int, T] | None = None

    def admit(self, t_ns: int, item: T) -> Iterator[tuple[bool, T]]:
        """(whether time has leapt before this one, the item) of what may be used now: none, this one, or a held one and this."""
        step_ns = 0 if self._newest_ns is None else t_ns - self._newest_ns
        if self._newest_ns is None or 0 < step_ns <= _LEAP_NS:
            self.settle()
            self._newest_ns = t_ns
            yield False, item
        elif -_LEAP_NS <= step_ns <= 0:
            self._rejections.add("duplicate packet" if step_ns == 0 else "late packet")
        else:
            yield from self._leap(t_ns, item)

    def settle(self) -> None:
        """Give up what no second packet has confirmed."""
        if self._doubtful is not None:
            self._rejections.add("a time out of step")
            self._doubtful = None

    def _leap(self, t_ns: int, item: T) -> Iterator[tuple[bool, T]]:
        before = self._doubtful
        if before is None:
            self._doubtful = t_ns, item
        elif not 0 <= t_ns - before[0] <= _LEAP_NS:
            self.settle()
            self._doubtful = t_ns, item
        elif t_ns == before[0]:
            self._rejections.add("duplicate packet")
        else:
            self._doubtful = None
            self._newest_ns = t_ns
            yield True, before[1]
            yield False, item
