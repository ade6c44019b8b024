"""Pictures that are missing, inferred from the time between those that came."""

from __future__ import annotations

import statistics
from collections import deque

_WINDOW = 15


class FrameGaps:
    """interval_ns: between two pictures, as the camera was told.

    A gap is measured by the median of the last intervals where that is longer: in the dark a camera slows down by itself, and that
    loses nothing. The first few intervals of a slower rate are counted all the same.
    """

    def __init__(self, interval_ns: int) -> None:
        self.missing = 0
        self._interval_ns = interval_ns
        self._intervals_ns: deque[int] = deque(maxlen=_WINDOW)
        self._last_ns: int | None = None

    def take(self, t_ns: int) -> None:
        """The next picture's stamp. One that does not advance begins anew (a clock that was set)."""
        last_ns, self._last_ns = self._last_ns, t_ns
        if last_ns is None or t_ns <= last_ns:
            return
        usual_ns = self._interval_ns
        if len(self._intervals_ns) == _WINDOW:
            usual_ns = max(usual_ns, round(statistics.median(self._intervals_ns)))
        self._intervals_ns.append(t_ns - last_ns)
        self.missing += max(0, round((t_ns - last_ns) / usual_ns) - 1)
