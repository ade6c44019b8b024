"""What a congested link does to a clock: a queue raises even the least delay for seconds, so that nothing shows the floor meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.clock_laws import MS, Array
from benchmarks.table import Row
from capture.clock.filter import ClockFilter
from capture.clock.fit import fit_at

START_HOST_NS, START_DEVICE_NS = 1_790_000_000_000_000_000, 86_400_000_000_000
RATE_HZ, SPAN_S, FIRST_LOOK_S = 200.0, 60.0, 5.0
QUEUES_MS = (0.3, 2.0, 20.0)
_KNOT_S, _QUEUE_S = 0.05, 0.2

Times = Callable[[np.random.Generator, Array], Array]  # seconds since the start -> where the link is congested


@dataclass(frozen=True, slots=True)
class Look:
    """At the newest packet: how far the clock known by then is off, and what it states."""

    error_ms: float
    sigma_ms: float


@dataclass(frozen=True, slots=True)
class CongestedRun:
    """online: as it was known meanwhile; final: by the recording's fits. steps: how often a clock was taken to be set that was not."""

    online: Sequence[Look]
    final: Sequence[Look]
    steps: int


def cases() -> dict[str, Times]:
    bursts: dict[str, Times] = {f"one burst of {length:g} s": _burst(length) for length in (1.0, 5.0, 20.0)}
    return bursts | {f"half of every {period:g} s": _half_of(period) for period in (1.0, 4.0, 10.0, 20.0, 40.0)}


def _burst(length_s: float) -> Times:
    def is_congested(random: np.random.Generator, t_s: Array) -> Array:
        start_s = random.uniform(6, 30)
        return np.asarray((t_s >= start_s) & (t_s < start_s + length_s), dtype=np.float64)

    return is_congested


def _half_of(period_s: float) -> Times:
    def is_congested(random: np.random.Generator, t_s: Array) -> Array:
        return np.asarray((t_s + random.uniform(0, period_s)) % period_s < period_s / 2, dtype=np.float64)

    return is_congested


def congested_run(times: Times, queue_ms: float, seed: int) -> CongestedRun:
    """A wire of 0.5 ms of jitter, and a queue of queue_ms in the median whose length wanders within 0.2 s, log-normal by 0.5."""
    random = np.random.default_rng(seed)
    skew = random.uniform(-100e-6, 100e-6)
    t_s = np.arange(int(RATE_HZ * SPAN_S)) / RATE_HZ
    late_ns = random.gamma(2, 0.5 * MS / math.sqrt(2), len(t_s))
    late_ns += times(random, t_s) * _queue_ns(random, t_s, queue_ms)
    truth = t_s * 1e9 * (1 + skew)
    arrivals = np.maximum.accumulate(truth + late_ns)  # a queue lets nobody overtake
    device, host = (t_s * 1e9).astype(np.int64) + START_DEVICE_NS, arrivals.astype(np.int64) + START_HOST_NS
    clock, online = ClockFilter(), list[Look]()
    for index, (device_ns, host_ns) in enumerate(zip(device.tolist(), host.tolist(), strict=True)):
        clock.add(device_ns, host_ns)
        fit = clock.known
        if fit is not None and t_s[index] >= FIRST_LOOK_S and index % RATE_HZ == 0:
            error_ns = fit.host_from_device(device_ns) - START_HOST_NS - truth[index]
            online.append(Look(error_ns / MS, fit.sigma_ns / MS))
    clock.fit()
    fits, final = clock.history(), list[Look]()
    for index in range(0, len(t_s), int(RATE_HZ)):
        known = fit_at(fits, int(host[index]))
        if known is not None:
            error_ns = known.host_from_device(int(device[index])) - START_HOST_NS - truth[index]
            final.append(Look(error_ns / MS, known.sigma_ns / MS))
    return CongestedRun(online, final, clock.restarts)


def _queue_ns(random: np.random.Generator, t_s: Array, queue_ms: float) -> Array:
    kept = math.exp(-_KNOT_S / _QUEUE_S)
    wander = [random.normal()]
    for shock in random.normal(0, math.sqrt(1 - kept**2), int(t_s[-1] / _KNOT_S) + 2).tolist():
        wander.append(kept * wander[-1] + shock)
    knots = np.arange(len(wander)) * _KNOT_S
    return np.asarray(queue_ms * MS * np.exp(0.5 * np.interp(t_s, knots, wander)))


def congestion(console: Console, runs: int) -> list[Row]:
    table = Table(title=f"congested links, {RATE_HZ:g}/s, a minute, from the sixth second on; ms")
    for heading in ("congested", "queue", "runs", "online", "95 %", "holds", "recording", "holds", "false steps"):
        table.add_column(heading, justify="left" if heading == "congested" else "right")
    online, final, steps, count, worst = list[Look](), list[Look](), 0, 0, 1.0
    for name, times in cases().items():
        for queue_ms in QUEUES_MS:
            done = [congested_run(times, queue_ms, seed) for seed in range(runs)]
            now, then = ([look for each in done for look in getattr(each, part)] for part in ("online", "final"))
            found = sum(each.steps for each in done)
            table.add_row(
                name, f"{queue_ms:g}", str(runs), f"{_quantile(now, 0.5):.3f}", f"{_quantile(now, 0.95):.3f}",
                f"{holds(now):.3f}", f"{_quantile(then, 0.5):.3f}", f"{holds(then):.3f}", str(found),
            )  # fmt: skip
            online, final, steps, count = [*online, *now], [*final, *then], steps + found, count + runs
            worst = min(worst, holds(now))
    console.print(table)
    held, later = holds(online), holds(final)
    return [
        Row("congested links: the stated 95 % interval holds meanwhile", f"{held:.3f}, the worst case {worst:.3f}"),
        Row("congested links: that of the recording's fits", f"{later:.3f}"),
        Row("congested links: taken for a clock that was set", f"{steps} times in {count} minutes"),
    ]


def holds(looks: Sequence[Look]) -> float:
    return sum(abs(each.error_ms) <= 1.96 * each.sigma_ms for each in looks) / len(looks)


def _quantile(looks: Sequence[Look], share: float) -> float:
    return float(np.quantile([abs(each.error_ms) for each in looks], share))
