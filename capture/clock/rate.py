"""The rate that a clock had, for as long as arrivals alone would tell less: it is a crystal's."""

from __future__ import annotations

import math

from capture.clock.fit import ClockFit
from capture.clock.floor import KnownSkew

_DOUBT = 3.0  # times as far off as stated may a rate be that was found from few seconds


class KeptRate:
    """Of the last clock that was known well enough, until it is forgotten or too old."""

    def __init__(self) -> None:
        self._skew: KnownSkew | None = None
        self._until_ns = 0

    def keep(self, fit: ClockFit, wander_ppm: float, until_ns: int) -> None:
        """wander_ppm: what it may have become since."""
        if fit.skew_sigma_ppm is not None:
            sigma_ppm = math.hypot(_DOUBT * fit.skew_sigma_ppm, wander_ppm)
            self._skew, self._until_ns = KnownSkew(fit.skew_ppm * 1e-6, sigma_ppm * 1e-6), until_ns

    def forget(self) -> None:
        self._skew = None

    def at(self, host_ns: int) -> KnownSkew | None:
        """For good forgotten once it is too old."""
        if host_ns > self._until_ns:
            self._skew = None
        return self._skew
