"""How well a sensor's clock is known: `.venv/bin/python -m benchmarks.clock [--runs N]`, a table beside named peers in the same runs.

Simulated arrivals: device stamps of a regular sensor, a skew of up to 100 ppm, and lateness of several laws. Errors are those of
host_from_device() at the newest stamp. A share of the runs goes packet by packet through the whole filter, which must agree.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.clock_congestion import START_DEVICE_NS, START_HOST_NS, congestion
from benchmarks.clock_laws import MS, Array, Law, family_bound_ms, laws, oracle_ms
from benchmarks.clock_steps import steps
from benchmarks.table import Row, show
from capture.clock.filter import ClockFilter
from capture.clock.floor import floor_under

# Of what the supported sensors send: packets of lidars, samples of IMUs, pictures, fixes.
RATES_HZ = {"lidar": (1800.0, 600.0), "IMU": (100.0,), "camera": (30.0,), "GNSS": (10.0, 1.0)}
FEWEST = 8  # packets, below which the filter gives a guess
FILTERED_SHARE = 20  # every so many runs go through the whole filter
_FREQUENT_HZ = 30.0  # a receiver of 1 or 10 fixes a second has sent next to nothing after 10 s


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
    if through_filter or count < FEWEST:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3300, help="simulated recordings of 10 s, in all")
    parser.add_argument("--minute", action="store_true", help="and half as many of 60 s")
    words = parser.parse_args()
    started_s, console = time.process_time(), Console(width=180)
    each = max(math.ceil(words.runs / (len(laws()) * sum(map(len, RATES_HZ.values())))), 20)
    rows = _errors(console, each, minute=words.minute)
    rows += steps(console, max(each // 10, 2))
    rows += congestion(console, max(each // 10, 2))
    rows.append(Row("the filter, fits included, at 1280 packets/s", f"{_cost_us(1280.0):.2f} us of CPU a packet"))
    rows.append(Row("this benchmark", f"{time.process_time() - started_s:.0f} s of CPU"))
    show("clocks", rows)


@dataclass(frozen=True, slots=True)
class Found:
    """What one law comes to at one rate. oracle_ms: of who knows skew and law; None where delays hang together."""

    sensor: str
    rate_hz: float
    law: Law
    figures: Figures
    runs: Sequence[Run]
    oracle_ms: float | None

    @property
    def is_wire(self) -> bool:
        return self.law.sd_ms < 8

    def __str__(self) -> str:
        return f"{self.law.name}, sd {self.law.sd_ms:g} ms, {self.rate_hz:g}/s"


def _errors(console: Console, runs: int, *, minute: bool) -> list[Row]:
    table = Table(title="median |error| of the clock at the newest stamp, ms; 95 % intervals as stated")
    for heading in (
        "sensor", "per s", "lateness", "sd ms", "runs", "10 s", "holds", "width/spread", "60 s", "holds", "width/spread",
        "knows skew and law", "knows the family", "hull (Zhang 2002)", "running minimum", "least squares",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading in {"sensor", "lateness"} else "right")
    found: list[Found] = []
    for sensor, rate_hz in ((sensor, rate_hz) for sensor, rates_hz in RATES_HZ.items() for rate_hz in rates_hz):
        for law in laws():
            done, packets = many(law, rate_hz, 10, runs), int(10 * rate_hz)
            each = Found(sensor, rate_hz, law, figures(done), done, oracle_ms(law, packets))
            long = _told(figures(many(law, rate_hz, 60, max(runs // 2, 10)))) if minute else ("", "", "")
            table.add_row(
                sensor, f"{rate_hz:g}", law.name, f"{law.sd_ms:g}", str(runs), *_told(each.figures), *long,
                _ms(each.oracle_ms), _ms(family_bound_ms(law, packets)),
                f"{each.figures.hull_ms:.4f}", f"{each.figures.minimum_ms:.4f}", f"{each.figures.least_squares_ms:.3f}",
            )  # fmt: skip
            found.append(each)
        table.add_section()
    console.print(table)
    return [
        *_rows_of_all(found),
        *(row for rate_hz in dict.fromkeys(each.rate_hz for each in found) for row in _rows_of(rate_hz, found)),
    ]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _told(these: Figures) -> tuple[str, str, str]:
    return f"{these.median_ms:.4f}", f"{these.coverage:.3f}", f"{these.width:.2f}"


def _rows_of_all(found: Sequence[Found]) -> list[Row]:
    """Over all rates and laws together, and what they hide: the worst of them by itself."""
    frequent = [each for each in found if each.rate_hz >= _FREQUENT_HZ]
    worst = max(found, key=lambda each: each.figures.median_ms)
    least = min(found, key=lambda each: each.figures.coverage)
    widest = max(found, key=lambda each: each.figures.width)
    return [
        *_rows_together("all", found),
        *_rows_together("lidars', IMUs' and cameras'", frequent),
        Row("the worst by itself: median |error|",
            f"{worst.figures.median_ms:.3f} ms ({worst}; who knows skew and law: {_ms(worst.oracle_ms) or '-'})"),
        Row("the worst by itself: the interval holds", f"{least.figures.coverage:.3f} ({least})"),
        Row("the worst by itself: width over spread", f"{widest.figures.width:.2f} ({widest})"),
    ]  # fmt: skip


def _rows_together(whose: str, found: Sequence[Found]) -> list[Row]:
    runs = [run for each in found for run in each.runs]
    median = float(np.median([abs(run.error_ms) for run in runs]))
    held = sum(abs(run.error_ms) <= 1.96 * run.sigma_ms for run in runs) / len(runs)
    width = statistics.median(each.figures.width for each in found)
    name = f"{whose} {len(runs)} runs, after 10 s"
    return [
        Row(f"{name}: median |error|", f"{median:.4f} ms", "< 0.1 ms", median < 0.1),
        Row(f"{name}: the stated 95 % interval holds", f"{held:.3f}", ">= 0.93", held >= 0.93),
        Row(f"{name}: its width over the errors' spread, the median of laws and rates", f"{width:.2f}", "<= 1.5", width <= 1.5),
    ]  # fmt: skip


def _rows_of(rate_hz: float, found: Sequence[Found]) -> list[Row]:
    at_rate = [each for each in found if each.rate_hz == rate_hz]
    worst = max((each for each in at_rate if each.is_wire), key=lambda each: each.figures.median_ms)
    held = sum(each.figures.coverage for each in at_rate) / len(at_rate)
    width = statistics.median(each.figures.width for each in at_rate)
    name, floor = f"{worst.sensor}, {rate_hz:g}/s", _ms(worst.oracle_ms) or "-"
    beside = f"{worst.law.name}; who knows skew and law: {floor}; bare hull {worst.figures.hull_ms:.3f}"
    return [
        Row(f"{name}: median |error| on a wire, the worst law", f"{worst.figures.median_ms:.4f} ms ({beside})"),
        Row(f"{name}: the interval holds, all laws; width over spread, the median law", f"{held:.3f}; {width:.2f}"),
    ]


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
