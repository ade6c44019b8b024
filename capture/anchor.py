"""Between recordings host time follows this machine's wall clock, and the sensors' clocks are found anew wherever it has jumped."""

from __future__ import annotations

import time

from capture.clock.follower import ClockFollower
from devices.host_clock import HOST_CLOCK

_STALE_S = 0.5  # after which no packet is under way any more that bears a host time by the last anchor
_SETTLE_S = _STALE_S + 0.5  # until the sensors' clocks are found anew


class Anchor:
    """The anchor of host time, by which one recorder's packets are stamped."""

    def __init__(self, clocks: ClockFollower) -> None:
        self._clocks = clocks
        self._anchor_ns = HOST_CLOCK.anchor_ns
        self._settled_s = 0.0

    def follow(self) -> None:
        """Where no recording holds it, host time jumps to where this machine's clock was set."""
        HOST_CLOCK.anchor_anew()
        if HOST_CLOCK.anchor_ns != self._anchor_ns:  # another recorder of this process may have moved it, too
            self._anchor_ns = HOST_CLOCK.anchor_ns
            self._clocks.begin_anew(_STALE_S)
            self._settled_s = time.monotonic() + _SETTLE_S

    def settle(self) -> bool:
        """Waits until nothing comes any more that bears a time by the last anchor. Returns whether something may have."""
        left_s = self._settled_s - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(left_s)
        return True
