"""What is known of a sensor's clock, and which of a recording's fits speaks of a packet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockFit:
    """host = device + host_minus_device_ns + skew * (device - reference_device_ns): when a packet arrives that waits least.

    sigma_ns: of host_from_device() at the newest sample, of which 1.96 either way are the 95 % interval. samples: how many arrivals it rests on.
    from_host_ns: it holds for packets that arrived from then on, until the next fit's. stretch: counted up whenever the sensor's
    clock was set; fits of one stretch follow one another without a step. skew_sigma_ppm: None where nobody can tell.
    """

    reference_device_ns: int
    host_minus_device_ns: int
    skew_ppm: float
    sigma_ns: float
    samples: int
    from_host_ns: int = 0
    stretch: int = 0
    skew_sigma_ppm: float | None = None

    @property
    def is_guess(self) -> bool:
        """Whether nothing is known of the clock's rate: too few arrivals, or in too short a time."""
        return self.skew_sigma_ppm is None and self.skew_ppm == 0.0  # recordings of old give a rate without its sigma

    def host_from_device(self, device_ns: int) -> int:
        """The host's time of an instant on the sensor's clock, plus the transport's least latency."""
        return (
            device_ns + self.host_minus_device_ns + round((device_ns - self.reference_device_ns) * self.skew_ppm * 1e-6)
        )


def fit_at(fits: Sequence[ClockFit], host_ns: int) -> ClockFit | None:
    """The fit that holds for a packet of this arrival, of fits in the order of their from_host_ns; the first one before them all."""
    if not fits:
        return None
    return fits[max(bisect_right(fits, host_ns, key=lambda fit: fit.from_host_ns) - 1, 0)]


def fits_since(fits: Sequence[ClockFit], host_ns: int) -> tuple[ClockFit, ...]:
    """Those, of fits in the order of their from_host_ns, that hold for arrivals from then on."""
    return tuple(fits[max(bisect_right(fits, host_ns, key=lambda fit: fit.from_host_ns) - 1, 0) :])


def steps_in(fits: Sequence[ClockFit]) -> int:
    """How often a clock was set while these fits were made."""
    return len({fit.stretch for fit in fits}) - 1 if fits else 0
