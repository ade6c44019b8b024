"""How far a move is, in bytes: for the bar, its rate and the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OffloadProgress:
    """Bytes of the recording's files: each counts once when it is sent and once when it is read back."""

    name: str
    doing: str
    done_bytes: int
    total_bytes: int


class Meter:
    """How far all is."""

    def __init__(self, total_bytes: int, progress: Callable[[OffloadProgress], None] | None) -> None:
        self.total_bytes = total_bytes
        self.done_bytes = 0
        self._progress = progress

    def counting(self, name: str, doing: str) -> Count:
        return Count(self, name, doing)

    def add(self, count: int, name: str, doing: str) -> None:
        self.done_bytes += count
        if self._progress is not None:
            self._progress(OffloadProgress(name, doing, self.done_bytes, self.total_bytes))

    def less(self, count: int) -> None:
        """What need not be done after all."""
        self.total_bytes -= count

    def more(self, count: int) -> None:
        """What is done once more."""
        self.total_bytes += count


class Count:
    """How far one file is."""

    def __init__(self, meter: Meter, name: str, doing: str) -> None:
        self._meter, self._name, self._doing, self._done = meter, name, doing, 0

    def up_to(self, position: int) -> None:
        self._meter.add(position - self._done, self._name, self._doing)
        self._done = position
