"""The points of an Ouster's scan: where every pixel looks, and the returns of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.ouster.metadata import OusterMetadata
from devices.ouster.scan import OusterScan
from devices.samples import Sweep

Columns = slice | NDArray[np.int64]  # of a scan: a run, or one by one


class OusterGeometry:
    """Where every pixel looks: xyz = range * direction + start, in the sensor's frame."""

    def __init__(self, metadata: OusterMetadata) -> None:
        turned = 2 * np.pi * (1 - np.arange(metadata.columns) / metadata.columns)[:, None]  # (W, 1)
        azimuth = turned - np.radians(metadata.azimuth_deg)[None, :]  # (W, H)
        altitude = np.radians(metadata.altitude_deg)[None, :]
        x_mm, z_mm = metadata.beam_origin_mm
        shape = azimuth.shape if azimuth.shape[1] == metadata.rows else (metadata.columns, metadata.rows)
        parts = (np.cos(azimuth) * np.cos(altitude), np.sin(azimuth) * np.cos(altitude), np.sin(altitude))
        direction = np.stack([np.broadcast_to(part, shape) for part in parts], axis=-1)
        axis = (x_mm * np.cos(turned), x_mm * np.sin(turned), np.full_like(turned, z_mm))
        start = np.stack([np.broadcast_to(part, shape) for part in axis], axis=-1) - np.hypot(x_mm, z_mm) * direction
        rotation, shift_mm = metadata.lidar_to_sensor[:3, :3], metadata.lidar_to_sensor[:3, 3]
        # (3, W, H) float64, an axis after another so that each is one run through memory; m per mm of range, and m.
        self._direction = np.ascontiguousarray(np.moveaxis(direction @ rotation.T / 1000, -1, 0))
        self._start = np.ascontiguousarray(np.moveaxis((start @ rotation.T + shift_mm) / 1000, -1, 0))

    def points(self, columns: Columns, ranges_mm: Sequence[NDArray[np.generic]]) -> NDArray[np.float32]:
        """C columns and, a return each, the ranges of their pixels (C, H) -> (C, H, returns, 3) m; without meaning where the range is 0."""
        points = np.empty((*ranges_mm[0].shape, len(ranges_mm), 3), dtype=np.float32)
        products = np.empty(ranges_mm[0].shape, dtype=np.float64)
        for number, range_mm in enumerate(ranges_mm):
            for axis in range(3):
                np.multiply(range_mm, self._direction[axis, columns], out=products)
                np.add(products, self._start[axis, columns], out=points[:, :, number, axis], casting="same_kind")
        return points


def sweep_of(scan: OusterScan, sensor: str, geometry: OusterGeometry) -> Sweep | None:
    """The scan's returns: column by column, beam by beam, first return before second. None when no column arrived.

    intensity is REFLECTIVITY, the range-corrected 8-bit figure that every profile has; SIGNAL (photons) in LEGACY, whose
    REFLECTIVITY early firmware did not calibrate.
    """
    arrived = scan.arrived
    if not len(arrived):
        return None
    columns = _as_slice(arrived)
    words, fields = scan.words[columns], scan.profile.fields
    suffixes = ("", "2")[: scan.profile.returns]
    intensity_field = "SIGNAL" if scan.profile.legacy else "REFLECTIVITY"
    ranges = [fields["RANGE" + each].of(words) for each in suffixes]
    intensities = _interleaved([fields[intensity_field + each].of(words) for each in suffixes])
    measured = _interleaved([each != 0 for each in ranges])  # (C, H, returns)
    which = np.flatnonzero(measured)
    times = scan.column_t_ns[columns].astype(np.int64)
    rows, returns = measured.shape[1:]
    rings = np.repeat(np.arange(rows, dtype=np.uint16), returns)
    numbers = np.tile(np.arange(returns, dtype=np.uint8), rows)
    return Sweep(
        sensor=sensor,
        t_ns=int(times[0]),
        points_m=geometry.points(columns, ranges).reshape(-1, 3).take(which, axis=0),
        intensity=intensities.reshape(-1).take(which).astype(np.float32),
        offset_ns=np.repeat(times - times[0], measured.reshape(len(measured), -1).sum(axis=1)),
        return_number=np.tile(numbers, len(measured)).take(which),
        ring=np.tile(rings, len(measured)).take(which),
    )


def _as_slice(columns: NDArray[np.int64]) -> Columns:
    """The same columns as a run where they are one, as is the rule: it is then looked at in place, not copied."""
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if last - first == len(columns) - 1 and (np.diff(columns) == 1).all() else columns


def _interleaved(by_return: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(C, H) of each return -> (C, H, returns)."""
    return by_return[0][..., None] if len(by_return) == 1 else np.stack(by_return, axis=-1)
