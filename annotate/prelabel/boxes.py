"""From a cluster of returns to an upright box, a guess of what it is, and how sure that guess is.

The heading comes from the L-shape search of Zhang et al. 2017, "Efficient L-shape fitting for vehicle detection using laser
scanners", closeness criterion: of all headings, the one whose rectangle's sides the returns lie closest to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotate.labels import wrapped

_HEADINGS_RAD = np.radians(np.arange(0.0, 90.0, 1.0))
_CLOSEST_M = 0.05  # a return nearer to a side than this counts as on it: about the range noise
_MOSTLY_SEEN = 0.55
_ENOUGH_POINTS = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One class by its size: seen ranges in m (length, width, height), and the typical size that hidden sides are filled up to."""

    category: str
    length_m: tuple[float, float]
    width_m: tuple[float, float]
    height_m: tuple[float, float]
    typical_m: tuple[float, float, float]


# What of an object is seen may be much shorter than the object, never longer: hence low lower bounds where faces hide others.
KINDS = (
    Kind("pedestrian", (0.2, 1.2), (0.1, 1.0), (1.0, 2.1), (0.7, 0.65, 1.75)),
    Kind("cyclist", (1.2, 2.1), (0.2, 1.0), (1.1, 2.1), (1.75, 0.65, 1.75)),
    Kind("car", (0.0, 5.3), (1.1, 2.2), (0.9, 2.0), (4.2, 1.75, 1.55)),
    Kind("car", (2.0, 5.3), (0.1, 1.1), (0.9, 2.0), (4.2, 1.75, 1.55)),
    Kind("van", (1.2, 6.5), (0.4, 2.4), (1.7, 2.9), (4.9, 1.95, 2.1)),
    Kind("truck", (2.0, 13.5), (0.8, 3.0), (2.4, 4.1), (8.0, 2.5, 3.0)),
)
HIGHEST_M = {kind.category: kind.height_m[1] + 0.2 for kind in KINDS}
TYPICAL_M = {kind.category: kind.typical_m for kind in KINDS} | {"other": (1.5, 1.0, 1.4)}


@dataclass(frozen=True, slots=True, eq=False)
class PreLabel:
    """A guessed box, in the frame of the returns that it was fitted to. Fields as in Cuboid.

    score: in [0, 1], higher where more returns lie on the box's sides; no probability. track: same object, other keyframes.
    """

    category: str
    center_m: NDArray[np.float64]
    size_m: NDArray[np.float64]
    yaw_rad: float
    num_points: int
    score: float
    track: str | None = None

    def facing(self, yaw_rad: float) -> PreLabel:
        """The same box, its front on that one of its two ends that is nearer to the direction given."""
        away = abs(wrapped(self.yaw_rad - yaw_rad)) > np.pi / 2
        return replace(self, yaw_rad=wrapped(self.yaw_rad + np.pi)) if away else self


def fit_box(points_m: NDArray[np.floating], height_m: NDArray[np.floating]) -> PreLabel | None:
    """The box of one cluster, (N, 3) with (N,) heights above ground; None where no kind has such a size.

    The sides that face the sensor (at the origin) stay where the returns are; ones that are mostly hidden are filled
    up to the typical size.
    """
    plan = np.asarray(points_m[:, :2], dtype=np.float64)
    heading, distance = _heading(plan)
    low, high = _extent(plan, heading)
    top = float(np.quantile(height_m, 0.99))
    if (high[1] - low[1] > high[0] - low[0]) != _is_end_of_vehicle(high - low, top):
        heading += np.pi / 2
        low, high = _extent(plan, heading)
    seen = np.array([*(high - low), top])
    kind = _kind(seen)
    if kind is None:
        return None
    low, high = _filled_up(low, high, np.array(kind.typical_m[:2]))
    middle = _turn(heading) @ ((low + high) / 2)
    ground_z = float(np.median(points_m[:, 2] - height_m))
    return PreLabel(
        category=kind.category,
        center_m=np.array([*middle, ground_z + top / 2]),
        size_m=np.array([*(high - low), top]),
        yaw_rad=wrapped(heading),
        num_points=len(points_m),
        score=_score(len(points_m), distance, seen, kind),
    ).facing(0.0)


def _is_end_of_vehicle(across_m: NDArray[np.float64], top_m: float) -> bool:
    """Whether a rectangle is a car's front or rear alone: as broad as a car, thin, and lower than a person on a bicycle."""
    thin, broad = sorted(across_m)
    return bool(1.3 <= broad <= 2.1 and thin < 0.8 and 1.0 <= top_m <= 1.6)


def _heading(plan: NDArray[np.float64]) -> tuple[float, float]:
    """The best heading in [0, pi/2), and the returns' median distance to the nearest side there, in metres."""
    cos, sin = np.cos(_HEADINGS_RAD), np.sin(_HEADINGS_RAD)
    points = plan if len(plan) <= 400 else plan[:: len(plan) // 400 + 1]  # more would cost time and change nothing
    to_sides = []
    for axis in (np.stack([cos, sin]), np.stack([-sin, cos])):
        along = points @ axis  # (N, headings)
        to_sides.append(np.minimum(along.max(axis=0) - along, along - along.min(axis=0)))
    nearest = np.minimum(*to_sides)
    best = int(np.argmax((1 / np.maximum(nearest, _CLOSEST_M)).sum(axis=0)))
    return float(_HEADINGS_RAD[best]), float(np.median(nearest[:, best]))


def _extent(plan: NDArray[np.float64], heading: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    own = plan @ _turn(heading)
    return own.min(axis=0), own.max(axis=0)


def _turn(heading: float) -> NDArray[np.float64]:
    """(2, 2): columns are the directions along and to the left of the heading."""
    cos, sin = np.cos(heading), np.sin(heading)
    return np.array([[cos, -sin], [sin, cos]])


def _kind(seen_m: NDArray[np.float64]) -> Kind | None:
    """The first kind whose ranges hold what was seen."""
    for kind in KINDS:
        ranges = (kind.length_m, kind.width_m, kind.height_m)
        if all(low <= value <= high for value, (low, high) in zip(seen_m, ranges, strict=True)):
            return kind
    return None


def _filled_up(
    low: NDArray[np.float64], high: NDArray[np.float64], typical_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grow each side of which hardly a half is seen to the typical size, away from the sensor."""
    seen = high - low
    missing = np.where(seen < _MOSTLY_SEEN * typical_m, typical_m - seen, 0.0)
    away = low + high >= 0
    return np.where(away, low, low - missing), np.where(away, high + missing, high)


def _score(points: int, distance_m: float, seen_m: NDArray[np.float64], kind: Kind) -> float:
    on_sides = float(np.exp(-distance_m / 0.3))
    whole = float(np.clip(seen_m[:2] / np.array(kind.typical_m[:2]), 0, 1).mean())
    return float(np.clip(points / _ENOUGH_POINTS, 0.1, 1) ** 0.5 * (0.5 * on_sides + 0.5 * whole))
