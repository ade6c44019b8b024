"""Whether a recording explains why a stream that speaks all the time said nothing for a while."""

from __future__ import annotations

import math
from collections.abc import Iterator

from capture.interruptions import stretches_of
from capture.intervals import Intervals
from capture.recording import Recording
from capture.recording_info import Losses
from capture.rest import rest_ns
from capture.steady import is_steady
from capture.stream_check import StreamCheck
from capture.stretch import Stretch, without

_LOST_SHARE = 0.5  # of what ought to have come in its gaps: losses that were counted explain them from here on


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
    """What of its unusual gaps lies in no pause. A camera that was gone is back before its first picture is: whatever reaches into such a
    time is explained by it, and all of them are where losses enough for them were counted.
    """
    info, stream = recording.info, recording.streams[check.name]
    rests_ns = rest_ns(recording.rig, stream)
    least_ns = {gap: max(rests_ns, _unusual_ns(gap, check.intervals)) for gap in sorted(check.long)}
    gaps = [gap for gap, unusual_ns in least_ns.items() if gap.ns >= unusual_ns]
    ended_ns = info.ended_ns or max((gap.to_ns for gap in gaps), default=0)
    untouched = set(without(gaps, stretches_of(info.interruptions, stream, ended_ns))).intersection(gaps)
    pauses = [Stretch(each.from_ns, each.to_ns or ended_ns) for each in info.pauses]
    parts = ((part, least_ns[gap]) for gap in gaps if gap in untouched for part in without([gap], pauses))
    left = [part for part, unusual_ns in parts if part.ns >= unusual_ns]
    missing = sum(part.ns / (check.intervals.usual_ns(part.ns) or 1) for part in left)
    lost = info.losses.get(check.name, Losses()).before_read
    return [] if lost >= _LOST_SHARE * missing else left


def _unusual_ns(gap: Stretch, intervals: Intervals) -> float:
    unusual_ns = intervals.unusual_ns(gap.ns)
    return math.inf if unusual_ns is None else unusual_ns
