"""How well a sensor's clock is known: `.venv/bin/python -m benchmarks.clock [--runs N]`, a table beside named peers in the same runs.

Simulated arrivals: device stamps of a regular sensor, a skew of up to 100 ppm, and lateness of several laws. Errors are those of
host_from_device() at the newest stamp. A share of the runs goes packet by packet through the whole filter, which must agree.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.table import Row, show
from capture.clock.filter import ClockFilter
from capture.clock.floor import floor_under

Array = NDArray[np.float64]

MS = 1e6
START_HOST_NS, START_DEVICE_NS = 1_790_000_000_000_000_000, 86_400_000_000_000
PACKET_RATES_HZ = (1280.0, 100.0)
CAMERA_RATE_HZ = 10.0
FILTERED_SHARE = 20  # every so many runs go through the whole filter
STEPS_MS = (2.0, -2.0, 40.0, -40.0, 3000.0, -3000.0, 7.2e6, -7.2e6)


@dataclass(frozen=True, slots=True)
class Law:
    """lateness(random, count, rate_hz): ns. scores: of the law's family at unit scale, its place first; None where no bound exists."""

    name: str
    sd_ms: float
    lateness: Callable[[np.random.Generator, int, float], Array]
    scores: Callable[[Array], Sequence[Array]] | None = None


def laws() -> list[Law]:
    wire = [
        _exponential(1.0),
        _half_normal(1.0),
        _gamma(2.0, 1.0),
        _gamma(3.0, 1.0),
        _log_normal(1.0, 1.0),
        _log_normal(0.5, 1.0),
        Law("queue with stalls", 4.0, _stalls),
    ]
    return [*wire, _exponential(8.0), _half_normal(8.0), _gamma(2.0, 8.0), _gamma(3.0, 8.0)]


def _exponential(sd_ms: float) -> Law:
    return Law("exponential", sd_ms, lambda random, count, _: random.exponential(sd_ms * MS, count))


def _half_normal(sd_ms: float) -> Law:
    scale_ns = sd_ms * MS / math.sqrt(1 - 2 / math.pi)
    return Law("half-normal", sd_ms, lambda random, count, _: np.abs(random.normal(0, scale_ns, count)))


def _gamma(shape: float, sd_ms: float) -> Law:
    scale_ns = sd_ms * MS / math.sqrt(shape)

    def scores(x: Array) -> Sequence[Array]:
        u = x / scale_ns
        return (1 - (shape - 1) / u) / scale_ns, (u - shape) / scale_ns, np.log(u)

    name = f"gamma {shape:g}"
    return Law(
        name, sd_ms, lambda random, count, _: random.gamma(shape, scale_ns, count), scores if shape > 2 else None
    )


def _log_normal(sigma: float, sd_ms: float) -> Law:
    middle_ns = sd_ms * MS / math.sqrt((math.exp(sigma**2) - 1) * math.exp(sigma**2))

    def scores(x: Array) -> Sequence[Array]:
        z = np.log(x / middle_ns) / sigma
        return (1 + z / sigma) / x, z / sigma, (z * z - 1) / sigma

    return Law(
        f"log-normal {sigma:g}",
        sd_ms,
        lambda random, count, _: middle_ns * random.lognormal(0, sigma, count),
        scores,
    )


def _stalls(random: np.random.Generator, count: int, rate_hz: float) -> Array:
    """A quiet wire (0.1 ms) on which twice a second all is held up for 20 ms in the mean and then comes at once."""
    t_ns = np.arange(count) * 1e9 / rate_hz
    late_ns = random.gamma(2, 0.07 * MS, count)
    for _ in range(random.poisson(2 * count / rate_hz)):
        start_ns, length_ns = random.uniform(0, t_ns[-1]), random.exponential(20 * MS)
        held = slice(*np.searchsorted(t_ns, [start_ns, start_ns + length_ns]).tolist())
        late_ns[held] = np.maximum(late_ns[held], start_ns + length_ns - t_ns[held])
    return np.asarray(late_ns)


def bound_ms(law: Law, count: int) -> float | None:
    """Median |error| at the end of a line, at the least, of an unbiased estimator that is told the law's family (Cramer and Rao)."""
    if law.scores is None:
        return None
    draws = law.lateness(np.random.default_rng(0), 400_000, 1.0)
    scores = np.stack(law.scores(draws))
    scores -= scores.mean(axis=1, keepdims=True)
    information = scores @ scores.T / scores.shape[1]
    place = np.linalg.inv(information)[0, 0] + 3 / information[0, 0]
    return float(0.6745 * math.sqrt(place / count) / MS)


