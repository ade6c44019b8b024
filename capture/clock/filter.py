"""A sensor's clock on the host's, online: offset and skew from the arrivals that waited least, and when the sensor's clock was set.

    add()      once a packet: two appends (capture/clock/slot.py)
    a slot     ten, later two times a second: steps and broken stamps are told apart (capture/clock/steps.py), the rest joins the last
               minute's arrivals (capture/clock/window.py), and the line under them is found anew (capture/clock/line.py)
    history()  a recording's fits: a new one whenever a clock was set, and at least every minute, since a crystal's rate wanders

The least latency itself cannot be seen in arrivals: it stays in the fit. benchmarks/clock.py measures what is claimed here.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from capture.clock import steps as clock_steps
from capture.clock.congestion import Congestion
from capture.clock.fit import ClockFit, fit_at, fits_since, steps_in
from capture.clock.line import lateness_after, line_under
from capture.clock.quickest import Quickest
from capture.clock.rate import KeptRate
from capture.clock.slot import OpenSlot
from capture.clock.steps import Usual
from capture.clock.window import Arrivals, Window, joined

__all__ = ["ClockFilter", "ClockFit", "fit_at", "steps_in"]

PIECE_NS = 60_000_000_000
_SLOT_NS, _FIRST_SLOTS_NS, _YOUNG_NS = 500_000_000, 100_000_000, 1_000_000_000
_RECENT_NS = 1_200_000_000  # in which small steps are looked for, beside all that came before
_GAP_NS = 20_000_000_000  # of silence, behind which a line of its own is drawn
_ENOUGH = 24  # arrivals, of which it is known how late packets usually are
_REFITS, _REFIT_NS = 5, 4_000_000_000  # the line is drawn anew when there is a fifth more time to draw it from
_WANDER_PPM = 2.0  # of a crystal's rate, in a silence
_SET_WANDER_PPM = 200.0  # what sets a clock may pull it, too


class ClockFilter:
    """Takes (device, host) stamps one by one; holds a minute of them. One thread adds and fits; known and history() are for any.

    restarts: how often the sensor's clock was set. strays: arrivals passed over since their stamp was wrong.
    behind_ns: how much later all arrivals are at present than some were before: the transport is congested, or the sensor's clock slow.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self.strays = 0
        self._done: list[ClockFit] = []
        self._slot = OpenSlot()
        self._working = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._window = Window()
        self._fit: ClockFit | None = None
        self._usual: Usual | None = None
        self._began_ns: int | None = None
        self._piece_ns = self._fitted_ns = 0
        self._lows = self._aside = joined([])
        self._congestion: Congestion | None = None
        self._rate = KeptRate()
        self._quickest = Quickest()
        self.behind_ns = 0

    def add(self, device_ns: int, host_ns: int) -> None:
        """One arrival. A stamp that repeats the last one is passed over."""
        if self._slot.add(device_ns, host_ns):
            self._close_slot()

    @property
    def stopped(self) -> int:
        """Stamps passed over that came while the sensor's clock stood still."""
        return self._slot.stopped

    @property
    def stands_still(self) -> bool:
        """Whether the newest stamp is one that was first seen a second before."""
        return self._slot.stands_still

    @property
    def known(self) -> ClockFit | None:
        """The clock as of the last slot, at no cost. None before the first arrival."""
        return self._fit

    def fit(self) -> ClockFit | None:
        """The clock as of the newest arrival. None before the first."""
        if len(self._slot):
            self._close_slot()
        with self._working:
            self._bring_up_to_date()
        return self._fit

    def history(self, since_ns: int = 0) -> tuple[ClockFit, ...]:
        """The fits that hold for arrivals from since_ns on, in their order, as of the last slot; after fit(), of the newest arrival."""
        with self._working:
            self._bring_up_to_date()
            known = self._done if self._fit is None else [*self._done, self._fit]
            return fits_since(known, since_ns)

    def _bring_up_to_date(self) -> None:
        if self._window.points and self._fitted_ns != self._window.newest_host_ns:
            self._refit()

    def find_anew(self) -> None:
        """After a defect: the line is found from what arrives from now on; what was counted stands, and nobody set a clock."""
        self._slot.clear()
        with self._working:
            if self._fit is not None:
                self._done.append(self._fit)
            self._begin()

    def take_least(self) -> tuple[int, int] | None:
        """(device, host) of the arrival that waited least since the last call; None when nothing came."""
        return self._quickest.take()

    def _close_slot(self) -> None:
        slot, broken, newest_ns = self._slot.take()
        self.strays += broken
        with self._working:
            for part in slot.parted_by_silence(_GAP_NS):
                self._take(part)
        is_young = self._began_ns is None or newest_ns - self._began_ns < _YOUNG_NS
        self._slot.open(newest_ns, _FIRST_SLOTS_NS if is_young else _SLOT_NS)

    def _take(self, slot: Arrivals) -> None:
        fit, known = self._fit, self._usual
        if fit is None or known is None:
            self._take_first(slot)
            return
        lateness = lateness_after(fit, slot)
        silent_ns = max(int(slot.host_ns[0]) - self._fitted_ns, 0)
        slack_ns = silent_ns * (6 * (fit.skew_sigma_ppm or 0.0) + _WANDER_PPM) * 1e-6
        wrong = clock_steps.out_of_bounds(lateness, known, slack_ns)
        step, is_undecided = clock_steps.run_at_end(lateness, wrong, known)
        if step is not None:
            self._admit(slot.only(slice(step)).only(~wrong[:step]))
            self.strays += int(wrong[:step].sum())
            self._step(slot.only(slice(step, None)).only(wrong[step:]))
            return
        if is_undecided:  # one packet is no step; the next one tells
            self._slot.put_back(slot.only(slice(-1, None)))
            slot, lateness, wrong = slot.only(slice(-1)), lateness[:-1], wrong[:-1]
        if len(slot):
            self._take_plain(slot, lateness, wrong, known)

    def _take_plain(
        self, slot: Arrivals, lateness: NDArray[np.float64], wrong: NDArray[np.bool_], known: Usual
    ) -> None:
        """A slot that shows no step by itself: a small one shows in the packets of a second together."""
        if int(slot.host_ns[0]) - self._window.newest_host_ns > _GAP_NS:
            self._new_piece(int(slot.host_ns[0]))
        low, recent_ns = clock_steps.is_low(lateness, known), int(slot.host_ns[-1]) - _RECENT_NS
        self._lows = _since(joined([self._lows, slot.only(low)]), recent_ns)
        self.strays += int((wrong & ~low).sum()) + int((self._aside.host_ns < recent_ns).sum())
        self._aside = _since(joined([self._aside, slot.only(low & wrong)]), recent_ns)
        self._admit(slot.only(~wrong))
        if clock_steps.are_many(len(self._lows), known):
            _, recent = self._window.parted(int(self._lows.host_ns[0]))
            newer = self._window.cut(int((recent.host_ns >= self._lows.host_ns[0]).sum()))
            self._step(joined([newer, self._aside]).in_order())
        else:
            self._look_for_a_rise(known)

    def _look_for_a_rise(self, known: Usual) -> None:
        """Nothing is as early as some packets always were: the sensor's clock was put back, or the transport is congested."""
        if self._fit is None or not self._window.points:
            return
        _, recent = self._window.parted(self._window.newest_host_ns - _RECENT_NS)
        lateness = lateness_after(self._fit, recent)
        at = clock_steps.rise_at(lateness, recent.host_ns, known)
        risen_ns = 0.0 if at is None else float(lateness[at:].min())
        if at is None or risen_ns - known.lowest_ns < 3 * self._doubt_ns(self._fit):
            self._end_congestion()
        elif (turned := clock_steps.turned_back_at(recent, lateness, known)) is not None:
            self._step(self._window.cut(len(recent) - turned))
        elif self._congestion is not None:
            self.behind_ns = round(risen_ns)
            if count := self._congestion.pulled(self._window):
                self._step(self._window.cut(count))
        elif not clock_steps.is_set_back(lateness[at:], known):
            self._congestion = Congestion(int(recent.host_ns[at]), self._fit, known)
            self._rate.keep(self._fit, _WANDER_PPM, self._congestion.from_ns + PIECE_NS)
        else:
            self._rise(self._fit, risen_ns, self._window.cut(len(recent) - at))

    def _rise(self, fit: ClockFit, risen_ns: float, after: Arrivals) -> None:
        if self._was_held_down(fit, risen_ns):
            self._window.add(after)
            self._refit()
        else:
            self._step(after)

    def _end_congestion(self) -> None:
        if self._congestion is not None:
            self._congestion, self.behind_ns = None, 0
            self._rate.forget()

    def _doubt_ns(self, fit: ClockFit) -> float:
        """Standard deviation of the line at the newest arrival, or of that from before the congestion."""
        since_ns = self._fitted_ns
        if self._congestion is not None:
            fit, since_ns = self._congestion.fit, self._congestion.from_ns
        ahead_ns = self._window.newest_host_ns - since_ns
        return math.hypot(fit.sigma_ns, ahead_ns * (fit.skew_sigma_ppm or 0.0) * 1e-6)

    def _was_held_down(self, fit: ClockFit, risen_ns: float) -> bool:
        """Whether one or two arrivals alone had made all others seem late: wrong stamps that were taken in. They go."""
        held = self._window.all()
        if len(held) < _ENOUGH:
            return False
        low = clock_steps.hold_down(lateness_after(fit, held), risen_ns)
        if not low.any():
            return False
        self.strays += int(low.sum())
        self._window = Window()
        self._window.add(held.only(~low))
        return True

    def _take_first(self, slot: Arrivals) -> None:
        """Before there is a line: what the arrivals so far have in common says which stamps are wrong."""
        everything = joined([self._window.all(), slot])
        sound = clock_steps.is_sound_at_first((everything.offset_ns - everything.offset_ns[0]).astype(np.float64))
        self.strays += int((~sound).sum())
        self._window = Window()
        self._admit(everything.only(sound))

    def _admit(self, slot: Arrivals) -> None:
        if not len(slot):
            return
        self._window.add(slot)
        newest_ns = int(slot.host_ns[-1])
        if self._began_ns is None:
            self._began_ns = self._piece_ns = int(slot.host_ns[0])
        wait_ns = min((newest_ns - self._began_ns) // _REFITS, _REFIT_NS)
        if newest_ns - self._fitted_ns >= wait_ns:
            self._refit()
        if newest_ns - self._piece_ns >= PIECE_NS:
            self._new_piece(newest_ns)
        if self._fit is not None:
            self._quickest.see(slot, self._fit)

    def _step(self, after: Arrivals) -> None:
        """From ``after`` on the sensor's clock is another."""
        if self._window.points:
            self._refit()
        fit, newest_ns = self._fit, self._fitted_ns
        self.restarts += 1
        self._begin()
        if fit is not None:
            if fit.from_host_ns <= newest_ns:  # else its minute began behind the step, which shows a second late
                self._done.append(fit)
            self._rate.keep(fit, _SET_WANDER_PPM, newest_ns + PIECE_NS)
        self._take(after)

    def _new_piece(self, from_host_ns: int) -> None:
        if self._fit is not None:
            self._done.append(self._fit)
            self._fit = replace(self._fit, from_host_ns=from_host_ns)
        self._piece_ns = from_host_ns

    def _refit(self) -> None:
        held = self._window.all()
        self._fitted_ns = int(held.host_ns[-1])
        self._fit = line_under(held, self._rate.at(self._fitted_ns), self._piece_ns, self.restarts)
        if self._fit.skew_sigma_ppm is None or len(held) < _ENOUGH:
            return
        old, recent = self._window.parted(self._fitted_ns - _RECENT_NS)
        reference = old if len(old) >= _ENOUGH else recent
        span_ns = int(reference.host_ns[-1] - reference.host_ns[0])
        self._usual = clock_steps.usual(lateness_after(self._fit, reference), self._fit.sigma_ns, span_ns)


def _since(held: Arrivals, host_ns: int) -> Arrivals:
    return held.only(held.host_ns >= host_ns)
