"""Follows the clocks of all streams, in a thread of its own: finding a line anew takes milliseconds that the writer does not have."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy.ma  # noqa: F401 -- the first median asks for it: not then, while packets come

from capture.clock.filter import ClockFilter

_TURN_S = 0.05


class ClockFollower:
    """``clocks`` are brought up to date by a thread of its own, or by catch_up(); put() is the writer thread's and never waits.

    ``failure`` says in one line that a defect has spoilt a clock since somebody emptied it.
    """

    def __init__(self, streams: int) -> None:
        self.clocks = [ClockFilter() for _ in range(streams)]
        self.failure = ""
        self._arrivals: deque[tuple[int, int | None, int]] = deque()
        self._deaf_until_s = 0.0
        self._working = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-clocks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.catch_up()

    def put(self, stream: int, device_ns: int | None, host_ns: int) -> None:
        """One arrival on the stream of this index; device_ns None: it bears no stamp, and tells nothing."""
        self._arrivals.append((stream, device_ns, host_ns))

    def begin_anew(self, deaf_s: float) -> None:
        """Host time has another anchor: the clocks are found as if the sensors had just been opened, from what comes in so many seconds."""
        with self._working:
            self._deaf_until_s = time.monotonic() + deaf_s
            self.clocks[:] = [ClockFilter() for _ in self.clocks]

    def catch_up(self) -> None:
        """Returns once all that was put so far is in the clocks."""
        with self._working:
            if time.monotonic() < self._deaf_until_s:
                self._arrivals.clear()
            for _ in range(len(self._arrivals)):
                stream, device_ns, host_ns = self._arrivals.popleft()
                try:
                    self._take(stream, device_ns, host_ns)
                except (
                    Exception
                ) as error:  # a defect costs this stream's clock, and neither packets nor the other clocks
                    self.failure = f"a clock cannot be followed: {type(error).__name__}: {error}; report this"
                    self.clocks[stream].find_anew()

    def _take(self, stream: int, device_ns: int | None, host_ns: int) -> None:
        if device_ns is not None:
            self.clocks[stream].add(device_ns, host_ns)

    def _run(self) -> None:
        while not self._stop.wait(_TURN_S):
            self.catch_up()
