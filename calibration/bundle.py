"""Bundle adjustment of one camera over views of a flat board: lens, board poses and, on request, the board's warp at
once.

Levenberg-Marquardt on analytic derivatives, the views' poses eliminated by Schur complement (Triggs et al. 2000,
"Bundle
adjustment: a modern synthesis"). The warp is mrcal's: z = wx (1 - x^2) + wy (1 - y^2) with x, y from -1 to 1 across the
corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.lens import parameters_of, project, with_parameters
from calibration.motion import rotations
from devices.camera_model import CameraModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One sight of the board. board_m: (n, 3) corners in the board's frame, z = 0. pixels: (n, 2) where they were
    seen.
    """

    board_m: Array
    pixels: Array


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What bundle adjustment found.

    camera_from_board: (V, 4, 4). warp_m: (2,) wx wy, zero where none was sought. residuals_px: per view (n, 2), seen -
    predicted.
    covariance: of fx fy cx cy, distortion [, wx wy], from the normal matrix scaled by the residuals: formal, too small
    in practice.
    extent_m: (4,) the lowest x and y of all corners, then the highest: between these the warp's x and y run from -1 to 1.
    """

    model: CameraModel
    camera_from_board: Array
    warp_m: Array
    residuals_px: tuple[Array, ...]
    covariance: Array
    extent_m: Array

    @property
    def rms_px(self) -> float:
        """Root of the mean squared 2-D distance."""
        return root_mean_square(self.residuals_px)


def root_mean_square(residuals_px: Sequence[Array]) -> float:
    """Of the 2-D distances of all views together."""
    squares = np.concatenate([(residual**2).sum(axis=1) for residual in residuals_px])
    return float(np.sqrt(squares.mean()))


def covariance_of(information: Array) -> Array:
    """(P, P) -> (P, P), its inverse. A direction that nothing determines has a vast variance, where a pseudoinverse gives it none."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-20 * np.diag(information).max()))
    values, axes = np.linalg.eigh(information / np.outer(scale, scale))
    inverse = axes / np.maximum(values, 1e-14 * values[-1]) @ axes.T
    return np.asarray(inverse / np.outer(scale, scale), dtype=np.float64)


def adjust(
    views: Sequence[View], model: CameraModel, camera_from_board: Array, warp_m: Array | None = None
) -> Solution:
    """The least-squares solution near a start. warp_m: a start for the board's warp, None to hold the board flat.

    Raises CalibrationError when the views do not determine the camera.
    """
    problem = _Problem.of(views, model, camera_from_board, warp_m)
    damping, cost, blocks = 1e-4, problem.cost(), problem.blocks()
    for _ in range(100):
        step = blocks.step(damping)
        moved = problem.moved(*step)
        moved_cost = moved.cost()
        if not np.isfinite(moved_cost) or moved_cost > cost:
            damping *= 10
            if damping > 1e8:
                break
            continue
        gained = cost - moved_cost
        problem, cost, damping = moved, moved_cost, max(damping / 10, 1e-12)
        if gained < 1e-10 * cost + 1e-18:
            break
        blocks = problem.blocks()
    return problem.solution()


def place(
    view: View, model: CameraModel, warp_m: Array | None = None, extent_m: Array | None = None
) -> tuple[Array, Array]:
    """One view's camera_from_board (4, 4) under a known lens, and its residuals (n, 2). warp_m, extent_m: the board's, as a
    Solution has them; the view may show a part of it.
    """
    problem = _Problem.of([view], model, first_pose(view, model)[None], warp_m, extent_m)
    damping, cost = 1e-6, problem.cost()
    for _ in range(30):
        step = problem.blocks().pose_step(damping)
        moved = problem.moved(np.zeros(problem.shared), step)
        gained = cost - moved.cost()
        if not gained > 0:
            damping *= 10
            if damping > 1e4:
                break
            continue
        problem, cost, damping = moved, moved.cost(), damping / 10
        if gained < 1e-9 * cost + 1e-18:
            break
    return problem.poses[0], -problem.predicted_minus_seen()[0]


