"""Clocks that are wrong and a transport that takes its time, both by known amounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """device_ns = host_ns + offset_ns + drift_ppm * 1e-6 * (host_ns - start_host_ns), start_host_ns being the host's time at the take's start."""

    offset_ns: int
    drift_ppm: float

    def device_ns(self, t_ns: NDArray[np.int64], start_host_ns: int) -> NDArray[np.int64]:
        """(N,) times since the take's start -> what this clock showed. The drift's part is small, so float64 keeps the nanosecond."""
        drifted = np.round(t_ns * (self.drift_ppm * 1e-6)).astype(np.int64)
        return np.asarray(t_ns + drifted + (start_host_ns + self.offset_ns), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Transport:
    """Every packet takes at least least_latency_ns and an exponentially distributed delay on top; none overtakes another of its stream."""

    least_latency_ns: int
    jitter_mean_ns: int

    def departures_ns(self, captured_ns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """(N,) capture times in order -> (N,) times at which the packets reach the host's socket."""
        delay = self.least_latency_ns + rng.exponential(self.jitter_mean_ns, len(captured_ns))
        return np.asarray(np.maximum.accumulate(captured_ns + delay.astype(np.int64)), dtype=np.int64)
