"""Bundle adjustment against numeric derivatives, OpenCV's and mrcal's known results, and its own promises."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.bundle import Array, View, _Problem, adjust, place
from calibration.intrinsics import LensKind, solve
from calibration.lens import parameters_of, project
from calibration.motion import rotations
from devices.camera_model import CameraModel, Lens
from tests.calibration.builders import CAMERA, board_poses

GRID = np.array([[x, y, 0] for y in range(6) for x in range(8)]) * 0.1
CORNERS = GRID + np.array([0.11, 0.11, 0])


def _views(
    poses: Sequence[Array], random: np.random.Generator, sigma_px: float, model: CameraModel = CAMERA
) -> list[View]:
    clean = [model.project(CORNERS @ pose[:3, :3].T + pose[:3, 3]) for pose in poses]
    return [View(CORNERS, pixels + random.normal(0, sigma_px, pixels.shape)) for pixels in clean]


@pytest.mark.parametrize(("lens", "coefficients"), [("pinhole", 0), ("pinhole", 5), ("pinhole", 8), ("fisheye", 4)])
def test_derivatives_are_those_of_the_residuals(lens: Lens, coefficients: int) -> None:
    random = np.random.default_rng(coefficients)
    model = CameraModel(lens, 640, 480, 500, 510, 320, 240, tuple(random.normal(0, 0.03, coefficients)))
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = (-0.3, -0.2, 2)
    poses[:, :3, :3] = rotations(random.normal(0, 0.3, (2, 3)))
    problem = _Problem.of([View(GRID, np.zeros((48, 2)))] * 2, model, poses, np.array([0.01, 0.02]))
    _, shared, own = problem.jacobians()
    step = 1e-6
    for index in range(problem.shared + 6):
        by_shared, by_own = np.zeros(problem.shared), np.zeros((2, 6))
        (by_shared if index < problem.shared else by_own.T)[
            index if index < problem.shared else index - problem.shared
        ] = step
        ahead, behind = (problem.moved(sign * by_shared, sign * by_own).jacobians()[0] for sign in (1, -1))
        analytic = shared[:, :, index] if index < problem.shared else own[:, :, index - problem.shared]
        np.testing.assert_allclose((ahead - behind) / (2 * step), analytic, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("lens", "coefficients"), [("pinhole", 5), ("pinhole", 8), ("fisheye", 4)])
def test_the_lens_with_derivatives_projects_as_the_camera_model_does(lens: Lens, coefficients: int) -> None:
    random = np.random.default_rng(2)
    model = CameraModel(lens, 640, 480, 500, 510, 320, 240, tuple(random.normal(0, 0.02, coefficients)))
    points = random.uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    np.testing.assert_allclose(project(lens, parameters_of(model), points)[0], model.project(points), atol=1e-9)


def test_a_perfect_set_of_views_gives_back_the_camera_and_every_pose() -> None:
    poses = board_poses(12, np.random.default_rng(1))
    found = solve(_views(poses, np.random.default_rng(1), 0.0), (640, 480), LensKind("pinhole", 5))
    np.testing.assert_allclose(parameters_of(found.model), parameters_of(CAMERA), atol=1e-4)
    np.testing.assert_allclose(found.camera_from_board, poses, atol=1e-6)


def test_the_stated_covariance_covers_the_true_error() -> None:
    """60 worlds: the squared error over its stated covariance is chi-squared with nine degrees of freedom, mean 9 +-
    0.55.
    """
    random = np.random.default_rng(8)
    poses = board_poses(12, random)
    distances = []
    for _ in range(60):
        found = adjust(_views(poses, random, 0.1), CAMERA, np.array(poses))
        off = parameters_of(found.model) - parameters_of(CAMERA)
        distances.append(off @ np.linalg.solve(found.covariance, off))
    assert 7 < np.mean(distances) < 11


def test_a_bent_board_is_found_out() -> None:
    poses = board_poses(16, np.random.default_rng(3))
    across = 2 * (GRID[:, :2] - GRID[:, :2].min(axis=0)) / np.ptp(GRID[:, :2], axis=0) - 1
    bent = GRID + np.array([0, 0, 1]) * ((1 - across**2) @ (0.003, -0.002))[:, None]
    views = [View(GRID, CAMERA.project(bent @ pose[:3, :3].T + pose[:3, 3])) for pose in poses]
    found = solve(views, (640, 480), LensKind("pinhole", 5, warp=True))
    np.testing.assert_allclose(found.warp_m, (0.003, -0.002), atol=1e-5)
    assert found.rms_px < 1e-3 < solve(views, (640, 480), LensKind("pinhole", 5)).rms_px


def test_a_view_of_a_part_of_a_bent_board_is_placed_as_well_as_one_of_all_of_it() -> None:
    """The bend belongs to the board: it is no other where a picture's edge cuts the board in two."""
    warp_m = np.array([0.006, -0.004])
    across = 2 * (GRID[:, :2] - GRID[:, :2].min(axis=0)) / np.ptp(GRID[:, :2], axis=0) - 1
    bent = GRID + np.array([0, 0, 1]) * ((1 - across**2) @ warp_m)[:, None]
    poses = board_poses(16, np.random.default_rng(3))
    whole = [View(GRID, CAMERA.project(bent @ pose[:3, :3].T + pose[:3, 3])) for pose in poses]
    found = solve(whole, (640, 480), LensKind("pinhole", 5, warp=True))
    half = GRID[:, 0] < 0.35
    for view in whole:
        part = View(view.board_m[half], view.pixels[half])
        _, residual = place(part, found.model, found.warp_m, found.extent_m)
        assert abs(residual).max() < 1e-3


