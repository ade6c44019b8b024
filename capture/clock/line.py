"""The clock that arrivals show: the line under them in whole nanoseconds, or a guess while they are few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capture.clock.fit import ClockFit
from capture.clock.floor import KnownSkew, floor_under
from capture.clock.window import Arrivals

_GUESS_SIGMA_NS = 1_000_000.0  # at least
_ENOUGH, _ENOUGH_NS = 8, 200_000_000  # arrivals, and their span, below which there is a guess only


def line_under(held: Arrivals, known: KnownSkew | None, from_host_ns: int, stretch: int) -> ClockFit:
    """known: of the clock's skew beforehand; a guess takes it for this machine's."""
    x_ns = (held.device_ns - held.device_ns[0]).astype(np.float64)
    y_ns = (held.offset_ns - held.offset_ns[0]).astype(np.float64)
    if (np.diff(x_ns) < 0).any():
        order = np.argsort(x_ns, kind="stable")
        x_ns, y_ns = x_ns[order], y_ns[order]
    origin_ns, offset_ns = int(held.device_ns[0]), int(held.offset_ns[0])
    if len(held) < _ENOUGH or x_ns[-1] - x_ns[0] < _ENOUGH_NS:
        least = float(y_ns.min())
        sigma_ns = max(float(np.median(y_ns)) - least, _GUESS_SIGMA_NS)
        return ClockFit(origin_ns, offset_ns + round(least), 0.0, sigma_ns, len(held), from_host_ns, stretch)
    floor = floor_under(x_ns, y_ns, known)
    return ClockFit(
        origin_ns + round(floor.middle_ns),
        offset_ns + round(floor.level_ns),
        floor.slope * 1e6,
        floor.sigma_ns,
        len(held),
        from_host_ns,
        stretch,
        floor.slope_sigma * 1e6,
    )


def lateness_after(fit: ClockFit, held: Arrivals) -> NDArray[np.float64]:
    """(N,) ns after the line; its rate is taken at the arrivals, since a wrong stamp may lie anywhere."""
    since_ns = held.host_ns - (fit.reference_device_ns + fit.host_minus_device_ns)
    skew = fit.skew_ppm * 1e-6
    return (held.offset_ns - fit.host_minus_device_ns) - since_ns * (skew / (1 + skew))
