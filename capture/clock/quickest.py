"""The arrival that waited least for some time: the one that is worth telling of."""

from __future__ import annotations

import numpy as np

from capture.clock.fit import ClockFit
from capture.clock.line import lateness_after
from capture.clock.window import Arrivals


class Quickest:
    def __init__(self) -> None:
        self._least: tuple[float, int, int] | None = None

    def see(self, slot: Arrivals, fit: ClockFit) -> None:
        lateness = lateness_after(fit, slot)
        at = int(np.argmin(lateness))
        if self._least is None or lateness[at] < self._least[0]:
            self._least = (float(lateness[at]), int(slot.device_ns[at]), int(slot.host_ns[at]))

    def take(self) -> tuple[int, int] | None:
        """(device, host), which is then gone from here."""
        least, self._least = self._least, None
        return None if least is None else least[1:]
