"""What a recording says of this machine's clock when somebody set it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from devices.host_clock import ClockSet

_ALIKE_NS = 2_000_000  # such a difference moves no anchor either


def clock_note(sets: Sequence[ClockSet], started_ns: int) -> str:
    """One line; empty where nobody did. sets: since host time was anchored, which for a snapshot may be long before its start."""
    if not sets:
        return ""
    first, last, by_ns = sets[0], sets[-1], sum(each.by_ns for each in sets)
    if len(sets) == 1:
        how = f"by {_seconds(by_ns)} s, {_when(first, started_ns)}"
    else:
        how = f"{len(sets)} times, by {_seconds(by_ns)} s in all, first {_when(first, started_ns)}, last {_when(last, started_ns)}"
    return f"this machine's clock was set {how}; the recording's time runs on as it was{_apart(sets, started_ns)}"


def clock_alarm(sets: Sequence[ClockSet], now_ns: int, recent_s: float) -> str:
    """While somebody has just set it, in one line with what to do; empty otherwise."""
    recent = [each for each in sets if now_ns - each.at_ns <= recent_s * 1e9]
    if not recent:
        return ""
    by_ns = sum(each.by_ns for each in recent)
    return (
        f"this machine's clock was set by {_seconds(by_ns)} s; the recording's time runs on as it was; "
        "see what sets it (NTP, chrony, a virtual machine)"
    )


def _apart(sets: Sequence[ClockSet], started_ns: int) -> str:
    """What the recording's time and the clock differ by at its start, since the clock had been set before."""
    by_ns = sum(each.by_ns for each in sets if each.at_ns < started_ns)
    if abs(by_ns) < _ALIKE_NS:
        return ""
    return f", {abs(by_ns) / 1e9:.3f} s {'ahead of' if by_ns < 0 else 'behind'} that clock from its start"


def _seconds(by_ns: int) -> str:
    return f"{by_ns / 1e9:+.3f}"


def _when(each: ClockSet, started_ns: int) -> str:
    after_s = (each.at_ns - started_ns) / 1e9
    return f"{abs(after_s):.0f} s {'after' if after_s >= 0 else 'before'} the start"
