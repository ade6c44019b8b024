"""How high a box that was drawn in plan stands: its bottom from the ground around it, its top from the returns inside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.labels import footprint, in_box_axes
from annotate.prelabel.boxes import HIGHEST_M, TYPICAL_M
from annotate.prelabel.ground import Ground

_ABOVE_GROUND_M = 0.2
_HIGHEST_M = 4.5
_OVERHANG_GAP_M = 0.3  # what hangs this far above the rest, and two beams further, is a tree or a sign, not the object
_FEWEST = 5
# Of the ground's level under the object: measured on rendered streets; far away little ground is seen, and at grazing angles.
_GROUND_SIGMA_M, _GROUND_SIGMA_PER_M = 0.04, 0.005
_TYPICAL_SIGMA_M = 0.25  # spread of heights within one class


@dataclass(frozen=True, slots=True)
class Stand:
    """bottom_m, top_m: z in the points' frame. sigma_m: of the height. measured: from returns; else the class's typical height."""

    bottom_m: float
    top_m: float
    sigma_m: float
    measured: bool


def stand(
    center_m: ArrayLike,
    size_m: ArrayLike,
    yaw_rad: float,
    category: str,
    points_m: NDArray[np.floating],
    ground: Ground,
) -> Stand:
    """center_m, size_m: (2 or 3,) of which the plan's part is used. points_m: (N, 3), those around
    the box, in the ground's frame.

    The true top lies between the highest beam that met the object and the next, which passed over it: where no roof was
    seen, half a beam's spacing is added. Fewer than five returns say nothing, and the class's typical height stands in.
    """
    center = np.array([*np.asarray(center_m, dtype=np.float64)[:2], 0.0])
    corners = footprint(center, size_m, yaw_rad)
    bottom = float(np.median(ground.level_at(np.vstack([corners, center[:2]]))))
    highest = bottom + HIGHEST_M.get(category, _HIGHEST_M)
    inside = _standing(center, np.asarray(size_m, dtype=np.float64)[:2], yaw_rad, points_m, bottom, highest)
    if len(inside) < _FEWEST:
        typical = TYPICAL_M.get(category, TYPICAL_M["other"])[2]
        return Stand(bottom, bottom + typical, _TYPICAL_SIGMA_M, measured=False)
    seen_top = float(np.quantile(inside[:, 2], 0.99)) if len(inside) > 100 else float(inside[:, 2].max())
    spacing = _beam_spacing_m(inside)
    roof_seen = _roof_is_seen(inside, seen_top)
    top = seen_top + (0.0 if roof_seen else spacing / 2)
    ground_sigma = _GROUND_SIGMA_M + _GROUND_SIGMA_PER_M * float(np.hypot(*center[:2]))
    sigma = float(np.hypot(ground_sigma, 0.03 if roof_seen else spacing / np.sqrt(12)))
    return Stand(bottom, max(top, bottom + 0.3), sigma, measured=True)


def _standing(
    center_m: NDArray[np.float64],
    size_m: NDArray[np.float64],
    yaw_rad: float,
    points_m: NDArray[np.floating],
    bottom_m: float,
    highest_m: float,
) -> NDArray[np.float64]:
    """The returns over the footprint, from the ground up to the first wide gap, lowest first."""
    points = np.asarray(points_m, dtype=np.float64)
    own = np.abs(in_box_axes(points, center_m, yaw_rad)[:, :2])
    above = (points[:, 2] > bottom_m + _ABOVE_GROUND_M) & (points[:, 2] < highest_m)
    chosen = points[(own <= size_m / 2 + 0.05).all(axis=1) & above]
    chosen = chosen[np.argsort(chosen[:, 2])]
    if len(chosen) < _FEWEST:
        return chosen
    widest = max(_OVERHANG_GAP_M, 2.2 * _beam_spacing_m(chosen))
    gaps = np.flatnonzero(np.diff(chosen[:, 2]) > widest)
    return chosen[: gaps[0] + 1] if len(gaps) else chosen


def _beam_spacing_m(inside_m: NDArray[np.float64]) -> float:
    """How far apart successive beams meet the object's upright faces, in metres; at most 0.5."""
    distance = np.hypot(inside_m[:, 0], inside_m[:, 1])
    elevation = np.sort(np.arctan2(inside_m[:, 2], distance))
    beams = np.split(elevation, np.flatnonzero(np.diff(elevation) > np.radians(0.06)) + 1)
    if len(beams) < 2:
        return 0.3
    steps = np.diff([float(beam.mean()) for beam in beams])
    return float(min(np.median(steps) * np.median(distance), 0.5))


def _roof_is_seen(inside_m: NDArray[np.float64], top_m: float) -> bool:
    """Whether the highest returns spread over some depth: then they lie on a roof and not on the edge of a face."""
    if top_m > 0:
        return False  # the sensor is lower
    highest = inside_m[inside_m[:, 2] > top_m - 0.06]
    return len(highest) >= 3 and float(np.ptp(np.hypot(highest[:, 0], highest[:, 1]))) > 0.5
