"""Velodyne packets gathered over a turn, and the points in them: velodyne-decoder knows every beam's angle, height and firing time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from devices.lidars.succession import HALF_TURN_NS, LONGEST_TURN_NS
from devices.samples import Packet, Sweep
from devices.velodyne.hour_clock import HOUR_US, HourClock, nearest_hour
from devices.velodyne.packet import DUAL_RETURN, FULL_TURN, Kind, azimuths, fault_of, return_mode, us_past_hour

_LAST = 2  # velodyne-decoder's return_type: 1 strongest, 2 last, 3 both in one
_Read = tuple[int, bytes]  # a packet's time in ns, and its bytes


class VelodyneTurns:
    """Data packets -> one Sweep a turn, from packet to packet: the one in which the head passes where it began ends it.

    ring 0 is the highest beam. intensity is the sensor's calibrated reflectivity, 0 to 255. return_number 0 is the strongest return
    (or the only one that was asked for), 1 the last where another one. Points closer than 0.1 m are the housing and left out.
    """

    def __init__(self, sensor: str, kind: Kind) -> None:
        self._sensor = sensor
        self._kind = kind
        self._clock = HourClock()
        self._decoder = _scan_decoder(kind)
        self._turn: list[_Read] = []
        self._began_at: int | None = (
            None  # where the head stood when the turn began, hundredths of a degree; None: anywhere
        )
        self._turned = 0  # how far it has turned since

    def read(self, packet: Packet) -> tuple[int, _Read] | str:
        data = packet.data
        fault = fault_of(data, self._kind)
        if fault:
            return fault
        if packet.stamps.device_ns is None:
            t_ns = self._clock.ns(us_past_hour(data), packet.stamps.host_ns)
        else:
            t_ns = nearest_hour(us_past_hour(data) * 1000, packet.stamps.device_ns)
        return t_ns, (t_ns, data)

    def add(self, read: _Read, *, leapt: bool) -> Iterator[Sweep]:
        t_ns, data = read
        first, last = azimuths(data, self._kind)
        if self._turn:
            start_ns, newest_ns, mode = self._turn[0][0], self._turn[-1][0], return_mode(self._turn[-1][1])
            if (
                leapt
                or t_ns - newest_ns > HALF_TURN_NS
                or t_ns - start_ns > LONGEST_TURN_NS
                or mode != return_mode(data)
            ):
                yield from self.finish()
            elif self._passes(first):  # in the packets that are missing before this one
                yield from self._sweep()
        if self._began_at is None:
            self._began_at = last
        self._turn.append(read)
        if self._passes(last):
            self._began_at = last
            yield from self._sweep()
        self._turned = (last - self._began_at) % FULL_TURN

    def finish(self) -> Iterator[Sweep]:
        yield from self._sweep()
        self._decoder = _scan_decoder(self._kind)
        self._began_at = None

    def _passes(self, azimuth: int) -> bool:
        """Whether the head has passed where the turn began, once it is there."""
        turned = (azimuth - (self._began_at or 0)) % FULL_TURN
        return self._turned > FULL_TURN // 2 and turned < self._turned

    def _sweep(self) -> Iterator[Sweep]:
        turn, self._turn, self._turned = self._turn, [], 0
        if not turn:
            return
        stamps, points = self._decoder.decode(_packets(turn), True)
        if not len(points):
            return
        # The stamp is a float of seconds, good to 0.24 us: enough to know the microsecond that the packet said.
        stamp_ns = nearest_hour(round(stamps.device * 1e6) % HOUR_US * 1000, turn[-1][0])
        after_ns = np.rint(points["time"].astype(np.float64) * 1e9).astype(np.int64)
        first_ns = int(after_ns.min())
        is_second = (points["return_type"] == _LAST) & (return_mode(turn[-1][1]) == DUAL_RETURN)
        yield Sweep(
            sensor=self._sensor,
            t_ns=stamp_ns + first_ns,
            points_m=np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float32, copy=False),
            intensity=points["intensity"].astype(np.float32),
            offset_ns=after_ns - first_ns,
            return_number=is_second.astype(np.uint8),
            ring=np.uint16(self._kind.beams - 1) - points["ring"].astype(np.uint16),
        )


def _scan_decoder(kind: Kind) -> Any:
    import velodyne_decoder

    model = getattr(velodyne_decoder.Model, kind.decoder_name)
    return velodyne_decoder.ScanDecoder(velodyne_decoder.Config(model=model, max_range=float("inf")))


def _packets(turn: list[_Read]) -> Any:
    import velodyne_decoder

    packet = velodyne_decoder.VelodynePacket
    return velodyne_decoder.PacketVector([packet(t_ns * 1e-9, data) for t_ns, data in turn])