@dataclass(frozen=True, slots=True)
class Run:
    """Errors in ms at the newest stamp. sigma_ms: as stated. Peers: the bare hull, the running minimum, the least-squares line."""

    error_ms: float
    sigma_ms: float
    hull_ms: float
    minimum_ms: float
    least_squares_ms: float


def run(law: Law, rate_hz: float, span_s: float, seed: int, *, through_filter: bool = False) -> Run:
    random = np.random.default_rng(seed)
    count, skew = int(rate_hz * span_s), random.uniform(-100e-6, 100e-6)
    x: Array = np.arange(count, dtype=np.float64) * 1e9 / rate_hz
    y: Array = law.lateness(random, count, rate_hz) + skew * x
    truth = skew * x[-1]
    if through_filter:
        error, sigma = _filtered(x, y, truth)
    else:
        floor = floor_under(x, y.copy())
        error, sigma = floor.level_ns + floor.slope * (x[-1] - floor.middle_ns) - truth, floor.sigma_ns
    _, level = np.polyfit(x - x[-1], y, 1)
    return Run(error / MS, sigma / MS, (_hull_at_end(x, y) - truth) / MS, (y.min() - truth) / MS, (level - truth) / MS)


def _filtered(x: Array, y: Array, truth: float) -> tuple[float, float]:
    clock = ClockFilter()
    device = x.astype(np.int64) + START_DEVICE_NS
    host = (x + y).astype(np.int64) + START_HOST_NS
    order = np.argsort(host, kind="stable")
    for device_ns, host_ns in zip(device[order].tolist(), host[order].tolist(), strict=True):
        clock.add(device_ns, host_ns)
    clock.fit()
    fit, newest = clock.history()[-1], int(device[-1])
    return fit.host_from_device(newest) - newest - (START_HOST_NS - START_DEVICE_NS) - truth, fit.sigma_ns