def first_pose(view: View, model: CameraModel) -> Array:
    """camera_from_board (4, 4) of one view from OpenCV's planar solver, good enough to start from."""
    import cv2

    rays = model.rays(view.pixels)
    ahead = rays[:, 2] > 0.05  # not where the lens ends: there rays are NaN
    if ahead.sum() < 4:
        raise CalibrationError("a view of the board lies outside what the lens model can see")
    flat = rays[ahead, :2] / rays[ahead, 2:]
    board = np.ascontiguousarray(view.board_m[ahead])
    found, turns, shifts, errors = cv2.solvePnPGeneric(board, flat, np.eye(3), np.zeros(4), flags=cv2.SOLVEPNP_IPPE)
    if not found:
        raise CalibrationError("the board's pose cannot be found from its corners: are they all on one line?")
    best = int(np.argmin(np.ravel(errors)))
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(turns[best])[0]
    pose[:3, 3] = shifts[best].ravel()
    return pose


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """The normal equations: shared (P, P), mixed (V, P, 6), own (V, 6, 6), and the gradient's two parts."""

    shared: Array
    mixed: Array
    own: Array
    shared_gradient: Array
    own_gradient: Array

    def step(self, damping: float) -> tuple[Array, Array]:
        """The damped Gauss-Newton step: (P,) and (V, 6)."""
        own = _damped(self.own, damping)
        reduced = self.mixed @ np.linalg.inv(own)
        left = _damped(self.shared, damping) - (reduced @ np.swapaxes(self.mixed, 1, 2)).sum(axis=0)
        right = self.shared_gradient - (reduced @ self.own_gradient[:, :, None])[:, :, 0].sum(axis=0)
        scale = np.sqrt(np.maximum(np.diag(left), 1e-300))
        shared = -np.linalg.lstsq(left / np.outer(scale, scale), right / scale, rcond=1e-15)[0] / scale
        rest = self.own_gradient + np.swapaxes(self.mixed, 1, 2) @ shared
        return shared, -np.linalg.solve(own, rest[:, :, None])[:, :, 0]

    def pose_step(self, damping: float) -> Array:
        """The step of the poses alone, (V, 6)."""
        step = np.linalg.solve(_damped(self.own, damping), self.own_gradient[:, :, None])[:, :, 0]
        return np.asarray(-step, dtype=np.float64)

    def information(self) -> Array:
        """(P, P) of the shared parameters, the poses eliminated."""
        reduced = self.mixed @ np.linalg.inv(self.own) @ np.swapaxes(self.mixed, 1, 2)
        return np.asarray(self.shared - reduced.sum(axis=0), dtype=np.float64)


