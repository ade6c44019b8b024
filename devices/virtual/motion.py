"""How things move: positions and headings over the time of a take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Moving(Protocol):
    def matrices(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) times -> (N, 4, 4) world_from_own."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Upright: a position and a heading, linear between its samples and held before and after them.

    times_ns: (K,) int64 since the take's start. position_m: (K, 3) world. yaw_rad: (K,), unwrapped.
    """

    times_ns: NDArray[np.int64]
    position_m: NDArray[np.float64]
    yaw_rad: NDArray[np.float64]

    @staticmethod
    def still(x: float, y: float, z: float, yaw_rad: float) -> Motion:
        return Motion(np.zeros(1, dtype=np.int64), np.array([[x, y, z]], dtype=np.float64), np.array([yaw_rad]))

    @property
    def moves(self) -> bool:
        return len(self.times_ns) > 1

    def at(self, t_ns: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) -> positions (N, 3) and headings (N,)."""
        t = np.atleast_1d(np.asarray(t_ns, dtype=np.int64))
        position = np.stack([np.interp(t, self.times_ns, self.position_m[:, i]) for i in range(3)], axis=1)
        return position, np.interp(t, self.times_ns, self.yaw_rad)

    def matrices(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 4, 4) world_from_own."""
        position, yaw = self.at(t_ns)
        matrices = np.zeros((len(yaw), 4, 4))
        matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(yaw)
        matrices[:, 1, 0], matrices[:, 0, 1] = np.sin(yaw), -np.sin(yaw)
        matrices[:, 2, 2] = matrices[:, 3, 3] = 1
        matrices[:, :3, 3] = position
        return matrices


def along(
    points: Sequence[tuple[float, float]], speed_m_s: float, start_s: float, z: float = 0.0, corner_m: float = 4.0
) -> Motion:
    """Along a polyline in the xy plane with rounded corners, at a steady speed from start_s on, at rest before and after."""
    path = _rounded(np.asarray(points, dtype=np.float64), corner_m)
    steps = np.diff(path, axis=0)
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    times = start_s + travelled / speed_m_s
    middle = (travelled[1:] + travelled[:-1]) / 2
    yaw = np.interp(travelled, middle, heading)
    return Motion(np.round(times * 1e9).astype(np.int64), np.column_stack([path, np.full(len(path), z)]), yaw)


def _rounded(points: NDArray[np.float64], corner_m: float) -> NDArray[np.float64]:
    """Corners become quadratic Bezier curves that begin corner_m before them; a sample every 0.25 m or so."""
    pieces = [points[:1]]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        into = corner + (before - corner) / np.linalg.norm(before - corner) * corner_m
        out = corner + (after - corner) / np.linalg.norm(after - corner) * corner_m
        s = np.linspace(0, 1, 33)[:, None]
        pieces.append((1 - s) ** 2 * into + 2 * s * (1 - s) * corner + s**2 * out)
    pieces.append(points[-1:])
    coarse = np.concatenate(pieces)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(coarse, axis=0), axis=1))])
    fine = np.linspace(0, length[-1], max(2, int(length[-1] / 0.25)))
    return np.column_stack([np.interp(fine, length, coarse[:, i]) for i in range(2)])
