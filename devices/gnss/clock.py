"""The instants that a receiver's sentences and frames speak of, while they arrive."""

from __future__ import annotations

from devices.device import ClockSource
from devices.gnss.epoch import Calendar, Part


class GnssClock:
    """Follows the date that the receiver says, so that times of day become instants; None before it has said one."""

    def __init__(self) -> None:
        self._calendar = Calendar()
        self._dated = False
        self._valid = False

    def instant_ns(self, part: Part | None, host_ns: int) -> int | None:
        """UTC since 1970 of what was said last, and arrived at host_ns."""
        if part is None:
            return None
        if part.valid is not None:
            self._valid = part.valid
        self._dated = self._dated or part.date_ns is not None
        return self._calendar.instant_ns(part, host_ns) if self._dated else None

    @property
    def source(self) -> ClockSource:
        """GNSS while the receiver has a fix: without one its time runs on a crystal."""
        return ClockSource.GNSS if self._valid else ClockSource.FREE
