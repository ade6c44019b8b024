"""A camera's calibration: the right lens, an honest sigma, and a verdict that names what is wrong."""

import json

import numpy as np
import pytest

from calibration.bundle import View
from calibration.errors import CalibrationError
from calibration.intrinsics import LensKind, calibrate_camera
from calibration.targets import CharucoTarget
from devices.camera_model import CameraModel
from tests.calibration.builders import BOARD, CAMERA, board_poses

SIZE = (640, 480)
PINHOLE = (LensKind("pinhole", 5),)


def _views(
    count: int, seed: int, model: CameraModel = CAMERA, tilt_rad: float = 0.35, sigma_px: float = 0.03
) -> list[View]:
    random = np.random.default_rng(seed)
    corners = CharucoTarget(BOARD).corners_m
    views = []
    for pose in board_poses(count, random, tilt_rad):
        pixels = model.project(corners @ pose[:3, :3].T + pose[:3, 3])
        views.append(View(corners, pixels + random.normal(0, sigma_px, pixels.shape)))
    return views


def test_a_good_set_gives_the_focal_length_to_two_parts_in_a_thousand_and_is_called_good() -> None:
    result = calibrate_camera(_views(24, 1), SIZE).calibration
    assert (result.verdict, result.evidence["reasons"]) == ("good", [])
    assert result.model.fx == pytest.approx(CAMERA.fx, rel=2e-3)
    assert result.model.fy == pytest.approx(CAMERA.fy, rel=2e-3)
    assert result.rms_px == pytest.approx(0.03 * np.sqrt(2), rel=0.05)
    assert result.views == 24


def test_the_simplest_lens_that_predicts_is_taken() -> None:
    assert calibrate_camera(_views(24, 2), SIZE).calibration.evidence["lens"] == "pinhole 5"
    wide = CameraModel("fisheye", 640, 480, 260, 260, 320, 240, (0.05, -0.02, 0.01, -0.003))
    random = np.random.default_rng(3)
    corners = CharucoTarget(BOARD).corners_m
    views = []
    for pose in board_poses(30, random):
        near = pose.copy()
        near[:3, 3] *= (0.9, 0.9, 0.35)  # the board fills the picture to its corners, out to 50 degrees
        pixels = wide.project(corners @ near[:3, :3].T + near[:3, 3])
        seen = wide.sees(pixels)
        if seen.sum() > 12:
            views.append(View(corners[seen], pixels[seen] + random.normal(0, 0.05, (seen.sum(), 2))))
    assert calibrate_camera(views, SIZE).calibration.model.lens == "fisheye"


def test_the_stated_sigma_is_as_large_as_the_error_really_is() -> None:
    """Of 12 made-up cameras the focal length and centre lie within two stated sigma nearly always."""
    within = []
    for seed in range(12):
        result = calibrate_camera(_views(14, 100 + seed), SIZE, PINHOLE).calibration
        off = np.array([result.model.fx, result.model.fy, result.model.cx, result.model.cy]) - (480, 482, 322, 238)
        within.append(abs(off) < 2 * np.array(result.sigma[:4]))
    assert np.mean(within) > 0.9


def test_sigma_grows_when_whole_views_are_off_together() -> None:
    """Boards bent differently in each view: residuals hang together, and the formal sigma knows nothing of it."""
    random = np.random.default_rng(5)
    views = []
    for view in _views(20, 5):
        bend = random.normal(0, 1.5) * ((view.board_m[:, :1] - 0.44) / 0.44) ** 2
        views.append(View(view.board_m, view.pixels + bend * (1, 0)))
    evidence = calibrate_camera(views, SIZE).calibration.evidence
    assert evidence["sigma_split_half"][0] > 1.3 * evidence["sigma_formal"][0]


def test_wrong_corners_are_left_out_and_counted() -> None:
    views = _views(20, 7)
    for view in views[:5]:
        view.pixels[3] += (6, -4)
    result = calibrate_camera(views, SIZE).calibration
    assert result.evidence["corners_dropped"] >= 5
    assert result.model.fx == pytest.approx(CAMERA.fx, rel=2e-3)


def test_boards_that_all_stand_parallel_are_refused_in_words() -> None:
    result = calibrate_camera(_views(20, 9, tilt_rad=0.005), SIZE).calibration
    assert result.verdict == "refused"
    assert "all boards stand nearly parallel" in result.evidence["reasons"][0]


def test_too_few_views_are_refused_in_words() -> None:
    result = calibrate_camera(_views(5, 11), SIZE).calibration
    assert result.verdict == "refused"
    assert "only 5 views" in result.evidence["reasons"][0]
    with pytest.raises(CalibrationError, match="2 still views"):
        calibrate_camera(_views(2, 11), SIZE)


def test_noise_of_pixels_is_refused_in_words() -> None:
    result = calibrate_camera(_views(20, 13, sigma_px=3.0), SIZE).calibration
    assert result.verdict == "refused"
    assert any("miss the lens by" in reason for reason in result.evidence["reasons"])


def test_on_a_bent_board_views_of_a_part_of_it_are_predicted_as_well_as_whole_ones() -> None:
    random = np.random.default_rng(15)
    corners = CharucoTarget(BOARD).corners_m
    across = 2 * (corners[:, :2] - corners[:, :2].min(axis=0)) / np.ptp(corners[:, :2], axis=0) - 1
    bent = corners + np.array([0, 0, 1]) * ((1 - across**2) @ (0.004, 0.003))[:, None]
    views = []
    for number, pose in enumerate(board_poses(24, random)):
        shown = corners[:, 0] < 0.5 if number % 3 else np.ones(len(corners), dtype=bool)
        pixels = CAMERA.project(bent[shown] @ pose[:3, :3].T + pose[:3, 3])
        views.append(View(corners[shown], pixels + random.normal(0, 0.03, pixels.shape)))
    result = calibrate_camera(views, SIZE).calibration
    assert result.evidence["lens"].endswith(" with board warp")
    assert result.evidence["heldout_rms_px"] < 0.06
    assert result.verdict == "good"
    assert result.model.fx == pytest.approx(CAMERA.fx, rel=2e-3)


def test_a_view_of_one_row_of_corners_is_left_out_and_costs_no_other() -> None:
    """The board leaves the picture and a row of it remains: a line of corners has no pose."""
    views = _views(24, 1)
    for index in (0, 7):
        row = np.arange(7)
        views[index] = View(views[index].board_m[row], views[index].pixels[row])
    result = calibrate_camera(views, SIZE)
    assert (result.calibration.verdict, result.calibration.views) == ("good", 22)
    assert result.calibration.evidence["views_dropped"] == 2
    assert not {0, 7} & set(result.used.tolist())
    with pytest.raises(CalibrationError, match="3 still views"):
        calibrate_camera([views[0], *views[1:4]], SIZE)


@pytest.mark.parametrize(("count", "seed"), [(5, 2), (5, 12), (7, 3)])
def test_views_that_tell_nothing_are_refused_in_a_calibration_that_can_be_written(count: int, seed: int) -> None:
    """Seven corners a view, six pixels off: no fit of a half predicts the other, and no uncertainty comes out."""
    random = np.random.default_rng(seed)
    views = []
    for view in _views(count, seed, sigma_px=6.0):
        seen = random.permutation(len(view.pixels))[:7]
        views.append(View(view.board_m[seen], view.pixels[seen]))
    result = calibrate_camera(views, SIZE).calibration
    json.dumps([result.sigma, dict(result.evidence)], allow_nan=False)
    assert result.verdict == "refused"
    assert not any(word in reason for reason in result.evidence["reasons"] for word in ("inf", "nan"))
