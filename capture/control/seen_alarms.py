"""Which alarms somebody has seen: one that was acknowledged anywhere is silent everywhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence


class SeenAlarms:
    """What was acknowledged, as long as it lasts: an alarm that goes and comes back is new. Asked from any thread."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._changing = threading.Lock()

    def unseen(self, alarms: Sequence[str]) -> tuple[str, ...]:
        """Of the alarms that there are now, those that nobody has acknowledged."""
        with self._changing:
            self._keys &= _keys(alarms)
            return tuple(alarm for alarm in alarms if alarm_key(alarm) not in self._keys)

    def acknowledge(self, alarms: Iterable[str]) -> None:
        with self._changing:
            self._keys |= _keys(alarms)


def alarm_key(alarm: str) -> str:
    """An alarm without its figures: "431 MB left" and "430 MB left" are one; those of camera_1 and camera_2 are two, as of two addresses."""
    return re.sub(r"(?<![\w.])\d+(\.\d+)?(?![.\d])", "#", alarm)


def _keys(alarms: Iterable[str]) -> set[str]:
    return set(map(alarm_key, alarms))
