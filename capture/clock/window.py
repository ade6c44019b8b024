"""The arrivals of the last minute, or more of a slow sensor, slot by slot, in whole nanoseconds: a float64 of nanoseconds since 1970 is coarse to 256 ns."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NanosecondArray = NDArray[np.int64]

# A crystal's rate may be taken as constant over it: at 1 ppm a minute it bends the line by 8 us.
KEPT_NS = 64_000_000_000
_FEWEST_POINTS, _MOST_POINTS = 48, 100_000
_LIMIT_NS = 1 << 62  # beyond which a stamp is no time; differences of two within it fit an int64


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """(N,) device stamps and host arrivals, in the order of arrival."""

    device_ns: NanosecondArray
    host_ns: NanosecondArray

    def __len__(self) -> int:
        return len(self.device_ns)

    @property
    def offset_ns(self) -> NanosecondArray:
        return self.host_ns - self.device_ns

    def only(self, which: slice | NDArray[np.bool_]) -> Arrivals:
        return Arrivals(self.device_ns[which], self.host_ns[which])

    def parted_by_silence(self, longest_ns: int) -> list[Arrivals]:
        """Parts between which nothing arrived for longer; none when there is nothing."""
        borders = np.flatnonzero(np.diff(self.host_ns) > longest_ns) + 1
        edges = [0, *borders.tolist(), len(self)]
        return [self.only(slice(start, end)) for start, end in pairwise(edges) if end > start]

    def in_order(self) -> Arrivals:
        order = np.argsort(self.host_ns, kind="stable")
        return Arrivals(self.device_ns[order], self.host_ns[order])


def arrivals(device_ns: Sequence[int], host_ns: Sequence[int]) -> Arrivals:
    """Without the stamps that are no times (broken packets may bear any number)."""
    try:
        device, host = np.array(device_ns, dtype=np.int64), np.array(host_ns, dtype=np.int64)
    except OverflowError:
        sound = [abs(device) < _LIMIT_NS for device in device_ns]
        device = np.array([each for each, is_sound in zip(device_ns, sound, strict=True) if is_sound], dtype=np.int64)
        host = np.array([each for each, is_sound in zip(host_ns, sound, strict=True) if is_sound], dtype=np.int64)
    # Not by abs(): that of the least int64 is itself.
    sound_mask = (device > -_LIMIT_NS) & (device < _LIMIT_NS)
    return Arrivals(device[sound_mask], host[sound_mask])


def joined(parts: Sequence[Arrivals]) -> Arrivals:
    none = np.empty(0, dtype=np.int64)
    return Arrivals(
        np.concatenate([none, *(part.device_ns for part in parts)]),
        np.concatenate([none, *(part.host_ns for part in parts)]),
    )


class Window:
    """Slots of arrivals, the oldest let go when it is a minute old and there are enough others, or when there are too many."""

    def __init__(self) -> None:
        self._slots: deque[Arrivals] = deque()
        self.points = 0

    def add(self, slot: Arrivals) -> None:
        if not len(slot):
            return
        self._slots.append(slot)
        self.points += len(slot)
        oldest_ns = int(slot.host_ns[-1]) - KEPT_NS
        while len(self._slots) > 1 and (self._is_spare(oldest_ns) or self.points > _MOST_POINTS):
            self.points -= len(self._slots.popleft())

    def _is_spare(self, oldest_ns: int) -> bool:
        oldest = self._slots[0]
        return bool(oldest.host_ns[-1] < oldest_ns) and self.points - len(oldest) >= _FEWEST_POINTS

    @property
    def newest_host_ns(self) -> int:
        return int(self._slots[-1].host_ns[-1])

    def all(self) -> Arrivals:
        return joined(list(self._slots))

    def parted(self, host_ns: int) -> tuple[Arrivals, Arrivals]:
        """(what arrived in slots that ended before, what arrived in the others)."""
        old = [slot for slot in self._slots if slot.host_ns[-1] < host_ns]
        return joined(old), joined(list(self._slots)[len(old) :])

    def cut(self, count: int) -> Arrivals:
        """Takes the newest arrivals, so many, out again."""
        everything = self.all()
        kept = everything.only(slice(0, len(everything) - count))
        self._slots = deque([kept] if len(kept) else [])
        self.points = len(kept)
        return everything.only(slice(len(kept), None))
