"""Board corners against renderings whose corners are known."""

import numpy as np
import pytest

from calibration.bundle import Array
from calibration.errors import CalibrationError
from calibration.stills import find_stills
from calibration.targets import CharucoTarget, Detection
from tests.calibration.builders import BOARD, CAMERA, Photographer, board_poses, turned


@pytest.fixture(scope="module")
def photographer() -> Photographer:
    return Photographer()


@pytest.fixture(scope="module")
def target() -> CharucoTarget:
    return CharucoTarget(BOARD)


def _true(target: CharucoTarget, pose: Array, found: Detection) -> Array:
    return CAMERA.project(target.corners_m[found.ids] @ pose[:3, :3].T + pose[:3, 3])


def test_refined_corners_are_unbiased_to_a_fiftieth_and_sharp_to_a_twentieth_of_a_pixel(
    photographer: Photographer, target: CharucoTarget
) -> None:
    random = np.random.default_rng(4)
    errors, raw = [], []
    for pose in board_poses(16, random):
        picture = photographer.picture(pose, random)
        seen = target.detect(picture)
        if seen is None:
            continue
        refined = target.refine(picture, seen)
        assert refined is not None
        assert len(refined) > 0.9 * len(seen)
        errors.append(refined.pixels - _true(target, pose, refined))
        raw.append(seen.pixels - _true(target, pose, seen))
    off = np.concatenate(errors)
    assert len(errors) > 10
    assert abs(off.mean(axis=0)).max() < 0.02
    assert off.std(axis=0).max() < 0.05
    assert abs(np.concatenate(raw).mean(axis=0)).min() > 0.3  # the reason why they are refined


def test_stills_are_the_runs_in_which_the_board_does_not_move(
    photographer: Photographer, target: CharucoTarget
) -> None:
    random = np.random.default_rng(6)
    first, second = turned((12, -9, 5), (-0.5, -0.3, 2)), turned((12, -9, 5), (-0.3, -0.4, 2.3))
    path = [first] * 4 + [first + share * (second - first) for share in (0.25, 0.5, 0.75)] + [second] * 5
    pictures = ((number * 100, photographer.picture(pose, random)) for number, pose in enumerate(path))
    stills = find_stills(pictures, target)
    assert [(still.start_ns, still.end_ns, still.pictures) for still in stills] == [(0, 300, 4), (700, 1100, 5)]
    for still, pose in zip(stills, (first, second), strict=True):
        assert np.linalg.norm(still.corners.pixels - _true(target, pose, still.corners), axis=1).mean() < 0.05


def test_a_picture_without_a_board_has_none(target: CharucoTarget) -> None:
    assert target.detect(np.full((480, 640), 90, dtype=np.uint8)) is None
    assert find_stills([(0, np.full((480, 640), 90, dtype=np.uint8))] * 5, target) == []


def test_a_board_that_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(CalibrationError, match="no ArUco dictionary 'DICT_NONE'"):
        CharucoTarget(BOARD.model_copy(update={"dictionary": "DICT_NONE"}))
    with pytest.raises(CalibrationError, match="smaller than its squares"):
        CharucoTarget(BOARD.model_copy(update={"marker_m": 0.2}))
