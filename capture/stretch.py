"""Stretches of time, and what is left of some beside others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """[from_ns, to_ns)."""

    from_ns: int
    to_ns: int

    @property
    def ns(self) -> int:
        return self.to_ns - self.from_ns


def within(stretches: Iterable[Stretch], span: Stretch) -> list[Stretch]:
    """Their parts in the span, joined where they overlap or touch, in order."""
    parts = sorted(Stretch(max(each.from_ns, span.from_ns), min(each.to_ns, span.to_ns)) for each in stretches)
    joined: list[Stretch] = []
    for part in parts:
        if part.ns <= 0:
            continue
        if joined and part.from_ns <= joined[-1].to_ns:
            joined[-1] = Stretch(joined[-1].from_ns, max(joined[-1].to_ns, part.to_ns))
        else:
            joined.append(part)
    return joined


def without(stretches: Iterable[Stretch], others: Iterable[Stretch]) -> list[Stretch]:
    """What of the stretches lies in none of the others."""
    left = list(stretches)
    for other in others:
        left = [part for each in left for part in _beside(each, other)]
    return left


def in_all(lists: Sequence[Sequence[Stretch]]) -> list[Stretch]:
    """What lies in some stretch of every list; nothing where there is no list."""
    common = list(lists[0]) if lists else []
    for stretches in lists[1:]:
        common = [part for each in stretches for part in within(common, each)]
    return common


def _beside(each: Stretch, other: Stretch) -> list[Stretch]:
    before = Stretch(each.from_ns, min(each.to_ns, other.from_ns))
    after = Stretch(max(each.from_ns, other.to_ns), each.to_ns)
    return [part for part in (before, after) if part.ns > 0]
