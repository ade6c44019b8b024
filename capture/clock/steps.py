"""Whether a clock was set: arrivals that are early, or all later than ever, by the line that held so far.

A packet cannot be early. One that is bears a broken stamp, and is passed over; several in a row that agree with one another say that the
sensor's clock was put forward. By less than packets usually wait, it shows in a few only, which lie below everything that came before.
A clock that was put back makes all packets late at once, and as evenly as before; a transport that is congested makes them late
by different amounts, but lets none come before those that were sent before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.clock.window import Arrivals

Lateness = NDArray[np.float64]  # ns after the line, in the order of arrival

LEAST_STEP_NS = 250_000.0  # less is taken as the line's own error
FAR_NS = 10e9  # no packet waits as long
AGREE_NS = 20e6
_LOWS = 6  # below all that came in a time at least three times as long: by chance once in some thousand times
_SHARES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.97])
_LOG_ODDS = 16.0  # a floor has risen when chance would keep so many packets above it once in exp(16) times
_RISEN_NS = 600_000_000  # a stall is over in less, by the arrivals of what had to wait
_LEFT_OUT = 4  # mean waits for a packet below the level
_PULL = 2e-3
_BESIDE = 3  # packets on either side of where a clock went back: one or two may bear a wrong stamp
_FITTED = slice(2, 9)  # of the shares: those at which two distributions may be laid onto one another
_ALIKE, _ALIKE_OF_ONE = (
    0.08,
    1.2,
)  # of the shares below a level: what two distributions may differ by, and what n packets add by chance
_SAMPLE = 4096
_SPREAD_AT_FIRST_NS = 1_000_000.0
_FEW_WRONG = 2


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """How late packets were by the newest line. lowest_ns: the earliest. levels_ns: below which the shares _SHARES of them lay.

    margin_ns: by how much one must be early for its stamp to be wrong.
    """

    margin_ns: float
    lowest_ns: float
    levels_ns: Lateness
    span_ns: int

    @property
    def spread_ns(self) -> float:
        return float(self.levels_ns[-2] - self.levels_ns[0])

    @property
    def usual_wait_ns(self) -> float:
        return float(self.levels_ns[7] - self.lowest_ns)


def usual(lateness: Lateness, sigma_ns: float, span_ns: int) -> Usual:
    some = lateness[:: max(len(lateness) // _SAMPLE, 1)]
    levels = np.asarray(np.quantile(some, _SHARES), dtype=np.float64)
    return Usual(max(6 * sigma_ns, LEAST_STEP_NS), float(lateness.min()), levels, span_ns)


def is_sound_at_first(offset_ns: Lateness) -> NDArray[np.bool_]:
    """Before there is a line: which stamps are in keeping with what most have in common."""
    low, middle, high = np.quantile(offset_ns, [0.25, 0.5, 0.75])
    earliest = middle - max(8 * (high - low), _SPREAD_AT_FIRST_NS)
    return np.asarray((offset_ns >= earliest) & (offset_ns <= middle + FAR_NS))


def hold_down(lateness: Lateness, risen_ns: float) -> NDArray[np.bool_]:
    """The one or two arrivals that alone make all others seem to have risen: wrong stamps that were taken in. None where there are more."""
    lowest = np.sort(np.partition(lateness, _FEW_WRONG)[: _FEW_WRONG + 1])
    above = np.flatnonzero(risen_ns - lowest < (risen_ns - lowest[0]) / 2)
    return np.asarray(lateness < (lowest[above[0]] if len(above) else lowest[0]))


def out_of_bounds(lateness: Lateness, known: Usual, slack_ns: float) -> NDArray[np.bool_]:
    """Arrivals whose stamp is wrong, or from before or after a step. slack_ns: what the line may have drifted since."""
    return (lateness < -known.margin_ns - slack_ns) | (lateness > FAR_NS + slack_ns)


def run_at_end(lateness: Lateness, wrong: NDArray[np.bool_], known: Usual) -> tuple[int | None, bool]:
    """(where the wrong arrivals begin that go on to the end and agree, or None; whether more must come to tell)."""
    if not wrong.any():
        return None, False
    for first in np.flatnonzero(wrong).tolist():
        rest = wrong[first:]
        if rest.mean() < 0.8:
            continue
        late = lateness[first:][rest]
        middle = float(np.median(late))
        agree = np.abs(late - middle) <= max(4 * known.spread_ns, AGREE_NS)
        if len(late) == 1:
            return None, True
        if agree[0] and agree.mean() >= 0.8:
            return first, False
    return None, False


def is_low(lateness: Lateness, known: Usual) -> NDArray[np.bool_]:
    """Arrivals below all that came before, and near enough for the clock to have been put forward by a little."""
    floor = min(known.lowest_ns, 0.0) - max(known.margin_ns / 2, LEAST_STEP_NS)
    return (lateness < floor) & (lateness > floor - max(4 * known.spread_ns, AGREE_NS))


def are_many(lows: int, known: Usual) -> bool:
    return lows >= _LOWS and known.span_ns >= 3_000_000_000


def rise_at(lateness: Lateness, host_ns: NDArray[np.int64], known: Usual) -> int | None:
    """Where the newest arrivals begin that for most of a second all lie above a level below which some of them should.

    The highest level that shows it tells best where. Below the lower ones few packets come anyhow: of those above it the first
    may be from before the rise, and are left out.
    """
    for level, share in zip(known.levels_ns[::-1].tolist(), _SHARES[::-1].tolist(), strict=True):
        below = np.flatnonzero(lateness <= level + LEAST_STEP_NS)
        first = int(below[-1]) + 1 if len(below) else 0
        count = len(lateness) - first
        if count >= 3 and -count * math.log1p(-share) >= _LOG_ODDS and host_ns[-1] - host_ns[first] >= _RISEN_NS:
            left_out = round(_LEFT_OUT / share) if share < 0.5 else 0
            return _behind_the_old(lateness, first + min(left_out, count // 2), known)
    return None


def _behind_the_old(lateness: Lateness, first: int, known: Usual) -> int:
    """Past the packets that are earlier than all of the newer half by more than packets usually differ: they are from before."""
    half = first + (len(lateness) - first) // 2
    floor = float(lateness[half:].min()) - max(known.usual_wait_ns, LEAST_STEP_NS)
    old = np.flatnonzero(lateness[first:half] < floor)
    return first + int(old[-1]) + 1 if len(old) else first


def turned_back_at(recent: Arrivals, lateness: Lateness, known: Usual) -> int | None:
    """Where the sensor's clock went back by more than packets overtake one another, for good: late as it may make them, no queue turns them round."""
    least_ns = max(4 * known.spread_ns, AGREE_NS)
    for at in (np.flatnonzero(np.diff(recent.device_ns) < -least_ns) + 1).tolist():
        before, after = slice(at - _BESIDE, at), slice(at, at + _BESIDE)
        if at < _BESIDE or recent.host_ns[-1] - recent.host_ns[at] < _RISEN_NS:
            continue
        went_ns = np.median(recent.device_ns[after]) - np.median(recent.device_ns[before])
        if went_ns < -least_ns and lateness[at:].min() - np.median(lateness[before]) > least_ns:
            return int(at)
    return None


