"""Packets that are missing from a run that a sensor numbers, or whose times tell their places in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

UNNUMBERED = "its packets bear no number: how many are lost before they reach this machine stays unknown"

P = TypeVar("P")

_WINDOW = 64  # places ahead or behind that a packet may stand without a second one's word for it
_ALL = (1 << _WINDOW) - 1
_PATIENCE = 3  # what is missing counts, for good, when so many have come after it: a network may swap two


def took_as_long(sensor_ns: int, host_ns: int) -> bool:
    """Whether what passed by a sensor's clock can have passed by the arrival of its packets; if not, its clock or its numbers have leapt."""
    return host_ns * 3 > sensor_ns * 2


class PacketGaps(Generic[P]):
    """Counts what the sensor sent and nobody received. A second copy, or a packet that two others overtook, changes nothing.

    step: (place of one packet, place of another) -> how many packets later that is: 1 the next, 0 the same, negative before it; None
    where one run cannot hold both: the sensor started anew, its clock was set, or a number is broken. What leaps far is believed when
    the next packet continues it.
    """

    def __init__(self, step: Callable[[P, P], int | None]) -> None:
        self._step = step
        self._newest: P | None = None
        self._held: P | None = None  # stands far off; no other has confirmed it
        self._come = _ALL  # bit n: whether the packet n places before the newest has come
        self._passed = 0  # missing, and further back than the bits

    @property
    def missing(self) -> int:
        return self._passed + _WINDOW - _PATIENCE - (self._come >> _PATIENCE).bit_count()

    def take(self, place: P) -> int | None:
        """Of every packet that comes. Returns its step from the newest before; None where it is the first, or not believed yet."""
        if self._newest is None:
            self._newest = place
            return None
        step = self._step(self._newest, place)
        if step is None or not -_WINDOW < step < _WINDOW:
            return self._leap(self._newest, place)
        self._held = None
        if step > 0:
            self._go(step, place)
        elif -step < _PATIENCE:
            self._come |= 1 << -step
        return step

    def _go(self, step: int, place: P) -> None:
        self._newest = place
        if step == 1 and self._come == _ALL:
            return
        if step < _WINDOW:
            self._passed += step - (self._come >> (_WINDOW - step)).bit_count()
            self._come = (self._come << step | 1) & _ALL
        else:
            self._passed += step - self._come.bit_count()
            self._come = 1

    def _leap(self, newest: P, place: P) -> int | None:
        held, self._held = self._held, place
        if held is None:
            return None
        on, over = self._step(held, place), self._step(newest, held)
        if on is None or not 0 <= on < _WINDOW:
            return None
        if on == 0:
            self._held = held
            return None
        self._held = None
        if over is not None and over > 0:
            self._go(over, held)
        else:
            self._begin_anew()
        self._go(on, place)
        return on

    def _begin_anew(self) -> None:
        self._passed += _WINDOW - self._come.bit_count()
        self._come = _ALL
