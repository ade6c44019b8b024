"""The board in the lidar's cloud: which points are on it, and where the cloud shows its edges.

A beam that still hits the board and its neighbour that misses it bracket an edge: it lies somewhere between the two,
evenly distributed, so the middle is taken and the bracket's length / sqrt(12) is its sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from devices.samples import Sweep

Array = NDArray[np.float64]
# Something in front of the board, or touching it from behind, hides where its edge is.
_BEHIND_M = 0.12
_LONE_STEP_RAD = 0.04  # as if between beams, where only one is seen
_EDGE_SWEEPS = 3  # most lidars fire in the same directions every turn: more sweeps show the same brackets again
_MISSING, _ON, _BEHIND, _UNCLEAR = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Cone:
    """The returns of one sweep in the directions around the board, whatever they hit. ring is None where the lidar
    has none.
    """

    points_m: Array
    ring: NDArray[np.int64] | None


@dataclass(slots=True, eq=False)
class Sight:
    """The board standing still before one camera, and what the lidar saw there meanwhile."""

    camera_from_board: Array  # (4, 4)
    cones: list[Cone] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class BoardPose:
    """One pose of the board as both sensors saw it.

    camera_from_board: (4, 4). points_m: (N, 3) on the board, lidar frame. edge_m: (E, 3) on its edges, lidar frame;
    across_m: (E, 3) from the last point on the board to the first beside it, so that edge_m is the bracket's middle.
    repeats: how many of the edge points are one and the same bracket again, since most lidars fire in the same
    directions every turn.
    """

    camera_from_board: Array
    points_m: Array
    edge_m: Array
    across_m: Array
    repeats: int = 1


def cone_of(sweep: Sweep, lidar_from_board: Array, rectangle_m: Array, slack_m: float) -> Cone:
    """The part of a sweep that looks at the board's rectangle or past it by less than slack_m."""
    low, high = rectangle_m[:2], rectangle_m[2:]
    centre = lidar_from_board[:3, :3] @ np.append((low + high) / 2, 0) + lidar_from_board[:3, 3]
    range_m = float(np.linalg.norm(centre))
    reach_m = float(np.linalg.norm(high - low)) / 2 + slack_m
    first = sweep.return_number == 0
    points = sweep.points_m[first].astype(np.float64)
    length = np.linalg.norm(points, axis=1)
    ahead = (points @ centre > length * range_m * np.cos(min(np.arctan2(reach_m, range_m), 1.2))) & (length > 0.1)
    if sweep.ring is None:
        return Cone(points[ahead], None)
    ring = sweep.ring[first][ahead].astype(np.int64)
    return Cone(points[ahead], ring if _keep_their_height(points[ahead], ring) else None)


def _keep_their_height(points_m: Array, ring: NDArray[np.int64]) -> bool:
    """Whether each ring lies at an elevation of its own, as a beam that turns does. A Livox's ring is the laser that fired, and each of
    its lasers roams the whole view: the next point on it, or on the next one, is no neighbour.
    """
    if not len(ring):
        return False
    height_m = _beam_height_m(points_m, ring)
    elevation = np.arctan2(points_m[:, 2] - height_m, np.hypot(points_m[:, 0], points_m[:, 1]))
    rings, rows = np.unique(ring, return_inverse=True)
    middles = np.array([np.median(elevation[rows == row]) for row in range(len(rings))])
    astray_rad = float(np.median(abs(elevation - middles[rows])))
    step_rad = float(np.median(np.diff(np.sort(middles)))) if len(rings) > 1 else _LONE_STEP_RAD
    return astray_rad < step_rad / 4