def is_set_back(risen: Lateness, known: Usual) -> bool:
    """Whether risen arrivals are spread as they were before: a clock was put back. Congestion spreads them otherwise.

    By less than packets usually wait it cannot be told.
    """
    return float(risen.min()) - known.lowest_ns >= known.usual_wait_ns and _is_spread_as_usual(risen, known)


def is_another_rate(risen: Lateness, host_ns: NDArray[np.int64], known: Usual, since_ns: int) -> bool:
    """Whether arrivals have risen evenly since then, from where they were, by no more than a clock may be pulled; else a queue grows."""
    ahead_ns = (host_ns - host_ns[-1]).astype(np.float64)
    slope = float(np.polyfit(ahead_ns, risen, 1)[0])
    level = risen - slope * ahead_ns
    began_ns = float(level.min()) + slope * (since_ns - int(host_ns[-1])) - known.lowest_ns
    is_from_there = abs(began_ns) < known.usual_wait_ns + 2 * LEAST_STEP_NS
    return 0 < slope < _PULL and is_from_there and _is_spread_as_usual(level, known)


def _is_spread_as_usual(risen: Lateness, known: Usual) -> bool:
    """By the distance of the two distributions (Kolmogorov and Smirnov's) once one is moved onto the other."""
    in_order, levels = np.sort(risen), known.levels_ns
    shifts = np.quantile(in_order, _SHARES[_FITTED]) - levels[_FITTED]
    below = np.searchsorted(in_order, levels + shifts[:, None], side="right") / len(risen)
    return float(np.abs(below - _SHARES).max(axis=1).min()) <= _ALIKE + _ALIKE_OF_ONE / math.sqrt(len(risen))
