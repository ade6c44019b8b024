"""Which returns belong together: cells of a grid that touch, or nearly so, further away with wider gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CELL_M = 0.15
_LOW_M, _HIGH_M = 0.25, 4.0  # above ground: below is ground's roughness, above are crowns, wires and bridges
_OWN_BODY_M = 2.0  # what is nearer is the vehicle that carries the sensor
_FAR_M = 20.0
_WALL_M = 8.0  # longer than the straight side of a car
_WALL_THICK_M = 0.2
_MOST_WALLS = 6
_FEWEST = 10
_FEWEST_BESIDE_WALL = 30  # fewer are scraps of the wall


def find_clusters(
    points_m: NDArray[np.floating], height_m: NDArray[np.floating], reach_m: float = 60.0
) -> list[NDArray[np.intp]]:
    """Indices into points_m, one array an object, for everything that stands on the ground within reach_m.

    height_m: (N,) above ground. Two returns belong together when their cells are linked by gaps of at most 0.45 m within
    20 m of the sensor, 0.75 m beyond: a spinning lidar's returns lie the further apart the further away they are.
    """
    in_reach = (np.abs(points_m[:, :2]) < reach_m).all(axis=1) & (
        np.hypot(points_m[:, 0], points_m[:, 1]) > _OWN_BODY_M
    )
    standing = np.flatnonzero((height_m > _LOW_M) & (height_m < _HIGH_M) & in_reach)
    return [group for group in _linked(points_m, standing, bridging=True) if len(group) >= _FEWEST]


def parts_beside_walls(points_m: NDArray[np.floating], cluster: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """What a cluster falls into without its walls and without bridged gaps: a car beside a wall, mostly."""
    parts = _linked(points_m, _without_walls(points_m, cluster), bridging=False)
    return [part for part in parts if len(part) >= _FEWEST_BESIDE_WALL]


def _linked(points_m: NDArray[np.floating], chosen: NDArray[np.intp], *, bridging: bool) -> list[NDArray[np.intp]]:
    from scipy import ndimage

    if len(chosen) == 0:
        return []
    cell = np.floor(points_m[chosen, :2] / _CELL_M).astype(int)
    corner = cell.min(axis=0) - 3  # only the part that is occupied, and room to grow
    column, row = (cell - corner).T
    occupied = np.zeros((row.max() + 4, column.max() + 4), dtype=bool)
    occupied[row, column] = True
    if bridging:
        x_m, y_m = (
            (np.arange(size) + first + 0.5) * _CELL_M for size, first in zip(occupied.shape[::-1], corner, strict=True)
        )
        far = np.hypot(x_m[None, :], y_m[:, None]) > _FAR_M
        occupied = ndimage.binary_dilation(occupied & ~far, _disc(1)) | ndimage.binary_dilation(
            occupied & far, _disc(2)
        )
    labels, _ = ndimage.label(occupied, structure=np.ones((3, 3)))
    label = labels[row, column]
    order = np.argsort(label, kind="stable")
    return np.split(chosen[order], np.flatnonzero(np.diff(label[order])) + 1)


def _without_walls(points_m: NDArray[np.floating], group: NDArray[np.intp]) -> NDArray[np.intp]:
    """The returns of a group without the long straight lines in its plan (Hough transform over occupied cells)."""
    rest = group
    for _ in range(_MOST_WALLS):
        cells, member = np.unique(np.floor(points_m[rest, :2] / _CELL_M), axis=0, return_inverse=True)
        if len(cells) < _WALL_M / _CELL_M:
            break
        on_wall = _longest_line((cells + 0.5) * _CELL_M)
        if on_wall is None:
            break
        rest = rest[~on_wall[member.ravel()]]
    return rest


def _longest_line(plan_m: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """(N, 2) middles of cells -> (N,): on the fullest straight line; None where that is broken or shorter than a wall."""
    angles = np.radians(np.arange(0.0, 180.0, 1.0))
    normals = np.stack([np.cos(angles), np.sin(angles)])
    middle = plan_m.mean(axis=0)
    bins = np.round((plan_m - middle) @ normals / _WALL_THICK_M).astype(int)  # (N, angles)
    lowest = bins.min()
    span = int(bins.max() - lowest) + 1
    counts = np.bincount((bins - lowest + span * np.arange(len(angles))).ravel(), minlength=span * len(angles))
    angle, place = divmod(int(np.argmax(counts)), span)
    # A wall seldom fills exactly one bin: take what lies within one thickness of the bin's middle.
    offset = (plan_m - middle) @ normals[:, angle] - (place + lowest) * _WALL_THICK_M
    on_line = np.abs(offset) <= _WALL_THICK_M
    along = np.sort(plan_m[on_line] @ np.array([-normals[1, angle], normals[0, angle]]))
    runs = np.split(along, np.flatnonzero(np.diff(along) > 3 * _CELL_M) + 1)
    longest = max(float(run[-1] - run[0]) for run in runs)
    return on_line if longest >= _WALL_M else None


def _disc(radius: int) -> NDArray[np.bool_]:
    across = np.arange(-radius, radius + 1)
    return np.asarray(across[:, None] ** 2 + across[None, :] ** 2 <= radius**2 + 0.5)
