"""Episodes: the stretches of a recording that a crew or a robot marked as one try at one task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capture.recorder_state import OUTCOMES, Outcome
from devices.samples import Mark

if TYPE_CHECKING:
    from pathlib import Path

    from capture.recording import Recording
    from capture.recording_info import EpisodeInfo, RecordingInfo

UNLABELLED = "unlabelled drive"


@dataclass(frozen=True, slots=True)
class Episode:
    """One try at one task. start_ns, stop_ns: UTC capture time, half-open. task: in words, as the operator marked it.

    outcome: as the mark of its end says; success where it says nothing. What is to be discarded is part of no dataset.
    """

    recording_id: str
    task: str
    start_ns: int
    stop_ns: int
    outcome: Outcome = "success"


def marked_episodes(
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
            words = started.text or task or UNLABELLED
            episodes.append(Episode(recording_id, words, started.t_ns, mark.t_ns, _outcome(mark)))
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


def episodes_of(recording: Recording) -> list[Episode]:
    """The episodes of a recording by its mark streams, or all of it as one. Times are host arrival: good to count by, not to cut by."""
    streams = [name for name in recording.streams_of(Mark) if recording.counts.get(name)]
    every = recording.samples(streams) if streams else ()
    stamped = ((each.span.last_host_ns, each.sample) for each in every)
    marks = [replace(mark, t_ns=host_ns) for host_ns, mark in stamped if isinstance(mark, Mark)]
    marks.sort(key=lambda mark: mark.t_ns)
    return marked_episodes(recording.id, marks, recording.start_ns, recording.end_ns, recording.info.task)[0]


def counted_episodes(folder: Path, info: RecordingInfo) -> tuple[EpisodeInfo, ...]:
    """Those that orders count: those that its recorder took down, else those that lie in its mark streams.

    Raises CaptureError, and DeviceError where a sensor's driver is not installed.
    """
    from capture.recording import open_recording
    from capture.recording_info import EpisodeInfo

    if info.episodes:
        return info.episodes
    if info.verdict is None or info.verdict == "bad":
        whole = EpisodeInfo(task=info.task, start_ns=info.started_ns, stop_ns=info.ended_ns, outcome="success")
        return (whole,) if info.task else ()
    return tuple(
        EpisodeInfo(task=each.task, start_ns=each.start_ns, stop_ns=each.stop_ns, outcome=each.outcome)
        for each in episodes_of(open_recording(folder))
    )


def _outcome(stop: Mark) -> Outcome:
    said = stop.data.get("outcome") if stop.kind == "episode_stop" else None
    return next((outcome for outcome in OUTCOMES if outcome == said), "success")
