"""What is missing of an Ouster's packets: by frame and measurement id, and of IMU packets, which bear no number, by their steady time."""

from __future__ import annotations

import statistics
import struct
from collections import deque

from devices.lidars.packet_gaps import PacketGaps, took_as_long
from devices.ouster.metadata import OusterMetadata
from devices.ouster.packet import HEADER_BYTES
from devices.ouster.scan import FASTEST_TURN_NS, SLOWEST_TURN_NS
from devices.udp.source import arrival_ns

# Frame id, which run it is of, place among the packets of a turn, ns of the sensor's clock, host ns of its arrival.
_Place = tuple[int, int, int, int, int]
_STALL_NS = 1_000_000_000  # a link may have held up the earlier packet for so long
_IMU_LEARNT, _IMU_UNSTEADY = 8, 0.2  # intervals; the share of one by which a gap may differ from a multiple of it
_IMU_LATE_NS, _IMU_OUTAGE_NS = 1_000_000_000, 60_000_000_000
_HEAD, _FUSA_HEAD, _COLUMN = struct.Struct("<HHI"), struct.Struct("<II"), struct.Struct("<QHH")


class OusterGaps:
    """Of lidar packets. What a sensor does not send outside its column window is not missing.

    Where the window wraps, a turn may begin with it or with column 0: both are counted, and the order is the one that lacks less.
    """

    def __init__(self, metadata: OusterMetadata) -> None:
        self._legacy, self._fusa = metadata.lidar_profile == "LEGACY", metadata.fusa
        self._first_column = 0 if self._legacy else HEADER_BYTES
        self._columns = metadata.columns_per_packet
        self._frames = 1 << (32 if metadata.fusa else 16)
        sent = dict.fromkeys((metadata.window_columns() // self._columns).tolist())
        self._a_turn = len(sent)
        orders = [{packet: place for place, packet in enumerate(each)} for each in (sorted(sent), sent)]
        if orders[0] == orders[1]:
            orders.pop()
        self._counts = [(order, PacketGaps(self._step)) for order in orders]

    @property
    def missing(self) -> int:
        return min(gaps.missing for _, gaps in self._counts)

    def take(self, data: bytes, _: int | None) -> None:
        """Of every packet that is the sensor's by its size and head."""
        t_ns, number, frame_id = _COLUMN.unpack_from(data, self._first_column)
        run = 0
        if self._fusa:
            run, frame_id = _FUSA_HEAD.unpack_from(data)
        elif not self._legacy:
            _, frame_id, run = _HEAD.unpack_from(data)
        for order, gaps in self._counts:
            place = order.get(number // self._columns)
            if place is not None:
                gaps.take((frame_id, run, place, t_ns, arrival_ns()))

    def _step(self, before: _Place, after: _Place) -> int | None:
        if before[1] != after[1]:
            return None  # a sensor draws its initialization id anew at every start
        frames = after[0] - before[0]
        if frames not in (-1, 0, 1):
            frames = (frames + self._frames // 2) % self._frames - self._frames // 2
            passed_ns = after[3] - before[3]
            can_be = (frames - 1) * FASTEST_TURN_NS < passed_ns < (frames + 1) * SLOWEST_TURN_NS
            if frames > 1 and not (can_be and took_as_long(passed_ns, after[4] - before[4] + _STALL_NS)):
                return None
        return frames * self._a_turn + after[2] - before[2]


class ImuGaps:
    """Of IMU packets: they come at a steady rate that is learnt first; then what is left out shows as a multiple of it.

    Where they arrived sooner than that, the sensor's clock was set.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._intervals_ns: deque[int] = deque(maxlen=15)
        self._newest_ns: int | None = None
        self._arrived_ns = 0

    def take(self, _: bytes, t_ns: int | None) -> None:
        """Of every packet that is the sensor's by its size and head, with its newest reading's time, where it has one."""
        if t_ns is None:
            return
        passed_ns = 0 if self._newest_ns is None else t_ns - self._newest_ns
        if -_IMU_LATE_NS < passed_ns < 0:
            return
        self._newest_ns = t_ns
        arrived_ns, self._arrived_ns = self._arrived_ns, arrival_ns()
        if not 0 < passed_ns < _IMU_OUTAGE_NS:
            return  # the first, a second copy, or a clock that was set
        if len(self._intervals_ns) >= _IMU_LEARNT:
            steps = passed_ns / statistics.median(self._intervals_ns)
            if round(steps) > 1 and abs(steps - round(steps)) < _IMU_UNSTEADY * max(1.0, steps / 10):
                if took_as_long(passed_ns, self._arrived_ns - arrived_ns):
                    self.missing += round(steps) - 1
                return
        self._intervals_ns.append(passed_ns)
