"""Rows at a constant rate out of sensors that each keep their own time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capture.recording import Recorded

_SECOND_NS = 1_000_000_000
# How long a row waits for a stream that has fallen silent.
PATIENCE_NS = 1_000_000_000
# No row needs what is older than this and further back than this many samples: a fast stream is held for long enough, a slow one too.
_HELD_NS, _HELD = 2 * PATIENCE_NS, 128


@dataclass(frozen=True, slots=True, eq=False)
class GridRow:
    """One instant of the grid and each stream's sample nearest to it; a stream that has none at all is absent."""

    t_ns: int
    samples: Mapping[str, Recorded]


def time_on_grid(first_ns: int, index: int, rate_hz: int) -> int:
    """The instant of a row, rounded to whole ns from the row's integer index: the error never adds up."""
    return first_ns + (2 * index * _SECOND_NS + rate_hz) // (2 * rate_hz)


def on_grid(
    samples: Iterable[Recorded], reference: str, streams: Collection[str], rate_hz: int, start_ns: int, stop_ns: int
) -> Iterator[GridRow]:
    """Rows at rate_hz from the reference stream's first sample in [start_ns, stop_ns) to its last, oldest first.

    samples: on one clock, in the order of arrival, from a little before start_ns to a little after stop_ns. Memory is
    bounded: a row waits at most PATIENCE_NS for a stream.
    """
    rows = _Rows(reference, rate_hz, {name: deque() for name in streams})
    for recorded in samples:
        if recorded.span.stream in rows.held:
            rows.add(recorded, start_ns <= recorded.sample.t_ns < stop_ns)
            yield from rows.complete()
    yield from rows.rest()


@dataclass(slots=True)
class _Rows:
    """The samples that a row to come may need, and how far the reference stream has come."""

    reference: str
    rate_hz: int
    held: dict[str, deque[Recorded]]
    first_ns: int | None = None
    last_ns: int = 0
    newest_ns: int = 0
    index: int = 0

    def add(self, recorded: Recorded, inside: bool) -> None:
        stream, t_ns = recorded.span.stream, recorded.sample.t_ns
        if self.held[stream] and t_ns < self.held[stream][-1].sample.t_ns:
            return  # overtaken on its way, as UDP may have it: one of its neighbours stands in
        self.held[stream].append(recorded)
        self.newest_ns = max(self.newest_ns, t_ns)
        if stream == self.reference and inside:
            self.first_ns = t_ns if self.first_ns is None else self.first_ns
            self.last_ns = max(self.last_ns, t_ns)
        self._let_go(self.held[stream])

    def _let_go(self, held: deque[Recorded]) -> None:
        while len(held) > _HELD and held[0].sample.t_ns < self.newest_ns - _HELD_NS:
            held.popleft()

    def complete(self) -> Iterator[GridRow]:
        """The rows that no later sample could change."""
        while (t_ns := self._next_ns()) is not None and self._settled(t_ns):
            yield self._row(t_ns)

    def rest(self) -> Iterator[GridRow]:
        while (t_ns := self._next_ns()) is not None:
            yield self._row(t_ns)

    def _next_ns(self) -> int | None:
        """The next row's instant, where the reference stream has come that far."""
        if self.first_ns is None:
            return None
        t_ns = time_on_grid(self.first_ns, self.index, self.rate_hz)
        return t_ns if t_ns < self.last_ns + _SECOND_NS // (2 * self.rate_hz) else None

    def _settled(self, t_ns: int) -> bool:
        if self.newest_ns > t_ns + PATIENCE_NS:
            return True
        return all(held and held[-1].sample.t_ns >= t_ns for held in self.held.values())

    def _row(self, t_ns: int) -> GridRow:
        self.index += 1
        return GridRow(t_ns, {name: _nearest(held, t_ns) for name, held in self.held.items() if held})


def _nearest(held: deque[Recorded], t_ns: int) -> Recorded:
    """The sample nearest to t_ns; those before it are let go. Of two equally near ones, the later."""
    while len(held) > 1 and abs(held[1].sample.t_ns - t_ns) <= abs(held[0].sample.t_ns - t_ns):
        held.popleft()
    return held[0]