def find_board(
    sight: Sight, lidar_from_board: Array, rectangle_m: Array, slack_m: float, random: np.random.Generator
) -> BoardPose | None:
    """The board's points and edges, searched within slack_m of where it should be. None where it does not stand out."""
    board_from_lidar: Array = np.linalg.inv(lidar_from_board).astype(np.float64)
    near = [_near(cone.points_m, board_from_lidar, rectangle_m, slack_m) for cone in sight.cones]
    points = (
        np.concatenate([cone.points_m[mask] for cone, mask in zip(sight.cones, near, strict=True)])
        if near
        else np.zeros((0, 3))
    )
    plane = _fit_plane(points, lidar_from_board[:3, 2], slack_m, random)
    if plane is None:
        return None
    normal, offset, tolerance = plane
    on_board: list[Array] = []
    edges: list[Array] = []
    across: list[Array] = []
    for cone, mask in zip(sight.cones, near, strict=True):
        on = mask & (abs(cone.points_m @ normal - offset) < tolerance)
        on_board.append(cone.points_m[on])
        if cone.ring is not None and on.any() and len(edges) < _EDGE_SWEEPS:
            edge, bracket = _edges(cone.points_m, cone.ring, on, normal, offset)
            edges.append(edge)
            across.append(bracket)
    inside = np.concatenate(on_board)
    if len(inside) < 30:
        return None
    chosen = random.permutation(len(inside))[:400]
    empty = np.zeros((0, 3))
    return BoardPose(
        sight.camera_from_board,
        inside[chosen],
        np.concatenate(edges) if edges else empty,
        np.concatenate(across) if across else empty,
        max(len(edges), 1),
    )


def _near(points_m: Array, board_from_lidar: Array, rectangle_m: Array, slack_m: float) -> NDArray[np.bool_]:
    local = points_m @ board_from_lidar[:3, :3].T + board_from_lidar[:3, 3]
    low, high = rectangle_m[:2] - slack_m, rectangle_m[2:] + slack_m
    inside = ((local[:, :2] > low) & (local[:, :2] < high)).all(axis=1)
    return np.asarray(inside & (abs(local[:, 2]) < max(slack_m, 0.06)), dtype=np.bool_)