def test_a_view_is_placed_under_a_known_lens() -> None:
    pose = board_poses(1, np.random.default_rng(5))[0]
    placed, residual = place(_views([pose], np.random.default_rng(5), 0.0)[0], CAMERA)
    np.testing.assert_allclose(placed, pose, atol=1e-6)
    assert abs(residual).max() < 1e-4


def test_opencvs_left_chessboard_is_solved_to_opencvs_own_figure(test_data: Path) -> None:
    board = np.zeros((54, 3))
    board[:, :2] = np.mgrid[:9, :6].T.reshape(-1, 2) * 0.025
    views = []
    for path in sorted((test_data / "stereo_chessboard").glob("left[0-9]*.jpg")):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        found, corners = cv2.findChessboardCorners(grey, (9, 6))
        assert found, path
        corners = cv2.cornerSubPix(grey, corners, (5, 5), (-1, -1), (3, 30, 0.01))
        views.append(View(board, corners.reshape(-1, 2).astype(np.float64)))
    assert len(views) == 13
    flat = solve(views, (640, 480), LensKind("pinhole", 5))
    assert flat.rms_px == pytest.approx(0.1955, abs=0.0005)
    assert flat.model.fx == pytest.approx(532.83, abs=0.05)
    assert solve(views, (640, 480), LensKind("pinhole", 8, warp=True)).rms_px < 0.188


def test_a_wide_lens_and_a_bent_board_are_solved_to_the_reference_figures(test_data: Path) -> None:
    observed = np.load(test_data / "fisheye_corners" / "opencv8-0.corners_and_solution.npz")["observations_board"]
    board = np.zeros((100, 3))
    board[:, :2] = np.stack(np.meshgrid(np.arange(10), np.arange(10)), axis=2).reshape(-1, 2) * 0.077
    views = [View(board[seen[:, 2] > 0], seen[seen[:, 2] > 0, :2]) for seen in observed.reshape(-1, 100, 3)]
    assert sum(len(view.pixels) for view in views) == 18_280
    bent = solve(views, (6016, 4016), LensKind("pinhole", 8, warp=True))
    assert bent.rms_px == pytest.approx(0.803, abs=0.001)
    np.testing.assert_allclose(bent.warp_m, (-1.05e-3, 0.53e-3), atol=0.01e-3)
    assert solve(views, (6016, 4016), LensKind("pinhole", 8)).rms_px == pytest.approx(1.220, abs=0.001)
    assert solve(views, (6016, 4016), LensKind("fisheye", 4)).rms_px == pytest.approx(1.298, abs=0.001)
