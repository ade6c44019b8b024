"""Where one recording ends or another begins, as one stream sees it: what was lost before that instant, and not since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Border:
    """at_ns: host arrival. What arrived earlier may be read later only: all counts grow until all of it has been (``is_passed``).

    dropped: in the queue. lost: before it was read. rejected: reason -> packets that are not as the sensor sends them.
    """

    at_ns: int = 0
    dropped: int = 0
    lost: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    is_passed: bool = True
