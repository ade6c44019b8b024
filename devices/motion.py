"""Gyroscope and accelerometer of a camera, each at its own rate: one measurement a packet, and together ImuSamples.

A packet: u8 kind (1 angular rate in rad/s, 2 acceleration in m/s^2), three zeros, three float32, little-endian.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from devices.device import Rejections
from devices.samples import ImuSample, Packet
from devices.sdk.fed_process import ACCELERATION, ANGULAR_RATE, MOTION

ENCODING = "motion"
_PENDING_MAX = 4096  # angular rates without an acceleration: its sensor has failed

_Measured = tuple[int, NDArray[np.float64]]


class MotionDecoder:
    """An ImuSample at each angular rate, with the acceleration interpolated linearly between the measurements around it."""

    carries_over = True

    def __init__(self, sensor: str) -> None:
        self._sensor = sensor
        self._rejections = Rejections()
        self._acceleration: _Measured | None = None
        self._pending: list[_Measured] = []

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts

    def decode(self, packet: Packet) -> Iterable[ImuSample]:
        if len(packet.data) != MOTION.size:
            self._rejections.add("not as long as a measurement")
            return []
        kind, *values = MOTION.unpack(packet.data)
        if kind not in (ANGULAR_RATE, ACCELERATION) or not all(math.isfinite(value) for value in values):
            self._rejections.add("no measurement")
            return []
        measured = (packet.stamps.own_ns, np.array(values, dtype=np.float64))
        if kind == ACCELERATION:
            return self._between(measured)
        self._pending.append(measured)
        if len(self._pending) > _PENDING_MAX:
            self._pending.pop(0)
            self._rejections.add("no acceleration beside it")
        return []

    def flush(self) -> Iterable[ImuSample]:
        for _ in self._pending:
            self._rejections.add("no acceleration beside it")
        self._pending.clear()
        return []

    def _between(self, newer: _Measured) -> list[ImuSample]:
        """The angular rates up to a new acceleration, which becomes the older one."""
        older, self._acceleration = self._acceleration, newer
        pending, self._pending = self._pending, []
        samples = []
        for t_ns, rate in pending:
            if t_ns > newer[0]:
                self._pending.append((t_ns, rate))
            elif older is None or t_ns < older[0]:
                self._rejections.add("no acceleration beside it")
            else:
                part = (t_ns - older[0]) / max(1, newer[0] - older[0])
                samples.append(ImuSample(self._sensor, t_ns, rate, older[1] + part * (newer[1] - older[1])))
        return samples