def _hull_at_end(x: Array, y: Array) -> float:
    """Zhang, Liu and Xia 2002: the hull's edge over the middle, drawn on to the end."""
    parts = np.array_split(np.arange(len(x)), min(len(x), 1024))  # a corner of the hull is the least of its part
    corners: list[tuple[float, float]] = []
    for part in parts:
        at = part[int(np.argmin(y[part]))]
        point = (float(x[at]), float(y[at]))
        while len(corners) >= 2 and _not_below(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    for before, after in pairwise(corners):
        slope = (after[1] - before[1]) / (after[0] - before[0])
        if after[0] >= x[-1] / 2:
            break
    return before[1] + slope * (float(x[-1]) - before[0])


def _not_below(before: tuple[float, float], corner: tuple[float, float], after: tuple[float, float]) -> bool:
    (x0, y0), (x1, y1) = before, corner
    return (x1 - x0) * (after[1] - y0) <= (y1 - y0) * (after[0] - x0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of many runs. width: the median stated 95 % interval over the empirical one (2.5 % to 97.5 % of all errors)."""

    runs: int
    median_ms: float
    coverage: float
    width: float
    hull_ms: float
    minimum_ms: float
    least_squares_ms: float


def figures(runs: Sequence[Run]) -> Figures:
    errors, sigmas = np.array([each.error_ms for each in runs]), np.array([each.sigma_ms for each in runs])
    spread = float(np.diff(np.quantile(errors, [0.025, 0.975]))[0])
    return Figures(
        len(runs),
        float(np.median(np.abs(errors))),
        float((np.abs(errors) <= 1.96 * sigmas).mean()),
        3.92 * float(np.median(sigmas)) / spread,
        statistics.median(abs(each.hull_ms) for each in runs),
        statistics.median(abs(each.minimum_ms) for each in runs),
        statistics.median(abs(each.least_squares_ms) for each in runs),
    )


def many(law: Law, rate_hz: float, span_s: float, count: int) -> list[Run]:
    return [run(law, rate_hz, span_s, seed, through_filter=seed % FILTERED_SHARE == 0) for seed in range(count)]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="simulated recordings in all, of 10 s and of 60 s each")
    parser.add_argument("--no-minute", action="store_true", help="leave out those of 60 s")
    words = parser.parse_args()
    started_s, console = time.process_time(), Console(width=180)
    rates = (*PACKET_RATES_HZ, CAMERA_RATE_HZ)
    each = max(words.runs // (len(laws()) * len(rates)), 20)
    rows = [*_errors(console, rates, each, not words.no_minute), *_steps(console, max(each // 10, 2))]
    rows.append(Row("the filter, fits included, at 1280 packets/s", f"{_cost_us(1280.0):.2f} us of CPU a packet"))
    rows.append(Row("this benchmark", f"{time.process_time() - started_s:.0f} s of CPU"))
    show("clocks", rows)


def _errors(console: Console, rates_hz: Sequence[float], runs: int, minute: bool) -> list[Row]:
    table = Table(title="median |error| of the clock at the newest stamp, ms; 95 % intervals as stated")
    for heading in (
        "lateness", "sd ms", "per s", "runs", "10 s", "holds", "width/spread", "60 s", "holds", "width/spread",
        "family's bound", "hull (Zhang 2002)", "running minimum", "least squares",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "lateness" else "right")
    rows: list[Row] = []
    for rate_hz in rates_hz:
        found: list[tuple[Law, Figures]] = []
        for law in laws():
            short = figures(many(law, rate_hz, 10, runs))
            long = figures(many(law, rate_hz, 60, max(runs // 2, 10))) if minute else None
            bound = bound_ms(law, int(10 * rate_hz))
            later = ("", "", "") if long is None else _told(long)
            table.add_row(
                law.name, f"{law.sd_ms:g}", f"{rate_hz:g}", str(short.runs), *_told(short), *later,
                "" if bound is None else f"{bound:.4f}",
                f"{short.hull_ms:.4f}", f"{short.minimum_ms:.4f}", f"{short.least_squares_ms:.3f}",
            )  # fmt: skip
            found.append((law, short))
        table.add_section()
        rows += _rows(rate_hz, found)
    console.print(table)
    return rows


def _told(these: Figures) -> tuple[str, str, str]:
    return f"{these.median_ms:.4f}", f"{these.coverage:.3f}", f"{these.width:.2f}"


def _rows(rate_hz: float, found: Sequence[tuple[Law, Figures]]) -> list[Row]:
    """What a rate comes to: over all laws, and of those on a wire by themselves."""
    wire = [each for law, each in found if law.sd_ms < 8]
    held = sum(each.coverage * each.runs for _, each in found) / sum(each.runs for _, each in found)
    worst, width = max(each.median_ms for each in wire), statistics.median(each.width for _, each in found)
    hull = max(each.hull_ms for each in wire)
    is_packets = rate_hz in PACKET_RATES_HZ
    name = f"{rate_hz:g} packets/s"
    return [
        Row(f"{name}: median |error| after 10 s on a wire, the worst law", f"{worst:.4f} ms (bare hull {hull:.4f})",
            "< 0.1 ms" if is_packets else "", worst < 0.1 if is_packets else None),
        Row(f"{name}: the stated 95 % interval holds, all laws", f"{held:.3f}", ">= 0.93", held >= 0.93),
        Row(f"{name}: its width over the errors' spread, the median law", f"{width:.2f}",
            "<= 1.5" if is_packets else "", width <= 1.5 if is_packets else None),
    ]  # fmt: skip


def _steps(console: Console, runs: int) -> list[Row]:
    table = Table("lateness", "sd ms", "per s", "clock", "steps", "noticed", "latest s", title="clocks that are set")
    cases = ((_gamma(2, 1), 1280.0), (_stalls_law(), 1280.0), (_exponential(0.3), 100.0), (_exponential(0.3), 10.0))
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


def _stalls_law() -> Law:
    return Law("queue with stalls", 4.0, _stalls)


def _cost_us(rate_hz: float) -> float:
    x = np.arange(int(60 * rate_hz)) * 1e9 / rate_hz
    y = np.random.default_rng(1).gamma(2, MS, len(x))
    device, host = x.astype(np.int64).tolist(), (x + y).astype(np.int64).tolist()
    clock, started_s = ClockFilter(), time.process_time()
    for device_ns, host_ns in zip(device, host, strict=True):
        clock.add(device_ns, host_ns + START_HOST_NS)
    return (time.process_time() - started_s) / len(x) * 1e6


if __name__ == "__main__":
    main()
