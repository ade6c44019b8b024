"""What recording.json says of a recording that has ended: what is in it, what is missing, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capture.bag.rosbag import topic_of
from capture.clock.fit import ClockFit
from capture.inlet import WAITED_NS
from capture.kept import cut_episodes_in_words
from capture.recording_info import EpisodeInfo, Losses, RecordingInfo, SegmentInfo
from capture.tally import Tally
from capture.verdict import judge


def account(
    info: RecordingInfo,
    tallies: Sequence[Tally],
    fits: Mapping[str, tuple[ClockFit, ...]],
    ended_ns: int,
    doubts: Sequence[str],
) -> dict[str, Any]:
    """Fields of recording.json. info: as taken down so far, its files and interruptions included. doubts: what speaks against it beside
    losses and gaps.
    """
    losses = {tally.inlet.stream.name: _losses(tally, info.segments) for tally in tallies}
    started_ns = _first_ns(tallies, info.started_ns)
    try:
        verdict, reasons, notes = judge(info.rig, tallies, losses, fits, info.interruptions, started_ns, ended_ns)
    except Exception as error:  # a defect there must not cost the recording its end
        verdict, reasons, notes = "doubtful", [untold("what it is worth", error)], []
    doubts = [*doubts, *cut_episodes_in_words(info.model_copy(update={"ended_ns": ended_ns}))]
    if doubts:
        verdict, reasons = "bad" if verdict == "bad" else "doubtful", [*reasons, *doubts]
    return {
        "started_ns": started_ns,
        "ended_ns": ended_ns,
        "losses": losses,
        "clocks": {name: of_stream for name, of_stream in fits.items() if of_stream},
        "verdict": verdict,
        "reasons": tuple(reasons),
        "notes": (*info.notes, *notes, *_never_ended(info.episodes), *info.crew_notes),
    }


def untold(what: str, error: Exception) -> str:
    return f"{what} could not be told at the end: {type(error).__name__}: {error}"


def _losses(tally: Tally, segments: Sequence[SegmentInfo]) -> Losses:
    topic = topic_of(tally.inlet.stream.name)
    return tally.losses(sum(segment.counts.get(topic, 0) for segment in segments))


def _first_ns(tallies: Sequence[Tally], started_ns: int) -> int:
    """Of a recording that begins with its recorder, what had waited in the sockets is part."""
    firsts = [tally.first_ns for tally in tallies if tally.admitted]
    return min([started_ns, *(first for first in firsts if first > started_ns - WAITED_NS)])


def _never_ended(episodes: Sequence[EpisodeInfo]) -> list[str]:
    return [f"the episode '{episode.task}' was not ended by the crew" for episode in episodes if not episode.outcome]
