"""Stretches of time, and what is left of some beside others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
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
    return _joined(Stretch(max(each.from_ns, span.from_ns), min(each.to_ns, span.to_ns)) for each in stretches)


def without(stretches: Iterable[Stretch], others: Iterable[Stretch]) -> list[Stretch]:
    """What of the stretches, which stand in order and apart, lies in none of the others."""
    cuts, first, left = _joined(others), 0, list[Stretch]()
    for from_ns, to_ns in stretches:
        while first < len(cuts) and cuts[first].to_ns <= from_ns:
            first += 1
        at, left_ns = first, from_ns
        while at < len(cuts) and cuts[at].from_ns < to_ns:
            if cuts[at].from_ns > left_ns:
                left.append(Stretch(left_ns, cuts[at].from_ns))
            left_ns = cuts[at].to_ns
            at += 1
        if left_ns < to_ns:
            left.append(Stretch(left_ns, to_ns))
    return left


def in_all(lists: Sequence[Sequence[Stretch]]) -> list[Stretch]:
    """What lies in some stretch of every list, each in order and apart; nothing where there is no list."""
    return reduce(_in_both, map(list, lists)) if lists else []


def _in_both(one: Sequence[Stretch], other: Sequence[Stretch]) -> list[Stretch]:
    common, i, k = [], 0, 0
    while i < len(one) and k < len(other):
        part = Stretch(max(one[i].from_ns, other[k].from_ns), min(one[i].to_ns, other[k].to_ns))
        if part.ns > 0:
            common.append(part)
        if one[i].to_ns < other[k].to_ns:
            i += 1
        else:
            k += 1
    return common


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for part in sorted(stretches):
        if part.ns <= 0:
            continue
        if joined and part.from_ns <= joined[-1].to_ns:
            joined[-1] = Stretch(joined[-1].from_ns, max(joined[-1].to_ns, part.to_ns))
        else:
            joined.append(part)
    return joined