def _damped(matrix: Array, damping: float) -> Array:
    return np.asarray(
        matrix + damping * matrix * np.eye(matrix.shape[-1]) + 1e-18 * np.eye(matrix.shape[-1]), dtype=np.float64
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """All views stacked, and where the search stands. which: (N,) the view of each corner, rising; starts: (V,) its
    first.
    """

    model: CameraModel
    board_m: Array
    extent_m: Array  # (4,)
    bulge: Array  # (N, 2): how far each corner rises per unit of wx and wy
    pixels: Array
    which: NDArray[np.int64]
    starts: NDArray[np.int64]
    parameters: Array
    poses: Array
    warp_m: Array
    warps: bool

    @staticmethod
    def of(
        views: Sequence[View], model: CameraModel, poses: Array, warp_m: Array | None, extent_m: Array | None = None
    ) -> _Problem:
        sizes = np.array([len(view.board_m) for view in views])
        if len(views) == 0 or sizes.min() < 4:
            raise CalibrationError("bundle adjustment needs views of at least four corners each")
        board = np.concatenate([view.board_m for view in views])
        if extent_m is None:
            extent_m = np.concatenate([board[:, :2].min(axis=0), board[:, :2].max(axis=0)])
        low, high = extent_m[:2], extent_m[2:]
        across = (2 * board[:, :2] - low - high) / np.maximum(high - low, 1e-9)
        return _Problem(
            model,
            board,
            extent_m,
            1 - across**2,
            np.concatenate([view.pixels for view in views]),
            np.repeat(np.arange(len(views)), sizes),
            np.concatenate([[0], np.cumsum(sizes)[:-1]]),
            parameters_of(model),
            np.array(_checked_poses(poses, len(views))),
            np.zeros(2) if warp_m is None else np.array(warp_m, dtype=np.float64),
            warp_m is not None,
        )

    @property
    def shared(self) -> int:
        return len(self.parameters) + 2 * self.warps

    def predicted_minus_seen(self) -> tuple[Array, Array, Array, Array]:
        """(N, 2) px, with the derivatives by the point in the camera, by the lens, and the rotated board point (N,
        3).
        """
        lifted = self.board_m + np.array([0, 0, 1]) * (self.bulge @ self.warp_m)[:, None]
        rotation, shift = self.poses[self.which, :3, :3], self.poses[self.which, :3, 3]
        turned = (rotation @ lifted[:, :, None])[:, :, 0]
        pixels, by_point, by_lens = project(self.model.lens, self.parameters, turned + shift)
        return pixels - self.pixels, by_point, by_lens, turned

    def cost(self) -> float:
        behind = self.poses[:, 2, 3].min() <= 0
        with np.errstate(all="ignore"):
            return float("inf") if behind else float((self.predicted_minus_seen()[0] ** 2).sum())

    def jacobians(self) -> tuple[Array, Array, Array]:
        """Residuals (N, 2), derivatives by the shared parameters (N, 2, P) and by the view's own pose (N, 2, 6).

        A pose moves by a rotation vector applied from the left to its rotation, then by a shift.
        """
        residual, by_point, by_lens, turned = self.predicted_minus_seen()
        by_turn = np.cross(turned[:, None, :], by_point)  # d(w x p) = p x ... row by row
        own = np.concatenate([by_turn, by_point], axis=2)
        if self.warps:
            lift = by_point @ self.poses[self.which, :3, 2][:, :, None]
            by_lens = np.concatenate([by_lens, lift * self.bulge[:, None, :]], axis=2)
        return residual, by_lens, own

    def blocks(self) -> _Blocks:
        residual, shared, own = self.jacobians()
        by_view = np.swapaxes(shared, 1, 2) @ own, np.swapaxes(own, 1, 2) @ own
        flat = shared.reshape(-1, shared.shape[2])
        return _Blocks(
            flat.T @ flat,
            np.add.reduceat(by_view[0], self.starts),
            np.add.reduceat(by_view[1], self.starts),
            flat.T @ residual.ravel(),
            np.add.reduceat((np.swapaxes(own, 1, 2) @ residual[:, :, None])[:, :, 0], self.starts),
        )

    def moved(self, shared: Array, own: Array) -> _Problem:
        poses = self.poses.copy()
        poses[:, :3, :3] = rotations(own[:, :3]) @ poses[:, :3, :3]
        poses[:, :3, 3] += own[:, 3:]
        count = len(self.parameters)
        warp = self.warp_m + shared[count:] if self.warps else self.warp_m
        return replace(self, parameters=self.parameters + shared[:count], poses=poses, warp_m=warp)

    def solution(self) -> Solution:
        residual = -self.predicted_minus_seen()[0]
        freedom = residual.size - self.shared - 6 * len(self.poses)
        if freedom <= 0:
            raise CalibrationError(f"{len(residual)} corners in {len(self.poses)} views do not determine the camera")
        variance = float((residual**2).sum()) / freedom
        covariance = variance * covariance_of(self.blocks().information())
        per_view = tuple(np.split(residual, self.starts[1:]))
        if self.parameters[:2].min() <= 0:
            raise CalibrationError("the views do not determine the camera: its focal length came out negative")
        model = with_parameters(self.model, self.parameters)
        return Solution(model, self.poses, self.warp_m, per_view, covariance, self.extent_m)


def _checked_poses(poses: Array, views: int) -> Array:
    """(V, 4, 4), as many as there are views."""
    if np.shape(poses) != (views, 4, 4):
        raise CalibrationError(f"{views} views need as many poses, not an array of {np.shape(poses)}")
    return np.asarray(poses, dtype=np.float64)
