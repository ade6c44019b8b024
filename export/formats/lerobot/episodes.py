"""The episodes that a dataset holds: those of its drives, and of one that is too long for LeRobot's times its parts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from capture.episodes import Episode
from capture.recorder_state import Outcome
from export.dataset import DatasetView
from export.drive import Drive

# LeRobot's times are float32, seconds from an episode's start: from 2048 s on they lie further from the rows than the loader allows.
LONGEST_NS = 1_800_000_000_000


class Planned(NamedTuple):
    """An episode, or a part of one. outcome: as the mark of its end says; None where nobody said. parts: of how many it is one."""

    drive: Drive
    episode: Episode
    outcome: Outcome | None
    parts: int


def planned_episodes(view: DatasetView) -> list[Planned]:
    return [
        Planned(drive, part, drive.outcome_of(episode), len(parts))
        for drive in view.drives
        for episode in drive.episodes
        for parts in [_parts(episode)]
        for part in parts
    ]


def _parts(episode: Episode) -> list[Episode]:
    """As many equal parts, one after the other, as it takes for none to be too long."""
    length_ns = episode.stop_ns - episode.start_ns
    count = max(1, -(-length_ns // LONGEST_NS))
    bounds_ns = [episode.start_ns + length_ns * k // count for k in range(count + 1)]
    return [replace(episode, start_ns=start_ns, stop_ns=stop_ns) for start_ns, stop_ns in pairwise(bounds_ns)]
