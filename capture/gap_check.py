"""Whether a recording explains why a stream that speaks all the time said nothing for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from capture.interruptions import stretches_of
from capture.intervals import Intervals
from capture.recording import Recording
from capture.recording_info import Losses
from capture.steady import is_steady
from capture.stream_check import StreamCheck
from capture.stretch import Stretch, without

_LOST_SHARE = 0.5  # of what ought to have come in a gap: losses that were counted explain it from here on


def unexplained_gaps(recording: Recording, check: StreamCheck) -> Iterator[str]:
    """At most one line. Gaps are long against the stream's usual interval; what speaks when something happens has none."""
    if not is_steady(recording.rig, recording.streams[check.name]):
        return
    gaps = _unexplained(recording, check)
    if not gaps:
        return
    longest = max(gaps, key=lambda each: each.ns)
    after_s = (longest.from_ns - recording.info.started_ns) / 1e9
    of_several = f", the longest of {len(gaps)} such gaps" if len(gaps) > 1 else ""
    usual_ms = (check.intervals.usual_ns(longest.ns) or 0) / 1e6
    yield (
        f"{check.name}: nothing came for {longest.ns / 1e9:.1f} s, {after_s:.1f} s after the start{of_several}, though it usually comes "
        f"every {usual_ms:.3g} ms; no interruption, pause or counted loss tells why"
    )


def _unexplained(recording: Recording, check: StreamCheck) -> list[Stretch]:
    """A camera that was gone is back before its first picture is: whatever reaches into such a time is explained by it."""
    info, intervals = recording.info, check.intervals
    gaps = sorted(gap for gap in intervals.long if intervals.is_unusual(gap.ns))
    ended_ns = info.ended_ns or max((gap.to_ns for gap in gaps), default=0)
    gone = stretches_of(info.interruptions, recording.streams[check.name], ended_ns)
    untouched = set(gaps).intersection(without(gaps, gone))
    pauses = [Stretch(each.from_ns, each.to_ns or ended_ns) for each in info.pauses]
    lost = info.losses.get(check.name, Losses()).before_read
    return [gap for gap in gaps if gap in untouched and not _is_paused_or_lost(gap, pauses, lost, intervals)]


def _is_paused_or_lost(gap: Stretch, pauses: Sequence[Stretch], lost: int, intervals: Intervals) -> bool:
    left = [each for each in without([gap], pauses) if intervals.is_unusual(each.ns)]
    usual_ns = intervals.usual_ns(gap.ns) or 1
    return all(lost >= _LOST_SHARE * each.ns / usual_ns for each in left)
