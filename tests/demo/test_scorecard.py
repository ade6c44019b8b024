"""The scorecard asks what it says it asks."""

from __future__ import annotations

import pytest

from examples.demo.scorecard import LIMITS, missed

GOOD = {
    "packets_sent": 10,
    "packets_recorded": 10,
    "camera_frames_lost": 0,
    "broken_annotations": 0,
    "intrinsics_rms_px": 0.3,
    "focal_error_percent": 0.3,
    "lidar_camera_rotation_error_deg": 0.3,
    "lidar_camera_translation_error_mm": 15.0,
    "clock_offset_error_ms": {"lidar": 2.0, "camera_left": 0.1},
    "cuboid_mean_iou": 0.75,
    "episodes": 5,
    "lerobot_check": "pass",
    "nuscenes_check": "pass",
}
WORSE = {
    "packets_recorded": 9,
    "camera_frames_lost": 1,
    "broken_annotations": 1,
    "intrinsics_rms_px": 0.31,
    "focal_error_percent": 0.31,
    "lidar_camera_rotation_error_deg": 0.31,
    "lidar_camera_translation_error_mm": 15.1,
    "clock_offset_error_ms": {"lidar": 0.1, "camera_left": 2.1},
    "cuboid_mean_iou": 0.74,
    "episodes": 4,
    "lerobot_check": "fail",
    "nuscenes_check": "fail",
}


def test_a_scorecard_at_its_limits_misses_nothing() -> None:
    assert missed(GOOD) == []


@pytest.mark.parametrize("name", WORSE)
def test_one_figure_beyond_its_limit_is_named(name: str) -> None:
    (line,) = missed(GOOD | {name: WORSE[name]})
    assert name in line


def test_every_limit_is_tried_here() -> None:
    assert LIMITS.keys() <= WORSE.keys()


def test_a_figure_that_is_no_number_is_missed() -> None:
    assert missed(GOOD | {"cuboid_mean_iou": float("nan")})
