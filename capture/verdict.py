"""What a recording is worth, at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capture.clock.claim import judge_claim
from capture.clock.fit import ClockFit, steps_in
from capture.health import CHECK_SENDERS, rejected_in_words, silent_sensors
from capture.interruptions import interruptions_in_words
from capture.recording_info import Interruption, Losses, Verdict
from capture.steady import EVENT_ENCODINGS
from capture.tally import Tally
from devices.rig import Rig


def judge(
    rig: Rig,
    tallies: Sequence[Tally],
    losses: Mapping[str, Losses],
    clocks: Mapping[str, Sequence[ClockFit]],
    interruptions: Sequence[Interruption],
    started_ns: int,
    ended_ns: int,
) -> tuple[Verdict, list[str], list[str]]:
    """(verdict, reasons against it, notes). Doubtful: something is missing or uncertain; bad: there is nothing."""
    silent, notes = silent_sensors(tallies, rig, ended_ns - started_ns), []
    reasons = [f"{sensor} said nothing" for sensor in silent]
    told = [each for each in interruptions if each.sensor not in silent]
    reasons += interruptions_in_words(told, started_ns, ended_ns)
    for tally in tallies:
        name, lost = tally.inlet.stream.name, losses[tally.inlet.stream.name]
        if lost.total:
            reasons.append(
                f"{name}: {lost.total} packets lost ({lost.before_read} before they were read, {lost.queue} in the queue, "
                f"{lost.not_written} refused by the disk)"
            )
        if tally.rejected:
            reasons.append(f"{name}: {rejected_in_words(tally.rejected)}; {CHECK_SENDERS}")
        if tally.inlet.remark:
            notes.append(f"{name}: {tally.inlet.remark}")
        if steps := steps_in(clocks[name]):
            reasons.append(f"{name}: its clock was set {steps} times; each stretch has a fit of its own")
        claim = judge_claim(name, tally.inlet.ask_clock_source(), clocks[name], ended_ns, tally.inlet.followed)
        if claim.liveness == "dead":
            notes.append(claim.words)
        if tally.inlet.is_steady and not tally.admitted and not any(each.stream == name for each in told):
            notes.append(f"nothing came on {name}")
    if not any(tally.admitted for tally in tallies if tally.inlet.stream.encoding not in EVENT_ENCODINGS):
        return "bad", ["nothing was recorded", *reasons], notes
    return ("doubtful" if reasons else "good"), reasons, notes
