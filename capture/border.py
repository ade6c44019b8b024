"""Where one recording ends or another begins, as one stream sees it: what was lost before that instant, and not since."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Border:
    """at_ns: host arrival. What arrived earlier may be read later only: both counts grow until all of it has been (``is_passed``).

    dropped: in the queue. lost: before it was read.
    """

    at_ns: int = 0
    dropped: int = 0
    lost: int = 0
    is_passed: bool = True
