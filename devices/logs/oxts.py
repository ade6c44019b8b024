"""A KITTI drive's oxts/data/*.txt: what an OXTS inertial navigation system, fed by GNSS, says at one instant; thirty numbers in a line.

Order, units and axes: oxts/dataformat.txt of every drive, and the raw data development kit's readme. Position modes: OXTS, NCOM data format.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from devices.device import Rejections
from devices.samples import FixQuality, GnssFix, ImuSample, Packet

_VALUES = 30
_LATITUDE, _LONGITUDE = 0, 1  # deg
_NORTH, _EAST, _UP = 6, 7, 10  # m/s
_ACCELERATION, _ANGULAR_RATE = slice(11, 14), slice(17, 20)  # front, left, top; m/s^2 with gravity, rad/s
_POSITION_MODE = 27  # of the receiver
_QUALITIES = {
    3: FixQuality.THREE_D, 13: FixQuality.THREE_D,
    4: FixQuality.DIFFERENTIAL, 7: FixQuality.DIFFERENTIAL, 8: FixQuality.DIFFERENTIAL, 9: FixQuality.DIFFERENTIAL,
    14: FixQuality.DIFFERENTIAL,
    5: FixQuality.RTK_FLOAT, 15: FixQuality.RTK_FLOAT, 6: FixQuality.RTK_FIXED, 16: FixQuality.RTK_FIXED,
}  # fmt: skip


def inertial(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[ImuSample]:
    values = _numbers(packet.data)
    if values is None:
        rejections.add("not the thirty numbers of an OXTS file")
        return
    yield ImuSample(sensor, packet.stamps.own_ns, values[_ANGULAR_RATE].copy(), values[_ACCELERATION].copy())


def fix(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[GnssFix]:
    """The position is the navigation system's, which reckons on where its receiver has none. Of the height, of the accuracy and of the
    satellites the format does not say what GnssFix states (above what, of what probability, used or seen): they stay in the packet.
    """
    values = _numbers(packet.data)
    if values is None or abs(values[_LATITUDE]) > 90 or abs(values[_LONGITUDE]) > 180:
        rejections.add("not the thirty numbers of an OXTS file")
        return
    yield GnssFix(
        sensor=sensor,
        t_ns=packet.stamps.own_ns,
        latitude_deg=float(values[_LATITUDE]),
        longitude_deg=float(values[_LONGITUDE]),
        altitude_m=None,
        quality=_QUALITIES.get(int(values[_POSITION_MODE]), FixQuality.DEAD_RECKONING),
        velocity_m_s=values[[_EAST, _NORTH, _UP]],
    )


def _numbers(data: bytes) -> NDArray[np.float64] | None:
    try:
        values = np.array([float(each) for each in data.split()], dtype=np.float64)
    except ValueError:
        return None
    return values if len(values) == _VALUES and np.isfinite(values).all() else None
