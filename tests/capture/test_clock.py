"""The clock filter against simulated clocks whose truth is known."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
import pytest

from capture.clock import ClockFilter, ClockFit

HOST_NS = 1_790_000_000_000_000_000
SKEW = 40e-6  # d(host - device) / d(device)


def arrivals(seed: int, shape: float, rate_hz: float, span_s: float) -> Iterator[tuple[int, int, int]]:
    """(device, host, host without jitter). Gamma jitter with an sd between 7 and 9 ms."""
    random = np.random.default_rng(seed)
    start = int(random.integers(0, 10**15))
    count = int(rate_hz * span_s)
    jitter = random.gamma(shape, random.uniform(7e6, 9e6) / np.sqrt(shape), count)
    for index, late in enumerate(jitter.tolist()):
        t_ns = round(index * 1e9 / rate_hz)
        true = HOST_NS + t_ns + round(t_ns * SKEW)
        yield start + t_ns, true + round(late), true


def run(seed: int, shape: float, rate_hz: float, span_s: float) -> tuple[int, ClockFit]:
    """The error at the newest sample after span_s, and the fit."""
    clock, device, true = ClockFilter(), 0, 0
    for device, host, true in arrivals(seed, shape, rate_hz, span_s):  # noqa: B007
        clock.add(device, host)
    fit = clock.fit()
    assert fit is not None
    return fit.host_from_device(device) - true, fit


@pytest.mark.parametrize(
    ("shape", "rate_hz", "error_ms", "coverage"),
    [(1.0, 100, 0.03, 0.93), (1.5, 640, 0.06, 0.93), (2.0, 640, 0.15, 0.90)],
)
def test_ten_seconds_suffice_and_the_stated_interval_holds(
    shape: float, rate_hz: float, error_ms: float, coverage: float
) -> None:
    errors, held, widths = [], 0, []
    for seed in range(200 if rate_hz == 100 else 100):
        error, fit = run(seed, shape, rate_hz, 10)
        errors.append(error)
        widths.append(fit.sigma_ns)
        held += abs(error) <= 1.96 * fit.sigma_ns
    median_ms = statistics.median(map(abs, errors)) / 1e6
    print(  # noqa: T201
        f"\ngamma({shape}) jitter at {rate_hz:g}/s, {len(errors)} runs: median error {median_ms:.4f} ms, 95 % interval holds "
        f"{held / len(errors):.3f}, median sigma / spread {statistics.median(widths) / statistics.stdev(errors):.2f}"
    )
    assert median_ms < error_ms
    assert held / len(errors) >= coverage
    assert statistics.median(widths) < 2.5 * statistics.stdev(errors)


def test_skew_is_found_and_a_minute_is_better_than_ten_seconds() -> None:
    short = [run(seed, 1.0, 100, 10) for seed in range(20)]
    long = [run(seed, 1.0, 100, 60) for seed in range(20)]
    assert statistics.median(abs(fit.skew_ppm - 40) for _, fit in long) < 0.3
    assert statistics.median(abs(error) for error, _ in long) < statistics.median(abs(error) for error, _ in short) / 2


def test_nanoseconds_survive_where_a_float_would_lose_them() -> None:
    clock = ClockFilter()
    for t_ns in range(0, 2_000_000_000, 10_000_000):
        clock.add(HOST_NS + t_ns + 1, HOST_NS + t_ns + 38)
    fit = clock.fit()
    assert fit is not None
    assert fit.host_from_device(HOST_NS + 123_456_789) == HOST_NS + 123_456_789 + 37


def test_a_first_moment_does_not_extrapolate_its_jitter_into_skew() -> None:
    clock = ClockFilter()
    clock.add(0, HOST_NS + 9_000_000)
    clock.add(1_000_000, HOST_NS + 1_000_000)
    fit = clock.fit()
    assert fit is not None
    assert abs(fit.skew_ppm) <= 500
    assert fit.sigma_ns >= 1e6


def test_stamps_that_stand_still_are_passed_over_and_a_restarted_clock_begins_anew() -> None:
    clock = ClockFilter()
    assert clock.fit() is None
    for t_s in range(100):
        clock.add(10**12 + t_s * 10**9, HOST_NS + t_s * 10**9)
        clock.add(10**12 + t_s * 10**9, HOST_NS + t_s * 10**9 - 50_000_000)
    assert clock.samples == 100
    for t_s in range(100, 110):
        clock.add(t_s * 10**9, HOST_NS + t_s * 10**9)
    fit = clock.fit()
    assert clock.restarts == 1
    assert fit is not None
    assert fit.host_from_device(109 * 10**9) == HOST_NS + 109 * 10**9


def test_the_filter_s_memory_does_not_grow_with_its_samples() -> None:
    clock = ClockFilter()
    for device, host, _ in arrivals(1, 1.0, 640, 60):
        clock.add(device, host)
    assert sum(len(hull) for hull in clock._hulls) < 400
