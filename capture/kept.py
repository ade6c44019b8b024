"""How much of a recording its files hold: without its pauses, and without what was given up for newer files."""

from __future__ import annotations

from itertools import pairwise

from capture.bag.rosbag import topic_of
from capture.recording_info import RecordingInfo


def kept_ns(info: RecordingInfo) -> int:
    """The time over which its counts are spread."""
    return _recorded_ns(info, deleted=False)


def given_up_count(info: RecordingInfo, stream: str) -> int:
    """Messages of a stream in older files that were verified and deleted to make room."""
    return sum(segment.counts.get(topic_of(stream), 0) for segment in info.segments if segment.deleted)


def given_up_in_words(info: RecordingInfo) -> str:
    """Empty when nothing was."""
    files = sum(segment.deleted for segment in info.segments)
    if not files:
        return ""
    messages = sum(given_up_count(info, name) for name in info.streams)
    seconds = _recorded_ns(info, deleted=True) / 1e9
    return f"{files} {'files' if files > 1 else 'file'} ({seconds:.1f} s, {messages} messages) given up by --keep"


def unpaused_ns(info: RecordingInfo, from_ns: int, to_ns: int) -> int:
    """How much of [from_ns, to_ns) lies in no pause."""
    paused = (
        min(to_ns, to_ns if pause.to_ns is None else pause.to_ns) - max(from_ns, pause.from_ns) for pause in info.pauses
    )
    return to_ns - from_ns - sum(max(0, each_ns) for each_ns in paused)


def cut_episodes_in_words(info: RecordingInfo) -> list[str]:
    """A line for each episode that a pause cut into."""
    lines = []
    for episode in info.episodes:
        stop_ns = episode.stop_ns or info.ended_ns or episode.start_ns
        recorded_ns = unpaused_ns(info, episode.start_ns, stop_ns)
        if episode.outcome != "discard" and recorded_ns < stop_ns - episode.start_ns:
            of_which = f"{recorded_ns / 1e9:.1f} of its {(stop_ns - episode.start_ns) / 1e9:.1f} s were recorded"
            lines.append(f"the episode '{episode.task}' was cut by a pause: {of_which}")
    return lines


def _recorded_ns(info: RecordingInfo, *, deleted: bool) -> int:
    """A file reaches to where the next one begins: its own end is that of its health messages, which may be another."""
    ended_ns = info.started_ns if info.ended_ns is None else info.ended_ns
    borders_ns = [info.started_ns]
    for segment in info.segments[1:]:
        borders_ns.append(min(max(borders_ns[-1], segment.start_ns), ended_ns))
    is_deleted = [segment.deleted for segment in info.segments] or [False]
    stretches = zip(pairwise([*borders_ns, ended_ns]), is_deleted, strict=True)
    return sum(unpaused_ns(info, *stretch) for stretch, is_gone in stretches if is_gone == deleted)
