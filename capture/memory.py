"""The last seconds of all streams, held in memory until somebody says that they mattered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from capture.border import Border
from capture.inlet import Inlet
from capture.packet_queue import Queued
from capture.tally import Tally
from capture.writer_thread import Sink

_TEND_S = 0.5
_JUDGED_S = 3.0  # from how much on its contents tell the rate
_ENOUGH = 0.95  # of what was asked for: rates scatter


class _Held(NamedTuple):
    came_s: float  # on the monotonic clock: this machine's other one may be set meanwhile
    queued: Queued
    stamp_ns: int


class _Counts(NamedTuple):
    """What had gone amiss by an instant of the monotonic clock, by inlet."""

    at_s: float
    lost: list[int]
    rejected: list[Mapping[str, int]]


class Memory:
    """A sink of the writer thread. Holds what arrived in the last ``seconds``, but never more than ``bytes_max``."""

    def __init__(self, seconds: float, bytes_max: int, inlets: Sequence[Inlet], full_s: float = float("inf")) -> None:
        """full_s: how far it will reach back once it is full, as far as that is known."""
        self.asked_s = seconds
        self._expected_full_s = full_s
        self._inlets = inlets
        self._bytes_max = bytes_max
        self._held: deque[_Held] = deque()
        self.size_bytes = 0
        self._counts: deque[_Counts] = deque()

    def take(self, queued: Queued, stamp_ns: int) -> None:
        now_s = time.monotonic()
        self._held.append(_Held(now_s, queued, stamp_ns))
        self.size_bytes += queued.size_bytes
        while self._held and (self._held[0].came_s < now_s - self.asked_s or self.size_bytes > self._bytes_max):
            self.size_bytes -= self._held.popleft().queued.size_bytes

    def tend(self) -> float:
        """Notes what has gone amiss by now: how much of it lies before the memory's reach can be told later only so."""
        now_s = time.monotonic()
        if not self._counts or now_s - self._counts[-1].at_s > _TEND_S:
            lost, rejected = [each.lost for each in self._inlets], [each.rejected for each in self._inlets]
            self._counts.append(_Counts(now_s, lost, rejected))
        while len(self._counts) > 1 and self._counts[1].at_s < now_s - self.reach_s:
            self._counts.popleft()
        return _TEND_S

    def tallies(self) -> list[Tally]:
        """The account of what is held: it begins with the oldest packet of each stream, and ends at the inlets' border."""
        sequences: dict[int, list[int]] = {inlet.index: [] for inlet in self._inlets}
        for held in self._held:
            sequences[held.queued.inlet.index].append(held.queued.sequence)
        before = self._counts[0] if self._counts else None
        return [_tally(inlet, sequences[inlet.index], before) for inlet in self._inlets]

    def emptied(self) -> Memory:
        """Another one of the same bounds that holds nothing yet."""
        return Memory(self.asked_s, self._bytes_max, self._inlets, self.full_s)

    def take_back(self, older: Memory) -> bool:
        """What ``older`` held until this one took over was not written: it is held again. A chore of the writer thread that is done at once."""
        self._held.extendleft(reversed(older._held))
        self.size_bytes += older.size_bytes
        self._counts = older._counts
        return False

    def pop(self) -> tuple[Queued, int] | None:
        """The oldest packet and its stamp; None when nothing is held."""
        if not self._held:
            return None
        held = self._held.popleft()
        self.size_bytes -= held.queued.size_bytes
        return held.queued, held.stamp_ns

    def hand_over_oldest(self, sink: Sink) -> bool:
        """A chore of the writer thread. Returns whether there may be more."""
        oldest = self.pop()
        if oldest is not None:
            sink.take(*oldest)
        return oldest is not None

    @property
    def oldest_ns(self) -> int:
        """Host arrival of the oldest packet held; 0 when none is."""
        return self._held[0].queued.packet.stamps.host_ns if self._held else 0

    @property
    def reach_s(self) -> float:
        """How far back it reaches by now."""
        try:
            return time.monotonic() - self._held[0].came_s
        except IndexError:
            return 0.0

    @property
    def full_s(self) -> float:
        """How far back it reaches once it is full, at the rate of what it holds; until that tells, as the one that it was emptied from knew."""
        reach_s, share = self.reach_s, self.size_bytes / self._bytes_max
        is_told = share and (reach_s >= _JUDGED_S or share >= _ENOUGH)
        return reach_s / share if is_told else self._expected_full_s

    @property
    def alarm(self) -> str:
        """In one line, when it does not hold what it was asked for, or will not at the rate of what it holds."""
        if self.full_s >= _ENOUGH * self.asked_s:
            return ""
        return (
            f"the memory holds {self.full_s:.0f} s of the {self.asked_s:.0f} s asked for, at this rate, in its "
            f"{self._bytes_max / 1e9:.3g} GB; ask for less, or lower the cameras' rates"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its snapshot should know, one line each."""
        return (f"{self.asked_s:.0f} s were asked for, the memory held {self.reach_s:.1f} s",) if self.alarm else ()


def _tally(inlet: Inlet, held: Sequence[int], before: _Counts | None) -> Tally:
    """held: the sequence numbers of what is held; between them only what the queue dropped is missing."""
    missing = held[-1] + 1 - held[0] - len(held) if held else 0
    lost = inlet.border.lost if before is None else before.lost[inlet.index]
    rejected = inlet.border.rejected if before is None else before.rejected[inlet.index]
    since = Border(dropped=inlet.border.dropped - missing, lost=lost, rejected=rejected)
    return Tally(inlet, since, inlet.border)
