"""Whether what a sensor says that its clock follows is alive: a claim, held against the clock that its packets show.

A clock that follows the world's (PTP, a receiver's pulse, satellites, a camera's NTP, this machine) stands near this machine's own, on one
of the scales in use: UTC, TAI (UTC + 37 s since 2017, IERS Bulletin C) or GPS time (UTC + 18 s). And it keeps its rate: a crystal that
nobody steers drifts by tens of ppm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from capture.clock.fit import ClockFit, steps_in
from devices.device import ClockSource

Liveness = Literal["alive", "dead", "unknown"]

_SCALES_NS = {"UTC": 0, "TAI": 37_000_000_000, "GPS time": 18_000_000_000}
_NEAR_NS = 200_000_000  # this machine's own error, and the way here
_VIDEO_NS = 1_500_000_000  # encoding and a player's buffer come on top
_SINCE_BOOT_NS = 366 * 86_400 * 1_000_000_000  # a clock in the 1970s counts from its power-up
_STEERED_PPM = 5.0
_TOLD_PPM = 20.0  # doubt: of one larger a busy machine's first seconds tell more than the sensor's crystal
_SHIFT_NS = 100_000
# A receiver loses its satellites under every bridge: its stream says so itself.
_WATCHED = frozenset({ClockSource.PPS, ClockSource.PTP, ClockSource.RTCP})
_WORDS = {
    ClockSource.HOST: "this machine's clock",
    ClockSource.PPS: "a receiver's pulse (PPS)",
    ClockSource.PTP: "PTP",
    ClockSource.RTCP: "RTCP sender reports",
    ClockSource.GNSS: "satellites (GNSS)",
}
_REMEDIES = {
    ClockSource.HOST: "restart the sensor's driver after this machine's clock was set",
    ClockSource.PPS: "check the receiver's antenna, the pulse's wire and the time message",
    ClockSource.PTP: "start a PTP master on its network (ptp4l with phc2sys), or set the sensor to its own oscillator",
    ClockSource.RTCP: "give the camera an NTP server, on its page",
    ClockSource.GNSS: "give the antenna open sky and wait for a fix",
}


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """liveness: unknown where nothing is claimed, or not enough has come. words: one line, with what to do where it is dead."""

    liveness: Liveness
    words: str


def judge_claim(
    stream: str, claim: ClockSource, fits: Sequence[ClockFit], now_ns: int, followed: ClockSource | None = None
) -> ClaimVerdict:
    """Whether the claim is borne out by the stream's fits up to this instant of this machine, UTC.

    followed: what the sensor said before that its stamps follow.
    """
    if claim is ClockSource.NONE:
        return ClaimVerdict("unknown", f"{stream} gives no stamps of its own: its samples are as late as they arrived")
    if claim is ClockSource.FREE and followed in _WATCHED:
        says = f"{stream} followed {_WORDS[followed]} and says that it no longer does"
        return ClaimVerdict("dead", f"{says}, but runs on a clock of its own; {_REMEDIES[followed]}")
    if claim is ClockSource.FREE:
        return ClaimVerdict("unknown", f"{stream} runs on a clock of its own, which is fitted to this machine's")
    says = f"{stream} claims {_WORDS[claim]}"
    if not fits:
        return ClaimVerdict("unknown", f"{says}; nothing has come yet that shows it")
    trouble = _trouble(claim, fits, now_ns)
    if trouble:
        return ClaimVerdict("dead", f"{says}, but {trouble}; {_REMEDIES[claim]}")
    newest, doubt_ppm = fits[-1], _doubt_ppm(fits[-1], now_ns)
    at = f"{says}: {_offset_in_words(_scale(claim, newest), newest)}"
    if doubt_ppm > _STEERED_PPM / 2:
        return ClaimVerdict("unknown", f"{at}; whether it keeps the rate cannot be told yet")
    return ClaimVerdict("alive", f"{at}, rate {newest.skew_ppm:+.2f} ± {doubt_ppm:.2f} ppm")


def _trouble(claim: ClockSource, fits: Sequence[ClockFit], now_ns: int) -> str:
    newest = fits[-1]
    device_ns = now_ns - newest.host_minus_device_ns
    if 0 <= device_ns < _SINCE_BOOT_NS:
        return f"its clock is 1970-01-01 + {device_ns / 1e9:.0f} s: it counts since power-up"
    if _scale(claim, newest) is None:
        behind = newest.host_minus_device_ns > 0
        return f"its clock is {_long(abs(newest.host_minus_device_ns))} {'behind' if behind else 'ahead of'} this machine's"
    if steps := steps_in(fits):
        return f"it was set {steps} times meanwhile"
    doubt_ppm = _doubt_ppm(newest, now_ns)
    if doubt_ppm <= _TOLD_PPM and abs(newest.skew_ppm) - 3 * doubt_ppm > _STEERED_PPM:
        drift = f"{newest.skew_ppm:+.1f} ± {doubt_ppm:.1f} ppm"
        return f"it drifts by {drift} against this machine's clock: nobody steers one of the two (is this machine's corrected?)"
    return ""


def _doubt_ppm(fit: ClockFit, now_ns: int) -> float:
    """Of the rate: as the fit has it, and what a machine that grows busy, or a link, shifts all arrivals by without a trace."""
    if fit.skew_sigma_ppm is None:
        return math.inf
    span_ns = 2 * (
        now_ns - fit.host_from_device(fit.reference_device_ns)
    )  # a fit's reference is the middle of its time
    return math.hypot(fit.skew_sigma_ppm, _SHIFT_NS / max(span_ns, 1) * 1e6)


def _scale(claim: ClockSource, fit: ClockFit) -> str | None:
    """The scale on which the sensor stands near this machine; None when it does on none."""
    near_ns = _VIDEO_NS if claim is ClockSource.RTCP else _NEAR_NS
    scales = {"UTC": 0} if claim in {ClockSource.HOST, ClockSource.RTCP} else _SCALES_NS
    near = [name for name, ahead_ns in scales.items() if -near_ns <= fit.host_minus_device_ns + ahead_ns <= near_ns]
    return near[0] if near else None


def _offset_in_words(scale: str | None, fit: ClockFit) -> str:
    if scale is None:
        return "on no known scale"
    offset_ms = (fit.host_minus_device_ns + _SCALES_NS[scale]) / 1e6
    return f"{scale}, {abs(offset_ms):.1f} ms {'before' if offset_ms >= 0 else 'after'} its arrival here"


def _long(ns: int) -> str:
    seconds = ns / 1e9
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 86_400:.0f} days"
