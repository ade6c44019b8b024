"""Hesai packets gathered over a turn, and the points in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from devices.hesai.firing import firing_ns
from devices.hesai.packet import Head, Packets, packets_of, read_head
from devices.lidars.succession import HALF_TURN_NS, LONGEST_TURN_NS
from devices.samples import Packet, Sweep

_TURN = 36000

_Read = tuple[Packets, Head, bytes]


class HesaiTurns:
    """Data packets -> one Sweep a turn, which begins with the block whose azimuth passes cut_deg (whole firings, all channels).

    return_number: 0 the nearest return of a firing; the order in which packets hold them differs between models and
    firmware. Returns at the same distance are one point. ring 0 is the highest beam. intensity is the reflectivity, 0 to 255. No
    range is left out but zero. Frame: Hesai's, x right, y forward (where the azimuth is 0), z up. A channel's azimuth is the block's plus its
    offset; that the head turns on between block and firing (up to 0.2 degrees at 10 turns a second) is left to the point's own time.
    """

    def __init__(self, sensor: str, packets: Packets | None, angles_deg: NDArray[np.float64], cut_deg: float) -> None:
        self._sensor = sensor
        self._packets = packets  # None: the first packet that makes sense says it
        self._angles_deg = angles_deg
        self._cut = round(cut_deg * 100) % _TURN
        self._turn: _Turn | None = None
        self._geometry: _Geometry | None = None

    def read(self, packet: Packet) -> tuple[int, _Read] | str:
        packets = self._packets or self._told_by(packet.data)
        if packets is None:
            return "another model"
        head = read_head(packet.data, packets)
        return head if isinstance(head, str) else (head.t_ns, (packets, head, packet.data))

    def _told_by(self, data: bytes) -> Packets | None:
        packets = packets_of(data)
        if (
            packets is not None
            and packets.channels == len(self._angles_deg)
            and not isinstance(read_head(data, packets), str)
        ):
            self._packets = packets
        return self._packets

    def add(self, read: _Read, *, leapt: bool) -> Iterator[Sweep]:
        packets, head, data = read
        turn = self._turn
        if turn is not None and (leapt or not turn.goes_on_with(head)):
            yield from self.finish()
            turn = None
        if turn is None:
            turn = self._turn = _Turn(packets, head)
        cut = self._cut_in(turn, head)
        if cut is None:
            turn.add(head, data)
            return
        if cut > 0:
            turn.add(head, data)
            turn.end_block = len(turn.heads) * packets.blocks - packets.blocks + cut
        yield from self.finish()
        self._turn = _Turn(packets, head, first_block=cut)
        self._turn.add(head, data)

    def _cut_in(self, turn: _Turn, head: Head) -> int | None:
        """The block of the packet with which a turn begins. In either sense of rotation the angle from the cut then leaps."""
        before = turn.last_angle
        for number, azimuth in enumerate(head.azimuths):
            angle = (azimuth - self._cut) % _TURN
            if before is not None and abs(angle - before) > _TURN // 2:
                turn.last_angle = None
                return number
            before = angle
        turn.last_angle = before
        return None

    def finish(self) -> Iterator[Sweep]:
        turn, self._turn = self._turn, None
        if turn is None or not turn.heads:
            return
        if self._geometry is None:
            self._geometry = _Geometry(turn.packets, self._angles_deg)
        sweep = self._geometry.sweep(self._sensor, turn)
        if len(sweep):
            yield sweep


class _Turn:
    """The packets of one turn. first_block, end_block: which of all their blocks belong to it."""

    def __init__(self, packets: Packets, head: Head, first_block: int = 0) -> None:
        self.packets = packets
        self.first_block = first_block
        self.end_block: int | None = None
        self.heads: list[Head] = []
        self.datas: list[bytes] = []
        self.last_angle: int | None = None
        self._of_one_kind = (head.returns, head.unit_mm)
        self._start_ns = head.t_ns

    def goes_on_with(self, head: Head) -> bool:
        since_ns = head.t_ns - (self.heads[-1].t_ns if self.heads else self._start_ns)
        return (
            (head.returns, head.unit_mm) == self._of_one_kind
            and since_ns <= HALF_TURN_NS
            and head.t_ns - self._start_ns < LONGEST_TURN_NS
        )

    def add(self, head: Head, data: bytes) -> None:
        start = self.packets.header_bytes
        self.heads.append(head)
        self.datas.append(data[start : self.packets.blocks_end])


class _Geometry:
    """Where and when every channel of every block looks."""

    def __init__(self, packets: Packets, angles_deg: NDArray[np.float64]) -> None:
        elevation, azimuth = np.radians(angles_deg).T
        self._packets = packets
        self._dtype = packets.block_dtype
        self._along = (np.cos(elevation) * np.cos(azimuth)).astype(np.float32)
        self._across = (np.cos(elevation) * np.sin(azimuth)).astype(np.float32)
        self._up = np.sin(elevation).astype(np.float32)
        self._ring = np.empty(len(elevation), dtype=np.uint16)
        self._ring[np.argsort(-elevation, kind="stable")] = np.arange(len(elevation))
        turn = np.radians(np.arange(_TURN) / 100)
        self._sine, self._cosine = np.sin(turn).astype(np.float32), np.cos(turn).astype(np.float32)
        self._firing_ns: dict[int, NDArray[np.int64]] = {}

    def sweep(self, sensor: str, turn: _Turn) -> Sweep:
        """Block by block, channel by channel."""
        chosen, returns = slice(turn.first_block, turn.end_block), turn.heads[0].returns
        blocks = np.frombuffer(b"".join(turn.datas), dtype=self._dtype)[chosen]
        distance = np.ascontiguousarray(blocks["channels"]["distance"])
        number, kept = _numbered(distance, returns)
        which = np.flatnonzero(kept)
        offset_ns = self._after_first_packet_ns(turn)[chosen].reshape(-1).take(which)
        first_ns = int(offset_ns.min()) if len(which) else 0
        range_m = distance * np.float32(turn.heads[0].unit_mm / 1000)
        return Sweep(
            sensor=sensor,
            t_ns=turn.heads[0].t_ns + first_ns,
            points_m=self._points(blocks["azimuth"], range_m).reshape(-1, 3).take(which, axis=0),
            intensity=blocks["channels"]["reflectivity"].reshape(-1).take(which).astype(np.float32),
            offset_ns=offset_ns - first_ns,
            return_number=number.reshape(-1).take(which) if returns > 1 else np.zeros(len(which), dtype=np.uint8),
            ring=np.tile(self._ring, len(blocks)).take(which),
        )

    def _points(self, azimuth: NDArray[np.uint16], range_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """(blocks,) and (blocks, channels) -> (blocks, channels, 3): the sine of block's and channel's angle together, by the sum formula."""
        sine, cosine = self._sine[azimuth][:, None], self._cosine[azimuth][:, None]
        points = np.empty((*range_m.shape, 3), dtype=np.float32)
        points[..., 0] = range_m * (sine * self._along + cosine * self._across)
        points[..., 1] = range_m * (cosine * self._along - sine * self._across)
        points[..., 2] = range_m * self._up
        return points

    def _after_first_packet_ns(self, turn: _Turn) -> NDArray[np.int64]:
        """(blocks, channels) of all the turn's packets."""
        returns = turn.heads[0].returns
        if returns not in self._firing_ns:
            self._firing_ns[returns] = firing_ns(self._packets.model, self._packets.blocks, returns)
        stamps = np.array([head.t_ns - turn.heads[0].t_ns for head in turn.heads], dtype=np.int64)
        flags = np.array([head.flag for head in turn.heads])
        times = self._firing_ns[returns][flags] + stamps[:, None, None]
        return np.asarray(times.reshape(-1, self._packets.channels))


def _numbered(distance: NDArray[np.uint16], returns: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(blocks, channels) the return number by distance, and whether it is a point: measured, and not the same as one before it."""
    if returns == 1:
        return np.zeros((0, 0), dtype=np.uint8), distance != 0
    firings = distance.reshape(-1, returns, distance.shape[1])
    kept = firings != 0
    for one in range(1, returns):
        for before in range(one):
            kept[:, one] &= firings[:, one] != firings[:, before]
    number = np.zeros(firings.shape, dtype=np.uint8)
    for one in range(returns):
        for other in range(returns):
            if other != one:
                number[:, one] += kept[:, other] & (firings[:, other] < firings[:, one])
    return number.reshape(distance.shape), kept.reshape(distance.shape)
