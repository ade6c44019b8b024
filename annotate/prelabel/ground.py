"""Which returns are ground, and how high every other one is above it.

Patchwork++ (Lee et al. 2022, "Patchwork++: Fast and robust ground segmentation solving partial under-segmentation using 3D point
cloud") fits planes in rings and sectors around the sensor; a smooth map of the ground's level follows from its answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CELL_M = 2.0
_REACH_M = 80.0
_PLANE_REACH_M = 25.0
_BEND = 0.03  # how fast ground may leave the plane around the sensor, in m per m: 1.8 degrees
_STEP_M = 0.3  # ground that rises further than this from one neighbour to the next is none
_FEWEST = 3
_CELLS = round(2 * _REACH_M / _CELL_M)
_MIDDLES_M = (np.arange(_CELLS) + 0.5) * _CELL_M - _REACH_M


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """is_ground: (N,) of the points it was made from. height_m: (N,) float32, each above the ground below it.

    level_m: z of the ground on a grid of 2 m cells, row by y and column by x, the first at -79 m; in the points' frame.
    """

    is_ground: NDArray[np.bool_]
    height_m: NDArray[np.float32]
    level_m: NDArray[np.float64]

    @staticmethod
    def over(points_m: NDArray[np.floating], is_ground: NDArray[np.bool_], level_m: NDArray[np.float64]) -> Ground:
        """With the heights of the points above that level."""
        height_m = points_m[:, 2] - _interpolated(level_m, points_m)
        return Ground(is_ground, np.asarray(height_m, dtype=np.float32), level_m)

    def level_at(self, points_m: ArrayLike) -> NDArray[np.float64]:
        """(N, 2 or more) points -> (N,) z of the ground there, between the cells' middles by bilinear interpolation."""
        return _interpolated(self.level_m, points_m)


def find_ground(points_m: NDArray[np.floating], intensity: NDArray[np.floating]) -> Ground:
    """points_m: (N, 3) around the sensor at the origin, z up. intensity: (N,) in any unit."""
    is_ground = np.zeros(len(points_m), dtype=bool)
    is_ground[_ground_indices(points_m, intensity)] = True
    level_m = _level(np.asarray(points_m[is_ground], dtype=np.float64))
    return Ground.over(points_m, is_ground, level_m)


def sensor_height_m(points_m: NDArray[np.floating]) -> float:
    """How high the sensor is above the ground: the fullest 10 cm below it among the returns 3 to 20 m away.

    1.7 m, the height of a sensor on a car's roof, where too few returns say anything.
    """
    distance = np.hypot(points_m[:, 0], points_m[:, 1])
    below = points_m[(distance > 3) & (distance < 20) & (points_m[:, 2] < -0.2) & (points_m[:, 2] > -4), 2]
    if len(below) < 100:
        return 1.7
    counts, edges = np.histogram(below, bins=38, range=(-4.0, -0.2))
    fullest = int(np.argmax(counts))
    return -float(edges[fullest] + edges[fullest + 1]) / 2


def _ground_indices(points_m: NDArray[np.floating], intensity: NDArray[np.floating]) -> NDArray[np.intp]:
    import pypatchworkpp

    parameters = pypatchworkpp.Parameters()
    parameters.sensor_height = sensor_height_m(points_m)
    parameters.enable_RNR = False  # it takes dark returns for reflections by one maker's intensity scale
    parameters.verbose = False
    with _silenced():
        finder = pypatchworkpp.patchworkpp(parameters)  # a fresh one: it adapts to the frames it has seen
    finder.estimateGround(np.column_stack([points_m, intensity]).astype(np.float32))
    return np.asarray(finder.getGroundIndices(), dtype=np.intp)


@contextmanager
def _silenced() -> Iterator[None]:
    """Keeps what the library prints from C++ off the program's output."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _level(ground_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ground's z on the grid: each cell's median ground point, without cells that lie on a roof, the rest from the nearest."""
    from scipy import ndimage

    seen = _cell_medians(ground_m)
    if np.isnan(seen).all():
        return np.full((_CELLS, _CELLS), -1.7)
    plane = _plane(seen)
    rest = seen - plane
    low = _low_around(rest)
    bend = _STEP_M + _BEND * np.maximum(_distances() - _PLANE_REACH_M / 2, 0)
    rest[(rest > low + _STEP_M) | (rest < low - 2 * _STEP_M) | (np.abs(rest) > bend)] = np.nan
    nearest = ndimage.distance_transform_edt(np.isnan(rest), return_distances=False, return_indices=True)
    return np.asarray(plane + ndimage.median_filter(rest[tuple(nearest)], size=3))


def _cell_medians(ground_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN for cells with fewer than three ground points."""
    column, row = np.floor((ground_m[:, :2] + _REACH_M) / _CELL_M).astype(int).T
    inside = (column >= 0) & (column < _CELLS) & (row >= 0) & (row < _CELLS)
    cell, z = row[inside] * _CELLS + column[inside], ground_m[inside, 2]
    order = np.lexsort((z, cell))
    cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    medians = np.full(_CELLS * _CELLS, np.nan)
    medians[cells] = np.where(counts >= _FEWEST, z[order][np.minimum(first + counts // 2, len(order) - 1)], np.nan)
    return medians.reshape(_CELLS, _CELLS)


def _plane(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The plane through the ground around the sensor, on the grid; cells that are far off it have no say."""
    x, y = np.meshgrid(_MIDDLES_M, _MIDDLES_M)
    terms = np.stack([x, y, np.ones_like(x)], axis=-1)
    near = _distances() < _PLANE_REACH_M
    used = ~np.isnan(seen) & (near if (near & ~np.isnan(seen)).sum() >= _FEWEST else True)
    plane = np.full_like(seen, np.median(seen[used]))
    for _ in range(5):
        fitting = used & (np.abs(seen - plane) < _STEP_M)
        if fitting.sum() < 10:
            break
        plane = terms @ np.linalg.lstsq(terms[fitting], seen[fitting], rcond=None)[0]
    return np.asarray(plane)


def _distances() -> NDArray[np.float64]:
    """Of each cell's middle from the sensor, along the ground."""
    return np.asarray(np.hypot(_MIDDLES_M[:, None], _MIDDLES_M[None, :]))


def _low_around(rest: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each cell that was seen the first quartile of those seen within 6 m; NaN for the others."""
    reach = 3
    padded = np.pad(rest, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    seen = ~np.isnan(rest)
    low = np.full_like(rest, np.nan)
    low[seen] = np.nanpercentile(windows[seen].reshape(int(seen.sum()), -1), 25, axis=1)
    return low


def _interpolated(level_m: NDArray[np.float64], points_m: ArrayLike) -> NDArray[np.float64]:
    from scipy import ndimage

    points = np.asarray(points_m, dtype=np.float64)
    at = (points[:, 1::-1].T + _REACH_M) / _CELL_M - 0.5
    return np.asarray(ndimage.map_coordinates(level_m, at, order=1, mode="nearest"))