def _fit_plane(
    points_m: Array, expected_normal: Array, slack_m: float, random: np.random.Generator
) -> tuple[Array, float, float] | None:
    """Normal, offset and tolerance of the plane that most points share, tilted by no more than the slack allows
    (RANSAC).
    """
    if len(points_m) < 30:
        return None
    corners = points_m[random.integers(0, len(points_m), (300, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-12)[:, None]
    allowed = np.cos(np.radians(4 + 30 * slack_m))
    upright = (abs(normals @ expected_normal) > allowed) & (length > 1e-3)
    # The expected tilt is a candidate too, at the depth of any point.
    normals = np.concatenate([normals[upright], np.tile(expected_normal, (50, 1))])
    anchors = np.concatenate([corners[upright, 0], points_m[random.integers(0, len(points_m), 50)]])
    sample = points_m[random.permutation(len(points_m))[:1500]]
    counts = (abs(sample @ normals.T - (anchors * normals).sum(axis=1)) < 0.03).sum(axis=0)
    best = int(np.argmax(counts))
    normal, offset, tolerance = normals[best], float(anchors[best] @ normals[best]), 0.03
    for _ in range(4):
        inside = abs(points_m @ normal - offset) < tolerance
        if inside.sum() < 30:
            return None
        centre = points_m[inside].mean(axis=0)
        normal = np.linalg.eigh(np.cov((points_m[inside] - centre).T))[1][:, 0]
        offset = float(normal @ centre)
        spread = 1.4826 * float(np.median(abs(points_m[inside] @ normal - offset)))
        tolerance = float(np.clip(3.5 * spread, 0.01, 0.08))
    return (normal, offset, tolerance) if abs(normal @ expected_normal) > allowed else None


def _edges(
    points_m: Array, ring: NDArray[np.int64], on: NDArray[np.bool_], normal: Array, offset: float
) -> tuple[Array, Array]:
    """Where one sweep's rings and columns leave the board: the brackets' middles and the brackets, both on its plane."""
    origin = np.array([0.0, 0.0, _beam_height_m(points_m, ring)])
    points_m, offset = points_m - origin, offset - float(normal @ origin)
    azimuth = np.arctan2(points_m[:, 1], points_m[:, 0])
    middle = azimuth[on][0]
    azimuth = (azimuth - middle + np.pi) % (2 * np.pi) - np.pi  # no jump at the board
    elevation = np.arctan2(points_m[:, 2], np.hypot(points_m[:, 0], points_m[:, 1]))
    step = _column_step(azimuth, ring)
    if step is None:
        return np.zeros((0, 3)), np.zeros((0, 3))
    rows, columns = ring - ring.min(), np.round((azimuth - azimuth.min()) / step).astype(int)
    grid = _Grid.of(points_m, rows, columns, on, normal, offset)
    counts = np.bincount(rows)
    heights = np.where(counts > 0, np.bincount(rows, weights=elevation) / np.maximum(counts, 1), np.nan)
    inner, outer = [], []
    for row, column, sideways, upward in grid.borders():
        start = grid.index[row, column]
        aside = (azimuth[start] + sideways * step, elevation[start])
        if upward:
            aside = (azimuth[start], heights[row + upward])
        if np.isfinite(aside[1]):
            inner.append((azimuth[start], elevation[start]))
            outer.append(aside)
    inside, outside = (
        _on_plane(np.reshape(ends, (-1, 2)) + np.array([middle, 0]), normal, offset) for ends in (inner, outer)
    )
    return (inside + outside) / 2 + origin, outside - inside


def _beam_height_m(points_m: Array, ring: NDArray[np.int64]) -> float:
    """Where the beams leave from, along z: an Ouster's 36 mm above its frame's origin, which shifts near points against
    far ones.

    Each ring's points lie on z = height + slope * distance; least squares over all rings with each ring's own slope
    eliminated.
    """
    distance, z = np.hypot(points_m[:, 0], points_m[:, 1]), points_m[:, 2]
    rows = ring - ring.min()
    squares, sums, products = (np.bincount(rows, weights=values) for values in (distance**2, distance, distance * z))
    squares = np.maximum(squares, 1e-9)
    lever = 1 - distance * (sums / squares)[rows]
    rest = z - distance * (products / squares)[rows]
    weight = float(lever @ lever)
    return float(np.clip((lever @ rest) / weight, -0.2, 0.2)) if weight > 1.0 else 0.0


def _column_step(azimuth: Array, ring: NDArray[np.int64]) -> float | None:
    """The angle between neighbouring columns."""
    order = np.lexsort((azimuth, ring))
    gaps = np.diff(azimuth[order])[np.diff(ring[order]) == 0]
    gaps = gaps[gaps > 1e-5]
    return float(np.median(gaps)) if len(gaps) > 20 else None


def _on_plane(angles: Array, normal: Array, offset: float) -> Array:
    """(n, 2) azimuth and elevation -> (n, 3) where these directions meet the plane."""
    azimuth, elevation = angles.T
    flat = np.cos(elevation)
    directions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)
    return np.asarray(directions * (offset / (directions @ normal))[:, None], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """A sweep's directions as rows (beams) and columns: what each hit, and the index of its point."""

    kind: NDArray[np.int8]
    index: NDArray[np.int64]

    @staticmethod
    def of(
        points_m: Array,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        on: NDArray[np.bool_],
        normal: Array,
        offset: float,
    ) -> _Grid:
        shape = (int(rows.max()) + 1, int(columns.max()) + 1)
        kind, index = np.full(shape, _MISSING, dtype=np.int8), np.full(shape, -1, dtype=np.int64)
        # How far behind the board's plane each point lies, along its own ray.
        facing = points_m @ normal
        behind_m = np.linalg.norm(points_m, axis=1) * (1 - offset / np.where(abs(facing) < 1e-9, np.inf, facing))
        behind = (behind_m > _BEHIND_M) & ~on
        kind[rows, columns] = np.where(on, _ON, np.where(behind, _BEHIND, _UNCLEAR))
        kind[rows[on], columns[on]] = _ON  # two returns in one cell: the board's counts
        index[rows, columns] = np.arange(len(points_m))
        index[rows[on], columns[on]] = np.flatnonzero(on)
        return _Grid(kind, index)

    def borders(self) -> list[tuple[int, int, int, int]]:
        """(row, column, sideways, upward) of the outermost hits of each row and column whose neighbour is a clear
        miss.
        """
        found = []
        rows, columns = self.kind.shape
        on = self.kind == _ON
        for row in np.flatnonzero(on.sum(axis=1) >= 3):
            hits = np.flatnonzero(on[row])
            for column, side in ((hits[0], -1), (hits[-1], 1)):
                if 0 <= column + side < columns and self.kind[row, column + side] in (_BEHIND, _MISSING):
                    found.append((int(row), int(column), side, 0))
        for column in np.flatnonzero(on.sum(axis=0) >= 3):
            hits = np.flatnonzero(on[:, column])
            for row, side in ((hits[0], -1), (hits[-1], 1)):
                if 0 <= row + side < rows and self.kind[row + side, column] in (_BEHIND, _MISSING):
                    found.append((int(row), int(column), 0, side))
        return found
