"""Livox point packets gathered over a window of time: one Sweep each, since their pattern never repeats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from devices.device import Rejections
from devices.livox.packet import (
    FIRST,
    HEAD_BYTES,
    IMU_BYTES,
    IMU_FIRST,
    IMU_SECOND,
    SECOND,
    Head,
    Kind,
    Layout,
    read_head,
)
from devices.samples import STANDARD_GRAVITY, ImuSample, Packet, Sweep


class LivoxWindows:
    """Point packets -> one Sweep a window.

    Windows begin at whole multiples of their length on the sensor's clock, so that synchronised lidars cut alike; a packet belongs to the
    window of its first point. Every point is kept whatever its tag says of rain, dust or glue between objects; only those
    of no range are left out. return_number is the place within the firing. ring is the laser that fired, as Livox
    numbers its lines: they are not in order of height. intensity is the reflectivity, 0 to 255 (above 150: a retroreflector).
    """

    def __init__(self, sensor: str, kind: Kind, window_ns: int) -> None:
        self._sensor = sensor
        self._kind = kind
        self._window_ns = window_ns
        self._layouts = SECOND if kind.second_protocol else FIRST
        self._head_bytes = HEAD_BYTES[kind.second_protocol]
        self._heads: list[Head] = []
        self._payloads: list[bytes] = []

    def read(self, packet: Packet) -> tuple[int, tuple[Head, bytes]] | str:
        head = read_head(packet.data, self._kind)
        if isinstance(head, str):
            return head
        return (head.t_ns, (head, packet.data)) if head.data_type in self._layouts else "not a point packet"

    def add(self, read: tuple[Head, bytes], *, leapt: bool) -> Iterator[Sweep]:
        head, data = read
        if self._heads:
            first = self._heads[0]
            same_window = head.t_ns // self._window_ns == first.t_ns // self._window_ns
            if leapt or not same_window or head.data_type != first.data_type:
                yield from self.finish()
        self._heads.append(head)
        self._payloads.append(data[self._head_bytes :])

    def finish(self) -> Iterator[Sweep]:
        heads, self._heads = self._heads, []
        payloads, self._payloads = self._payloads, []
        if heads:
            layout = self._layouts[heads[0].data_type]
            firings = np.frombuffer(b"".join(payloads), dtype=layout.firing)
            sweep = _sweep(self._sensor, heads, firings, layout, self._kind.lines)
            if len(sweep):
                yield sweep


def _sweep(sensor: str, heads: list[Head], firings: NDArray[np.void], layout: Layout, lines: int) -> Sweep:
    """The returns of a window, firing by firing, first return before second."""
    counts = np.array([head.firings for head in heads])
    start_ns = np.array([head.t_ns - heads[0].t_ns for head in heads], dtype=np.int64)
    spacing_ns = np.array([head.firing_ns for head in heads])
    within = np.arange(len(firings)) - np.repeat(np.cumsum(counts) - counts, counts)  # a firing's place in its packet
    offset_ns = np.repeat(start_ns, counts) + np.rint(within * np.repeat(spacing_ns, counts)).astype(np.int64)
    points_m, measured = _spherical_points(firings, layout) if layout.spherical else _cartesian_points(firings, layout)
    firing, place = np.nonzero(measured)
    offset_ns = offset_ns[firing]
    first_ns = int(offset_ns[0]) if len(offset_ns) else 0
    return Sweep(
        sensor=sensor,
        t_ns=heads[0].t_ns + first_ns,
        points_m=points_m[measured],
        intensity=firings["returns"]["reflectivity"][measured].astype(np.float32),
        offset_ns=offset_ns - first_ns,
        return_number=place.astype(np.uint8),
        ring=(within % lines).astype(np.uint16)[firing],
    )


def _cartesian_points(firings: NDArray[np.void], layout: Layout) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(N, R, 3) m and (N, R) whether it was measured."""
    points = firings["returns"]["xyz"].astype(np.float32)
    measured = (points[..., 0] != 0) | (points[..., 1] != 0) | (points[..., 2] != 0)
    points *= np.float32(layout.unit_m)
    return points, measured


def _spherical_points(firings: NDArray[np.void], layout: Layout) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Zenith from the z axis, azimuth from x towards y, both in hundredths of a degree."""
    depth = firings["returns"]["depth"]
    zenith, azimuth = np.radians(firings["zenith"] * 0.01), np.radians(firings["azimuth"] * 0.01)
    flat = np.sin(zenith)
    direction = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.cos(zenith)], axis=-1)
    points = (depth * layout.unit_m)[..., None] * direction[:, None, :]
    return points.astype(np.float32), depth != 0


def imu_samples(sensor: str, kind: Kind, packet: Packet, rejections: Rejections) -> Iterator[ImuSample]:
    """The reading of an IMU packet. Livox gives the acceleration in g."""
    head = read_head(packet.data, kind)
    reason = head if isinstance(head, str) else None
    if not isinstance(head, str) and head.data_type != (IMU_SECOND if kind.second_protocol else IMU_FIRST):
        reason = "not an IMU packet"
    if reason or isinstance(head, str):
        rejections.add(reason or "not an IMU packet")
        return
    start = HEAD_BYTES[kind.second_protocol]
    for number in range(head.firings):
        values = np.frombuffer(packet.data, dtype="<f4", count=6, offset=start + number * IMU_BYTES).astype(np.float64)
        if not np.isfinite(values).all():
            rejections.add("not a finite number")
            return
        t_ns = head.t_ns + round(number * head.firing_ns)
        yield ImuSample(sensor, t_ns, values[:3], values[3:] * STANDARD_GRAVITY)
