"""When the board stood still before a camera, and where its corners were then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibration.targets import CharucoTarget, Detection

# The median corner's movement between two pictures below which the board is still; a detection's own noise is about 0.1
# px.
_STILL_PX = 0.3
_FEWEST_PICTURES = 3
_MOST_PICTURES = 12  # more of one still add nothing: a board on a stand for minutes is one view


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """The board at rest. start_ns, end_ns: its first and last picture's time. corners: averaged over the pictures."""

    start_ns: int
    end_ns: int
    corners: Detection
    pictures: int


@dataclass(slots=True, eq=False)
class _Candidate:
    start_ns: int
    end_ns: int
    first: Detection
    last: Detection
    pictures: list[tuple[NDArray[np.uint8], Detection]] = field(default_factory=list)


def find_stills(pictures: Iterable[tuple[int, NDArray[np.uint8]]], target: CharucoTarget) -> list[Still]:
    """Stills among pictures given as (t_ns, (H, W) grey), oldest first. Holds a dozen pictures at a time."""
    found: list[Still] = []
    candidate: _Candidate | None = None
    rest = False
    for t_ns, grey in pictures:
        if candidate is None and rest:
            rest = False  # where no board is, every other picture is searched: that costs the most
            continue
        seen = target.detect(grey, None if candidate is None else candidate.last)
        rest = seen is None
        if candidate is not None and (seen is None or not _continues(candidate, seen)):
            found += _close(candidate, target)
            candidate = None
        if seen is None:
            continue
        if candidate is None:
            candidate = _Candidate(t_ns, t_ns, seen, seen)
        candidate.end_ns, candidate.last = t_ns, seen
        if len(candidate.pictures) < _MOST_PICTURES:
            candidate.pictures.append((grey, seen))
    return found + (_close(candidate, target) if candidate is not None else [])


def _continues(candidate: _Candidate, seen: Detection) -> bool:
    return seen.shift_px(candidate.last) < _STILL_PX and seen.shift_px(candidate.first) < 2 * _STILL_PX


def _close(candidate: _Candidate, target: CharucoTarget) -> list[Still]:
    """The still that a run of pictures makes, with its corners refined; none when it is too short."""
    if len(candidate.pictures) < _FEWEST_PICTURES:
        return []
    refined = [target.refine(grey, seen) for grey, seen in candidate.pictures]
    whole = [corners for corners in refined if corners is not None]
    corners = _average(whole)
    return [Still(candidate.start_ns, candidate.end_ns, corners, len(whole))] if corners is not None else []


def _average(detections: list[Detection]) -> Detection | None:
    """The mean of each corner that at least half of the pictures show; None when those are fewer than six."""
    if not detections:
        return None
    ids = np.concatenate([detection.ids for detection in detections])
    pixels = np.concatenate([detection.pixels for detection in detections])
    known, which, counts = np.unique(ids, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(which, weights=pixels[:, axis]) for axis in (0, 1)], axis=1)
    often = counts * 2 >= len(detections)
    return Detection(known[often], sums[often] / counts[often, None]) if often.sum() >= 6 else None
