"""A recording while its crew has paused it."""

from __future__ import annotations

from capture.packet_queue import Queued
from capture.session import Session
from devices.rig import RECORDER


class Paused:
    """A sink that stands in for a session: what sensors send is withheld, what the crew points out is not."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, queued: Queued, stamp_ns: int) -> None:
        if queued.inlet.stream.sensor == RECORDER:
            self._session.take(queued, stamp_ns)
        else:
            self._session.withhold(queued)

    def tend(self) -> float:
        return self._session.tend()
