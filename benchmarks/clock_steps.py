"""How soon it is noticed that a clock was set, the sensor's or this machine's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.clock_congestion import START_DEVICE_NS, START_HOST_NS
from benchmarks.clock_laws import MS, Law, exponential, gamma, queue_with_stalls
from benchmarks.table import Row
from capture.clock.filter import ClockFilter

STEPS_MS = (2.0, -2.0, 40.0, -40.0, 3000.0, -3000.0, 7.2e6, -7.2e6)


@dataclass(frozen=True, slots=True)
class StepRun:
    """noticed_s: after the step; None when it was not. stretches: as many as the recording has. error_ms: 8 s after the step."""

    noticed_s: float | None
    stretches: int
    error_ms: float
    sigma_ms: float


def step_run(law: Law, rate_hz: float, step_ms: float, seed: int, *, host: bool = False) -> StepRun:
    """20 s with the device clock, or this machine's, set by step_ms after 12 s."""
    random = np.random.default_rng(seed)
    at_ns, count, skew = 12e9, int(20 * rate_hz), random.uniform(-100e-6, 100e-6)
    x = np.arange(count) * 1e9 / rate_hz
    arrivals = x * (1 + skew) + law.lateness(random, count, rate_hz)
    set_ns = np.where(x >= at_ns, step_ms * MS, 0.0)
    device = (x + (0 if host else set_ns)).astype(np.int64) + START_DEVICE_NS
    order = np.argsort(arrivals, kind="stable")
    shown = (arrivals + (np.where(arrivals >= at_ns, step_ms * MS, 0.0) if host else 0)).astype(np.int64)
    clock, noticed_s = ClockFilter(), None
    for index in order.tolist():
        clock.add(int(device[index]), int(shown[index]) + START_HOST_NS)
        if noticed_s is None and clock.restarts:
            noticed_s = (arrivals[index] - at_ns) / 1e9
    fits = clock.history()
    newest = int(device[-1])
    truth = x[-1] * (1 + skew) + (step_ms * MS if host else 0)
    error_ms = (fits[-1].host_from_device(newest) - START_HOST_NS - truth) / MS
    return StepRun(noticed_s, len({fit.stretch for fit in fits}), error_ms, fits[-1].sigma_ns / MS)


def steps(console: Console, runs: int) -> list[Row]:
    table = Table("lateness", "sd ms", "per s", "clock", "steps", "noticed", "latest s", title="clocks that are set")
    cases = ((gamma(2, 1), 1280.0), (queue_with_stalls(), 1280.0), (exponential(0.3), 100.0), (exponential(0.3), 10.0))
    latest_s, missed, total = 0.0, 0, 0
    for law, rate_hz in cases:
        for host in (False, True):
            done = [step_run(law, rate_hz, step, seed, host=host) for step in STEPS_MS for seed in range(runs)]
            noticed = [each.noticed_s for each in done if each.noticed_s is not None and each.noticed_s >= 0]
            table.add_row(
                law.name, f"{law.sd_ms:g}", f"{rate_hz:g}", "this machine's" if host else "the sensor's", str(len(done)),
                str(len(noticed)), f"{max(noticed, default=math.nan):.2f}",
            )  # fmt: skip
            latest_s = max([latest_s, *noticed])
            missed, total = missed + len(done) - len(noticed), total + len(done)
    console.print(table)
    figure = f"{latest_s:.2f} s at the latest, {missed} of {total} missed"
    return [Row("a clock set by 2 ms to 2 h, either way", figure, "<= 2 s, 0 missed", latest_s <= 2 and not missed)]
