"""Intersection over union of upright oriented boxes, in the plane and in space.

The footprints are convex, so their overlap is found by clipping one with each side of the other
(Sutherland & Hodgman 1974, "Reentrant polygon clipping") and its area by the shoelace formula.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annotate.labels import Cuboid, footprint


def iou_birdseye(a: Cuboid, b: Cuboid) -> float:
    """Of the footprints, in [0, 1]."""
    overlap = _overlap_m2(a, b)
    return overlap / (_area_m2(a) + _area_m2(b) - overlap)


def iou_3d(a: Cuboid, b: Cuboid) -> float:
    """Of the volumes, in [0, 1]. Both boxes must stand in one frame."""
    top = min(a.center_m[2] + a.size_m[2] / 2, b.center_m[2] + b.size_m[2] / 2)
    bottom = max(a.center_m[2] - a.size_m[2] / 2, b.center_m[2] - b.size_m[2] / 2)
    if top <= bottom:
        return 0.0
    overlap = _overlap_m2(a, b) * float(top - bottom)
    return overlap / (float(np.prod(a.size_m)) + float(np.prod(b.size_m)) - overlap)


def clipped(subject: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of one convex polygon inside another. Both (N, 2), counter-clockwise; so is the result, (0, 2) where none."""
    polygon = subject
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        if len(polygon) == 0:
            break
        polygon = _clipped_by_side(polygon, start, end)
    return polygon


def area(polygon: NDArray[np.float64]) -> float:
    """Of a polygon (N, 2), positive when counter-clockwise. Shoelace formula."""
    following = np.roll(polygon, -1, axis=0)
    return float(np.sum(polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]) / 2)


def _clipped_by_side(
    polygon: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What lies left of the line from start to end."""
    along = end - start
    side = along[0] * (polygon[:, 1] - start[1]) - along[1] * (polygon[:, 0] - start[0])
    kept = []
    for k in range(len(polygon)):
        here, there = side[k - 1], side[k]
        if here * there < 0:
            kept.append(polygon[k - 1] + here / (here - there) * (polygon[k] - polygon[k - 1]))
        if there >= 0:
            kept.append(polygon[k])
    return np.array(kept).reshape(-1, 2)


def _overlap_m2(a: Cuboid, b: Cuboid) -> float:
    apart = float(np.hypot(*(a.center_m - b.center_m)[:2]))
    if apart > (float(np.hypot(*a.size_m[:2])) + float(np.hypot(*b.size_m[:2]))) / 2:
        return 0.0
    # Near the boxes rather than near the frame's origin: far away, squared coordinates would eat the area's digits.
    middle = (a.center_m + b.center_m) / 2
    one = footprint(a.center_m - middle, a.size_m, a.yaw_rad)
    other = footprint(b.center_m - middle, b.size_m, b.yaw_rad)
    return max(0.0, area(clipped(one, other)))


def _area_m2(cuboid: Cuboid) -> float:
    return float(cuboid.size_m[0] * cuboid.size_m[1])
