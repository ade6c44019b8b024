"""The last seconds of all streams, held in memory until somebody says that they mattered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from capture.inlet import Inlet
from capture.packet_queue import Queued
from capture.tally import Tally

_TEND_S = 0.5


class Memory:
    """A sink of the writer thread. Holds what arrived in the last ``seconds``, but never more than ``bytes_max``."""

    def __init__(self, seconds: float, bytes_max: int, inlets: Sequence[Inlet]) -> None:
        self._inlets = inlets
        self._reach_ns = round(seconds * 1e9)
        self._bytes_max = bytes_max
        self._held: deque[tuple[Queued, int]] = deque()
        self._size_bytes = 0
        self._newest_ns = 0
        self._losses: deque[tuple[int, list[int]]] = deque()

    def take(self, queued: Queued, stamp_ns: int) -> None:
        self._held.append((queued, stamp_ns))
        self._size_bytes += queued.size_bytes
        self._newest_ns = max(self._newest_ns, queued.packet.stamps.host_ns)
        oldest_ns = self._newest_ns - self._reach_ns
        while self._held and (self._held[0][0].packet.stamps.host_ns < oldest_ns or self._size_bytes > self._bytes_max):
            self._size_bytes -= self._held.popleft()[0].size_bytes

    def tend(self) -> float:
        """Notes the losses by now: which of them lie before the memory's reach can be told later only so."""
        now_ns = time.time_ns()
        if not self._losses or now_ns - self._losses[-1][0] > _TEND_S * 1e9:
            self._losses.append((now_ns, [inlet.lost for inlet in self._inlets]))
        while len(self._losses) > 1 and self._losses[1][0] < self._newest_ns - self._reach_ns:
            self._losses.popleft()
        return _TEND_S

    def tallies(self) -> list[Tally]:
        """The account of what is held: it begins with the oldest packet of each stream, and is closed."""
        sequences: dict[int, list[int]] = {inlet.index: [] for inlet in self._inlets}
        for queued, _ in self._held:
            sequences[queued.inlet.index].append(queued.sequence)
        lost_before = self._losses[0][1] if self._losses else [inlet.lost for inlet in self._inlets]
        made = []
        for inlet in self._inlets:
            held = sequences[inlet.index]
            first, after = (held[0], held[-1] + 1) if held else (inlet.received, inlet.received)
            dropped = after - first - len(held)
            tally = Tally(inlet, first, inlet.dropped - dropped, lost_before[inlet.index])
            tally.end()
            made.append(tally)
        return made

    def emptied(self) -> Memory:
        """Another one of the same bounds that holds nothing yet."""
        return Memory(self._reach_ns / 1e9, self._bytes_max, self._inlets)

    def pop(self) -> tuple[Queued, int] | None:
        """The oldest packet and its stamp; None when nothing is held."""
        if not self._held:
            return None
        queued, stamp_ns = self._held.popleft()
        self._size_bytes -= queued.size_bytes
        return queued, stamp_ns

    @property
    def oldest_ns(self) -> int:
        """Host arrival of the oldest packet held; 0 when none is."""
        return self._held[0][0].packet.stamps.host_ns if self._held else 0

    @property
    def reach_s(self) -> float:
        """How far back it reaches by now."""
        try:
            return (self._newest_ns - self._held[0][0].packet.stamps.host_ns) / 1e9
        except IndexError:
            return 0.0
