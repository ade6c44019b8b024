"""What is missing of a Velodyne's packets, which bear no number: a laser fires at a fixed beat, so their times tell."""

from __future__ import annotations

from typing import NamedTuple

from devices.lidars.packet_gaps import PacketGaps, took_as_long
from devices.velodyne.hour_clock import HOUR_US
from devices.velodyne.packet import DUAL_RETURN, FULL_TURN, Kind, azimuths, return_mode

_ON_THE_BEAT = 0.25  # of a period by which a gap may differ from whole periods
_SHORT_US = 100_000  # a gap that the beat and the azimuth tell; a longer one must show in the packets' arrival, too
_ALL_AROUND = (1 << 360) - 1
_BRIDGED = 3  # packets on: so small a gap hides no part of the turn


class _Place(NamedTuple):
    """Azimuths in 0.01 degrees: of the first and the last block."""

    us: int
    first: int
    last: int
    mode: int
    host_ns: int


class VelodyneGaps:
    """Of data packets. A clock that is set is no loss: the head has not turned meanwhile, or nothing was awaited so long.

    Lidars may be told to send a part of the turn only, and nothing in a packet says so: what seems to be missing counts once all
    degrees of the turn have been seen, and of a lidar that sends a part nothing counts.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._gaps: PacketGaps[_Place] = PacketGaps(self._step)
        self._turned: int | None = None  # 0.01 degrees from one packet to the next
        self._seen = 0  # bit n: whether something came from n degrees
        self._told = self._passed_over = 0
        self._before: _Place | None = None

    @property
    def missing(self) -> int:
        if self._seen == _ALL_AROUND:
            self._told = self._gaps.missing - self._passed_over
        return self._told

    def take(self, data: bytes, us_past_hour: int, host_ns: int) -> None:
        """Of every data packet of the model."""
        place = _Place(us_past_hour, *azimuths(data, self._kind), return_mode(data), host_ns)
        before, self._before = self._before, place
        if before is None or (self._turned is None and self._step(before, place) != 1):
            return  # two neighbours tell how fast the head turns
        if self._leaves_out_a_part(place):
            self._passed_over = self._gaps.missing - self.missing
            self._seen = 0
        step = self._gaps.take(place)
        if self._seen != _ALL_AROUND:
            self._see(before.last if step is not None and 0 < step <= _BRIDGED else place.first, place)

    def _step(self, before: _Place, after: _Place) -> int | None:
        if after.mode != before.mode:
            return None
        passed_us = (after.us - before.us + HOUR_US // 2) % HOUR_US - HOUR_US // 2
        period_us = self._kind.period_us[after.mode == DUAL_RETURN]
        beats = passed_us / period_us
        if abs(beats - 1) < _ON_THE_BEAT / 4:
            self._turned = (after.first - before.first) % FULL_TURN
            return 1
        step = round(beats)
        if step <= 1:
            return 1 if passed_us > 0 and step == 0 else step
        if self._leaves_out_a_part(before):
            return 1
        return step if self._were_sent(step, beats, passed_us, before, after) else None

    def _were_sent(self, step: int, beats: float, passed_us: int, before: _Place, after: _Place) -> bool:
        """Whether so many packets were sent meanwhile."""
        if passed_us > _SHORT_US:
            return took_as_long(passed_us * 1000, after.host_ns - before.host_ns)
        if self._turned is None or abs(beats - step) > _ON_THE_BEAT:
            return False
        expected = step * self._turned
        off = (after.first - before.first - expected + FULL_TURN // 2) % FULL_TURN - FULL_TURN // 2
        return abs(off) <= self._turned / 2 + expected * 0.03

    def _leaves_out_a_part(self, place: _Place) -> bool:
        """Whether blocks that lie far apart follow each other within a packet."""
        return self._turned is not None and (place.last - place.first) % FULL_TURN > 2 * self._turned + 200

    def _see(self, begin: int, place: _Place) -> None:
        if self._leaves_out_a_part(place):
            return
        first, last = begin // 100, place.last // 100
        run = (1 << (last - first) % 360 + 1) - 1 << first
        self._seen |= (run | run >> 360) & _ALL_AROUND
