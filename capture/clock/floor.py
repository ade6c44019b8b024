"""The line under a cloud of arrivals: where a packet would lie that waited not at all.

Every arrival is late, never early, so the true line lies under all points (device, host - device). The lower hull (Zhang, Liu and Xia
2002, "Clock synchronization algorithms for network measurements") lies too high, by how much depends on how rare the quickest
arrivals are. So here every line below the points is weighed by how well the points that lie lowest, a third of many, most of few, fit
the delays that the line leaves them, whatever shape (capture/clock/shapes.py) their spread may have:

    P(line, shape | points) ~ P(shape) prod_i g((y_i - line(x_i)) / T) / (T integral of g)^m

for the m points under a boundary at T above the line: arrivals under it are a Poisson process whose rate, unknown, has been
integrated out. What is returned is the mean and the spread of that distribution, summed over a grid of lines and shapes that is
made finer around what is left; the spread by the interval that holds most of it, since far tails are of shapes that are hardly ever
met. An estimate by the least point's distance alone would be as wide as the least point is high; the shape
of those above it tells several times more. The slope's prior is a Cauchy of 100 ppm: crystals; beyond 500 ppm it falls faster.

Delays that come in bursts are not independent: where the counts of low points in 24 parts of the time vary more than chance would let
them, the points count for less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from capture.clock.shapes import Array, Shapes, finer_shapes, first_shapes

_SHARE, _MOST = 0.3, 4000  # of the points: those that are weighed
_SHARE_OF_FEW, _FEWEST, _MOST_OF_FEW = 0.8, 20, 150  # of few: a third of them tells little of its own shape
_EXACT = 96  # of these the lowest, each by itself; the rest by cells of equal count
_CELLS, _CELL_PARTS = 24, 4
_HULL_SAMPLE = 2000
_PARTS = 24  # of the time, in which low points are counted
_BURSTS_TELL = 40  # low points, below which bursts and chance look alike
_CLEAR, _TELLING = 0.2, 10.0  # of the low points that a part of the time ought to have; how many these must be to tell
_ROUNDS = ((15, 16), (15, 14), (17, 16), (23, 20))  # grid of lines: slopes, heights
_SLOPE_PRIOR = 100e-6
_CRYSTAL, _SLOPE_LIMIT = 500e-6, 0.02  # the worst crystal; the worst oscillator without one
_HELD, _HELD_SIGMAS = (
    0.93,
    1.812,
)  # the share of a belief by which its spread is told, and the distance that holds it of a normal law
_RESOLUTION_NS = 50.0  # delays that vary less than this are none


@dataclass(frozen=True, slots=True)
class Floor:
    """height(x) = level_ns + slope (x - middle_ns), all relative to the points' own zero.

    sigma_ns: of height at the newest point, of which 1.96 either way are the 95 % interval; slope_sigma: standard deviation of the slope.
    """

    middle_ns: float
    level_ns: float
    slope: float
    sigma_ns: float
    slope_sigma: float


@dataclass(frozen=True, slots=True)
class KnownSkew:
    """A slope that is known already, and its standard deviation."""

    slope: float
    sigma: float


@dataclass(frozen=True, slots=True)
class _Exposure:
    """When low points could come: the middle and the variance of its places. share: of the points of that time, those that are low.

    weight: of a point in the likelihood, below 1 where points come in bursts.
    """

    middle: float
    variance: float
    share: float
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class _Low:
    """The lowest points, by cells: places in [-1, 1] of the time, heights above the first line, points in each."""

    places: Array
    heights: Array
    counts: Array
    boundary: float  # the height under which they are all
    points: int
    exposure: _Exposure


@dataclass(frozen=True, slots=True, eq=False)
class _Belief:
    """(E, D) chances of lines: tilts (rise over half the time, above the first line's) x gaps below the points."""

    tilts: Array
    gaps: Array
    drops: Array  # (E, D): how far each line's middle lies below the first line
    chances: Array
    shapes: Array  # (S,) chances of the shapes


def floor_under(x_ns: Array, y_ns: Array, known: KnownSkew | None = None) -> Floor:
    """The line under points in the order of x. At least 8 of them, not all at one x. known: of its slope beforehand."""
    middle, half = (x_ns[0] + x_ns[-1]) / 2, (x_ns[-1] - x_ns[0]) / 2
    places = (x_ns - middle) / half
    slope = _hull_tilt(places, y_ns) / half
    if known is not None:
        slope = min(max(slope, known.slope - 3 * known.sigma), known.slope + 3 * known.sigma)
    tilt = min(max(slope, -_SLOPE_LIMIT), _SLOPE_LIMIT) * half
    heights = y_ns - tilt * places
    level = float(heights.min())
    heights -= level
    low = _lowest(places, heights)
    if low.boundary <= _RESOLUTION_NS:
        return Floor(middle, level, tilt / half, 2 * _RESOLUTION_NS, _RESOLUTION_NS / half)
    belief = _weigh(low, tilt, half, known)
    ends = belief.tilts[:, None] - belief.drops
    end, _ = _moments(ends, belief.chances)
    end_sigma = _sigma(np.abs(ends - end).ravel(), belief.chances.ravel())
    tilted, tilt_sigma = _moments(np.broadcast_to(belief.tilts[:, None], ends.shape), belief.chances)
    slope = (tilt + tilted) / half
    return Floor(middle, level + end - tilted, slope, end_sigma, tilt_sigma / half)


def _moments(values: Array, chances: Array) -> tuple[float, float]:
    mean = float((chances * values).sum())
    return mean, math.sqrt(float((chances * (values - mean) ** 2).sum()))


def _sigma(distances: Array, chances: Array) -> float:
    """By the distance within which nearly all of a belief lies."""
    order = np.argsort(distances)
    within = np.cumsum(chances[order]) - chances[order] / 2
    return float(np.interp(_HELD, within, distances[order])) / _HELD_SIGMAS


def _hull_tilt(places: Array, heights: Array) -> float:
    """Rise over half the time of that edge of the lower hull, by the least points of 64 parts of the time, over which a share of all
    points lies the closest: an edge that leads up to a time when all were late has few near it.
    """
    parts = np.minimum(((places + 1) * 32).astype(np.int64), 63)
    starts = np.flatnonzero(np.concatenate([[True], parts[1:] > np.maximum.accumulate(parts)[:-1]]))
    ends = np.append(starts[1:], len(places))
    least = [
        start + int(np.argmin(heights[start:end])) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    hull: list[tuple[float, float]] = []
    for x, y in zip(places[least].tolist(), heights[least].tolist(), strict=True):
        while len(hull) >= 2 and _is_above(hull[-1], hull[-2], (x, y)):
            hull.pop()
        hull.append((x, y))
    tilts = np.array([(y1 - y0) / max(x1 - x0, 1e-9) for (x0, y0), (x1, y1) in pairwise(hull)])
    if len(tilts) < 2:
        return float(tilts.sum())
    levels = np.array([y - tilt * x for (x, y), tilt in zip(hull, tilts.tolist(), strict=False)])
    some = slice(None, None, max(len(places) // _HULL_SAMPLE, 1))
    above = heights[some] - np.multiply.outer(tilts, places[some]) - levels[:, None]
    return float(tilts[int(np.argmin(np.quantile(above, _SHARE, axis=1)))])


def _is_above(corner: tuple[float, float], before: tuple[float, float], after: tuple[float, float]) -> bool:
    """Andrew's monotone chain: whether a corner does not bulge downwards."""
    (x0, y0), (x1, y1) = before, corner
    return (x1 - x0) * (after[1] - y0) <= (y1 - y0) * (after[0] - x0)


def _lowest(places: Array, heights: Array) -> _Low:
    count = _weighed(len(heights))
    boundary = float(np.partition(heights, count)[count])
    below = heights < max(boundary, _RESOLUTION_NS)
    order = np.argsort(heights[below])
    low_places, low_heights = places[below][order], heights[below][order]
    return _Low(*_by_cells(low_places, low_heights), boundary, len(low_heights), _exposure(places, low_places))


def _weighed(points: int) -> int:
    most_of_few = min(max(int(_SHARE_OF_FEW * points), _FEWEST), _MOST_OF_FEW)
    return min(max(int(_SHARE * points), most_of_few), _MOST, points - 1)


def _by_cells(places: Array, heights: Array) -> tuple[Array, Array, Array]:
    """Far above the floor a cell's middle stands for its points: a line that moves a little changes them all alike."""
    rest = len(heights) - _EXACT
    if rest <= _EXACT:
        return places, heights, np.ones(len(heights))
    layers = np.arange(rest) * _CELLS // rest
    columns = np.clip(((places[_EXACT:] + 1) * (_CELL_PARTS / 2)).astype(np.int64), 0, _CELL_PARTS - 1)
    cells = layers * _CELL_PARTS + columns
    counts = np.bincount(cells, minlength=_CELLS * _CELL_PARTS).astype(np.float64)
    held = counts > 0
    means = [np.bincount(cells, part[_EXACT:], len(counts))[held] / counts[held] for part in (places, heights)]
    ones = np.ones(_EXACT)
    return (
        np.concatenate([places[:_EXACT], means[0]]),
        np.concatenate([heights[:_EXACT], means[1]]),
        np.concatenate([ones, counts[held]]),
    )


def _exposure(places: Array, low_places: Array) -> _Exposure:
    """The time in which low points could come: not that in which hardly any did. There the transport was congested."""
    edges = np.linspace(-1, 1, _PARTS + 1)
    points, found = np.histogram(places, edges)[0], np.histogram(low_places, edges)[0]
    share = len(low_places) / len(places)
    clear = (found >= _CLEAR * share * points) | (share * points < _TELLING)
    share = float(found[clear].sum() / points[clear].sum())
    within = places[clear[np.clip(np.searchsorted(edges, places, side="right") - 1, 0, _PARTS - 1)]]
    weight = 1.0 if len(low_places) < _BURSTS_TELL else _weight(found[clear], share * points[clear], share)
    return _Exposure(float(within.mean()), float(within.var()), share, weight)


def _weight(found: NDArray[np.int64], expected: Array, share: float) -> float:
    """One over the index of dispersion (variance over mean) of the counts of low points, at most 1; 0.3 is its own chance scatter."""
    some = expected > 0
    chi_square = float((np.square(found - expected)[some] / expected[some]).sum())
    dispersion = chi_square / max(int(some.sum()) - 1, 1) / (1 - share + 1e-3)
    return 1 / max(1.0, dispersion - 0.3)


def _weigh(low: _Low, tilt: float, half_ns: float, known: KnownSkew | None) -> _Belief:
    """Round by round on a finer grid; the first one reaches from the spacing of the lowest points to their whole height."""
    spacing = max(float(low.heights[min(4, len(low.heights) - 1)]), low.boundary * 1e-4, 1e-3)
    reach = max(low.boundary, 4 * spacing)
    tilts = 0.7 * reach * np.sinh(np.linspace(-4, 4, _ROUNDS[0][0])) / math.sinh(4)
    gaps = np.concatenate([[0.003 * spacing], np.geomspace(0.05 * spacing, 1.5 * reach, _ROUNDS[0][1] - 1)])
    shapes = first_shapes(low.exposure.share, low.points)
    belief = _chances(low, tilts, gaps, shapes, tilt, half_ns, known)
    for finer in _ROUNDS[1:]:
        shapes = finer_shapes(shapes, belief.shapes, low.exposure.share, low.points)
        belief = _chances(low, *_finer_lines(belief, *finer), shapes, tilt, half_ns, known)
    return belief


def _chances(
    low: _Low, tilts: Array, gaps: Array, shapes: Shapes, first_tilt: float, half_ns: float, known: KnownSkew | None
) -> _Belief:
    """The belief over a grid of lines, each of which lies under all points by its gap."""
    least_drops = (tilts[:, None] * low.places - low.heights).max(axis=1)
    drops = (least_drops[:, None] + gaps).ravel()
    tilt = np.repeat(tilts, len(gaps))
    thresholds = low.boundary + drops - tilt * low.exposure.middle
    thresholds[thresholds <= 0] = np.inf  # such a line lies above the low points at one end
    delays = low.heights + drops[:, None] - tilt[:, None] * low.places
    delays /= thresholds[:, None]
    np.maximum(delays, 1e-12, out=delays)
    sums = np.empty((len(drops), 3))
    sums[:, 1] = -(delays @ low.counts)
    logs = np.log(delays, out=delays)
    sums[:, 0] = logs @ low.counts
    logs *= logs
    sums[:, 2] = -(logs @ low.counts)
    log_chances = sums @ shapes.coefficients
    # Over a tilted line the boundary is higher at one end than at the other: to the second order, the first cancels.
    unlevel = np.multiply.outer(low.exposure.variance / 2 * (tilt / thresholds) ** 2, shapes.at_threshold)
    log_chances -= low.points * np.log(np.maximum(shapes.integral + unlevel, 1e-12))
    log_chances -= (low.points * np.log(thresholds))[:, None]
    log_chances *= low.exposure.weight
    slopes = (first_tilt + tilts) / half_ns
    prior = -np.log1p((slopes / _SLOPE_PRIOR) ** 2) - 6 * np.log(np.maximum(np.abs(slopes) / _CRYSTAL, 1))
    prior[np.abs(slopes) > _SLOPE_LIMIT] = -np.inf
    if known is not None:
        prior -= np.square((slopes - known.slope) / known.sigma) / 2
    log_chances += (prior + np.log(np.gradient(tilts))).repeat(len(gaps))[:, None]
    log_chances += np.tile(np.log(np.gradient(gaps)), len(tilts))[:, None]
    log_chances += shapes.log_prior
    log_chances -= log_chances.max()
    chances = np.exp(log_chances, out=log_chances)
    of_lines = chances.sum(axis=1)
    total = of_lines.sum()
    grid = (len(tilts), len(gaps))
    return _Belief(tilts, gaps, drops.reshape(grid), of_lines.reshape(grid) / total, chances.sum(axis=0) / total)


def _finer_lines(belief: _Belief, tilt_count: int, gap_count: int) -> tuple[Array, Array]:
    of_tilts, of_gaps = belief.chances.sum(axis=1), belief.chances.sum(axis=0)
    tilt, tilt_sigma = _moments(belief.tilts, of_tilts)
    gap, gap_sigma = _moments(belief.gaps, of_gaps)
    reach = max(3.6 * tilt_sigma, 2.0 * float(np.gradient(belief.tilts)[int(np.argmax(of_tilts))]))
    shares = np.cumsum(of_gaps)
    first, last = (int(np.searchsorted(shares, share)) for share in (0.0005, 0.9995))
    nearest = float(belief.gaps[first - 1]) if first > 0 else 0.0
    farthest = float(belief.gaps[min(last + 1, len(shares) - 1)])
    low, high = max(0.0, min(nearest, gap - 4 * gap_sigma)), max(farthest, gap + 4 * gap_sigma)
    steps: NDArray[np.float64] = (np.arange(gap_count) + 0.5) / gap_count
    return np.asarray(tilt + np.linspace(-reach, reach, tilt_count)), np.asarray(low + (high - low) * steps**1.7)
