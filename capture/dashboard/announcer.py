"""What the laptop itself plays: the sound of every action, and the alarm until somebody has acknowledged it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from capture.recorder_state import RecorderState
from capture.tunes import ALARM_EVERY_S

_TICK_S = 0.25


class Plays(Protocol):
    def play(self, name: str) -> None: ...


class Announcer:
    """Plays the newest event's tune once, and the alarm every two seconds while unseen_alarms() names any."""

    def __init__(self, speaker: Plays, unseen_alarms: Callable[[], Sequence[str]]) -> None:
        self._speaker = speaker
        self._unseen_alarms = unseen_alarms
        self._played: int | None = None
        self._stop = threading.Event()
        threading.Thread(target=self._watch_alarms, name="fieldrig-alarm", daemon=True).start()

    def heard(self, state: RecorderState) -> None:
        """A state has come. What happened before the first one is old; a recorder that counts anew was started anew."""
        newest, self._played = self._played, state.sound.count
        if newest is not None and state.sound.count > newest:
            self._speaker.play(state.sound.name)

    def close(self) -> None:
        self._stop.set()

    def _watch_alarms(self) -> None:
        next_s = 0.0
        while not self._stop.wait(_TICK_S):
            if self._unseen_alarms() and time.monotonic() >= next_s:
                self._speaker.play("alarm")
                next_s = time.monotonic() + ALARM_EVERY_S
