"""The rate that a stream mostly has, for those of which rig.toml expects none."""

from __future__ import annotations

import statistics
import time
from collections import deque

from capture.recorder_state import StreamState

_OVER = 60  # rates, one a second
_FEWEST = 5


class UsualRate:
    """The median of a minute, of those seconds in which something came."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=_OVER)
        self._next_s = 0.0

    def add(self, stream: StreamState) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s and stream.rate_hz > 0 and stream.connected:
            self._next_s = now_s + 1.0
            self._rates.append(stream.rate_hz)

    @property
    def hz(self) -> float | None:
        return statistics.median(self._rates) if len(self._rates) >= _FEWEST else None
