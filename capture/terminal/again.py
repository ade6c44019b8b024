"""What ends a take is pressed twice: a glove that touches a key ends nothing, nor does a key that is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HELD_S = (
    0.12  # terminals repeat a held key every 30 to 92 ms, half a second after its first press; nobody presses as fast
)
_ASKED_S = 3.0


@dataclass(slots=True)
class Again:
    """A key that has asked to be pressed again. act: what it then does. pressed_s: when it came last.

    A held key's first repeat looks like a second press until the next one follows; so a second press holds only after HELD_S.
    """

    key: str
    act: Callable[[], str]
    pressed_s: float
    _second_s: float | None = None

    def press(self, now_s: float) -> None:
        self._second_s = now_s if now_s - self.pressed_s >= HELD_S else None
        self.pressed_s = now_s

    def is_meant(self, now_s: float) -> bool:
        return self._second_s is not None and now_s - self._second_s >= HELD_S

    def is_over(self, now_s: float) -> bool:
        return self._second_s is None and now_s - self.pressed_s > _ASKED_S
