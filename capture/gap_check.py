"""Whether a recording explains why a stream that speaks all the time said nothing for a while."""

from __future__ import annotations

from collections.abc import Iterator

from capture.interruptions import stretches_of
from capture.recording import Recording
from capture.recording_info import Losses
from capture.stream_check import StreamCheck
from capture.stretch import Stretch, within, without
from devices.errors import DeviceError
from devices.samples import Mark

_LOST_SHARE = 0.5  # of what ought to have come in a gap: losses that were counted explain it from here on


def unexplained_gaps(recording: Recording, check: StreamCheck) -> Iterator[str]:
    """At most one line. Gaps are long against the stream's usual interval; what speaks when something happens has none."""
    if not _speaks_steadily(recording, check.name):
        return
    gaps = [gap for gap in check.intervals.long if _is_unexplained(gap, recording, check)]
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


def _speaks_steadily(recording: Recording, name: str) -> bool:
    stream = recording.streams[name]
    try:
        yields = recording.rig.driver_of(stream.sensor).yields.get(stream.encoding)
    except (DeviceError, KeyError):
        return False
    return yields is not None and yields is not Mark


def _is_unexplained(gap: Stretch, recording: Recording, check: StreamCheck) -> bool:
    """A camera that was gone is back before its first picture is: whatever reaches into such a time is explained by it."""
    info, ended_ns = recording.info, recording.info.ended_ns or gap.to_ns
    if within(stretches_of(info.interruptions, recording.streams[check.name], ended_ns), gap):
        return False
    pauses = [Stretch(each.from_ns, each.to_ns or ended_ns) for each in info.pauses]
    left = [each for each in without([gap], pauses) if check.intervals.is_unusual(each.ns)]
    usual_ns = check.intervals.usual_ns(gap.ns) or 1
    lost = info.losses.get(check.name, Losses()).before_read
    return any(lost < _LOST_SHARE * each.ns / usual_ns for each in left)
