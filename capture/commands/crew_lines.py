"""What a crew said of a recording, as `fieldrig info` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capture.recording_info import RecordingInfo

_SHOWN = 10  # of many marks, pauses or tasks


def crew_lines(info: RecordingInfo) -> list[str]:
    """A line for each thing that was said; notes are not among them. Times are seconds since the recording began."""
    said = {
        "site": info.site,
        "task": info.task,
        "operator": info.operator,
        "order": info.order,
        "consents": ", ".join(info.consent_ids),
        "episodes": _episodes(info),
        "marks": _marks(info),
        "pauses": _pauses(info),
    }
    return [f"{key}: {words}" for key, words in said.items() if words]


def _episodes(info: RecordingInfo) -> str:
    """Such as "3 (2 success, 1 failure): fold 2, wipe 1"."""
    if not info.episodes:
        return ""
    outcomes = Counter(str(each.outcome or "never ended") for each in info.episodes)
    tasks = Counter(each.task or info.task for each in info.episodes)
    of_tasks = [f"{task} {count}" for task, count in tasks.items() if task]
    ended = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    return f"{len(info.episodes)} ({ended})" + (f": {_first(of_tasks)}" if of_tasks else "")


def _marks(info: RecordingInfo) -> str:
    """Such as "2: 1.5 s pothole, 7.0 s mark (door closed)"."""
    from capture.recording_info import NOTE

    marks = [mark for mark in info.marks if mark.kind != NOTE]
    at = [f"{_at_s(info, mark.t_ns)} {mark.kind}{f' ({mark.text})' if mark.text else ''}" for mark in marks]
    return f"{len(at)}: {_first(at)}" if at else ""


def _pauses(info: RecordingInfo) -> str:
    """Such as "1, 30.0 s in all: 65.0 s to 95.0 s"."""
    ended_ns = info.ended_ns or info.started_ns
    spans = [(pause.from_ns, ended_ns if pause.to_ns is None else pause.to_ns) for pause in info.pauses]
    if not spans:
        return ""
    paused_s = sum(to_ns - from_ns for from_ns, to_ns in spans) / 1e9
    at = [f"{_at_s(info, from_ns)} to {_at_s(info, to_ns)}" for from_ns, to_ns in spans]
    return f"{len(spans)}, {paused_s:.1f} s in all: {_first(at)}"


def _at_s(info: RecordingInfo, t_ns: int) -> str:
    return f"{(t_ns - info.started_ns) / 1e9:.1f} s"


def _first(words: Sequence[str]) -> str:
    more: Iterable[str] = [f"and {len(words) - _SHOWN} more"] if len(words) > _SHOWN else []
    return ", ".join((*words[:_SHOWN], *more))
