"""The pace at which a log's instants follow one another, kept when it is played."""

from __future__ import annotations

import threading
import time

from devices.host_clock import HOST_CLOCK


class Pace:
    """The first instant that is asked for has its turn at once, the others as far behind it as they are in the log. stop: ends a wait."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start: tuple[int, int] | None = None  # instant in the log, monotonic ns

    def wait_for(self, t_ns: int, timeout_s: float) -> int | None:
        """Now, in host time, once it is t_ns's turn; None when that takes longer than timeout_s."""
        if self._start is None:
            self._start = t_ns, time.monotonic_ns()
        wait_ns = self._start[1] + t_ns - self._start[0] - time.monotonic_ns()
        if wait_ns > 0 and self._stop.wait(min(wait_ns * 1e-9, timeout_s)):
            return None
        return HOST_CLOCK.now_ns() if wait_ns <= timeout_s * 1e9 else None
