"""Episodes: the stretches of a drive that an operator marked as one try at one task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devices.samples import Mark

UNLABELLED = "unlabelled drive"


@dataclass(frozen=True, slots=True)
class Episode:
    """One try at one task. start_ns, stop_ns: UTC capture time, half-open. task: in words, as the operator marked it."""

    recording_id: str
    task: str
    start_ns: int
    stop_ns: int


def episodes_of(
    recording_id: str, marks: Iterable[Mark], start_ns: int, stop_ns: int, task: str
) -> tuple[list[Episode], list[str]]:
    """The episodes between ``episode_start`` and ``episode_stop`` marks, and what was odd about the marks.

    marks: in order of time. A drive without marks is one episode from start_ns to stop_ns of the given task, or of an
    ``unlabelled drive``. A start that has no stop ends where the next one starts, or with the drive.
    """
    episodes: list[Episode] = []
    oddities: list[str] = []
    started: Mark | None = None
    marked = False
    for mark in marks:
        if mark.kind not in ("episode_start", "episode_stop"):
            continue
        marked = True
        if started is not None:
            episodes.append(Episode(recording_id, started.text or task or UNLABELLED, started.t_ns, mark.t_ns))
            if mark.kind == "episode_start":
                oddities.append(
                    f"{recording_id}: the episode '{started.text}' has no stop; it was ended by the next start"
                )
        elif mark.kind == "episode_stop":
            oddities.append(f"{recording_id}: a stop at {mark.t_ns} ns has no start; it was passed over")
        started = mark if mark.kind == "episode_start" else None
    if started is not None:
        episodes.append(Episode(recording_id, started.text or task or UNLABELLED, started.t_ns, stop_ns))
        oddities.append(f"{recording_id}: the episode '{started.text}' has no stop; it was ended with the recording")
    if not marked:
        episodes.append(Episode(recording_id, task or UNLABELLED, start_ns, stop_ns))
    return episodes, oddities
