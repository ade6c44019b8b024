"""A camera placed by the board in the lidar's cloud: made-up worlds with known truth, and twenty real poses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration.board_cloud import BoardPose, Sight, cone_of
from calibration.bundle import Array
from calibration.errors import CalibrationError
from calibration.lidar_camera import Placement, assess, moved, place_camera, solve
from calibration.motion import rotations
from calibration.targets import CharucoTarget
from devices.samples import Sweep
from devices.transform import Transform
from tests.calibration.builders import (
    BOARD,
    CAMERA_FROM_LIDAR,
    board_poses,
    roaming_sweep_of_board,
    sweep_of_board,
    turned,
)

RECTANGLE_M = CharucoTarget(BOARD).rectangle_m
PLATE_M = np.array([0.7005, 1.0])  # of the real poses
# Measured by hand: some 2 cm and 2 degrees wrong in every direction.
BY_HAND = turned((2.0, -1.8, 2.2), (0.02, -0.025, 0.03)) @ CAMERA_FROM_LIDAR


def _sights(
    poses: list[Array],
    random: np.random.Generator,
    rings: bool = True,
    sweep_of: Callable[[Array, np.random.Generator], Sweep] = sweep_of_board,
) -> list[Sight]:
    """Five sweeps of each pose; the camera's pose of the board is off by 1 mrad and 2 mm."""
    sights = []
    for pose in poses:
        lidar_from_board = np.linalg.inv(CAMERA_FROM_LIDAR) @ pose
        expected = np.linalg.inv(BY_HAND) @ pose
        sight = Sight(moved(pose, random.normal(0, 1, 6) * (1e-3, 1e-3, 1e-3, 2e-3, 2e-3, 2e-3)))
        for _ in range(5):
            sweep = sweep_of(lidar_from_board, random)
            if not rings:
                sweep = Sweep(sweep.sensor, 0, sweep.points_m, sweep.intensity, sweep.offset_ns, sweep.return_number)
            sight.cones.append(cone_of(sweep, expected, RECTANGLE_M, 0.45))
        sights.append(sight)
    return sights


def _errors(placement: Placement) -> tuple[float, float]:
    """Degrees and metres from the truth."""
    truth, found = (Transform("camera", "lidar", matrix) for matrix in (CAMERA_FROM_LIDAR, placement.camera_from_lidar))
    return truth.angle_to_deg(found), truth.distance_to_m(found)


def test_the_camera_is_placed_to_millimetres_from_a_hand_measured_start() -> None:
    random = np.random.default_rng(1)
    placement = place_camera(_sights(board_poses(24, random), random), RECTANGLE_M, BY_HAND)
    angle_deg, distance_m = _errors(placement)
    assert (angle_deg < 0.2, distance_m < 0.006) == (True, True), (angle_deg, distance_m)
    assert placement.evidence["poses"] == 24
    assert (placement.findings.verdict, placement.findings.reasons) == ("good", [])


def test_the_stated_sigma_covers_the_true_error() -> None:
    """Four worlds: the true error over the stated sigma, in the mean of squares, is near one."""
    shares = []
    for seed in range(4):
        random = np.random.default_rng(50 + seed)
        placement = place_camera(_sights(board_poses(14, random), random), RECTANGLE_M, BY_HAND)
        angle_deg, distance_m = _errors(placement)
        shares.append(
            (
                angle_deg / placement.evidence["sigma_rotation_deg"],
                distance_m * 1e3 / placement.evidence["sigma_translation_mm"],
            )
        )
    assert (np.sqrt(np.mean(np.square(shares), axis=0)) < 1.6).all(), shares


def test_a_lidar_that_names_no_rings_is_placed_by_the_planes_alone() -> None:
    random = np.random.default_rng(3)
    placement = place_camera(_sights(board_poses(24, random), random, rings=False), RECTANGLE_M, BY_HAND)
    angle_deg, distance_m = _errors(placement)
    assert placement.evidence["edge_points"] == 0
    assert (angle_deg < 0.4, distance_m < 0.02) == (True, True), (angle_deg, distance_m)


def test_a_livox_s_lasers_roam_and_are_no_rings_it_is_placed_by_the_planes_alone() -> None:
    random = np.random.default_rng(3)
    sights = _sights(board_poses(24, random), random, sweep_of=roaming_sweep_of_board)
    placement = place_camera(sights, RECTANGLE_M, BY_HAND)
    angle_deg, distance_m = _errors(placement)
    assert placement.evidence["edge_points"] == 0
    assert (angle_deg < 0.4, distance_m < 0.02) == (True, True), (angle_deg, distance_m)


def test_boards_that_all_stand_parallel_are_refused_in_words() -> None:
    random = np.random.default_rng(5)
    placement = place_camera(_sights(board_poses(12, random, tilt_rad=0.002), random), RECTANGLE_M, BY_HAND)
    assert placement.findings.verdict == "refused"
    assert "all boards stand nearly parallel" in placement.findings.reasons[0]


def test_what_no_board_determines_is_said_to_be_unknown_and_not_to_be_sure() -> None:
    """Boards exactly parallel and no edges: along the boards, and about their normal, the camera may be anywhere."""
    random = np.random.default_rng(6)
    sights = _sights(board_poses(8, random, tilt_rad=0.0), random, rings=False)
    still = [
        Sight(pose, sight.cones)
        for pose, sight in zip(board_poses(8, np.random.default_rng(6), 0.0), sights, strict=True)
    ]
    placement = place_camera(still, RECTANGLE_M, BY_HAND)
    assert placement.findings.verdict == "refused"
    assert np.isfinite(placement.covariance).all()
    assert placement.evidence["sigma_translation_mm"] > 100
    assert placement.evidence["sigma_rotation_deg"] > 1
    json.dumps(placement.evidence, allow_nan=False)


def test_four_poses_are_refused_in_words() -> None:
    random = np.random.default_rng(7)
    placement = place_camera(_sights(board_poses(4, random), random), RECTANGLE_M, BY_HAND)
    assert placement.findings.verdict == "refused"
    assert "only 4 poses" in placement.findings.reasons[0]


def test_a_mounting_that_is_far_off_is_said_to_be() -> None:
    random = np.random.default_rng(9)
    sights = _sights(board_poses(6, random), random)
    with pytest.raises(CalibrationError, match="is the hand-measured mounting right"):
        place_camera(sights, RECTANGLE_M, turned((0, 0, 0), (0, 0, 3)) @ BY_HAND)


def test_twenty_real_poses_are_solved_to_a_centimetre(test_data: Path) -> None:
    """The measured centres, normals and corners of a VLP-16 and a fisheye camera; 0.77 cm is the least that centres
    alone allow.
    """
    blocks = np.loadtxt(test_data / "board_poses_vlp16" / "poses.csv", delimiter=",").reshape(-1, 19, 3)
    assert len(blocks) == 20
    rectangle_m = np.concatenate([-PLATE_M / 2, PLATE_M / 2])
    poses = [_measured(block) for block in blocks]
    found = solve(poses, rectangle_m, _from_points(blocks), first_gate_m=0.3)
    centres = blocks[:, 0] / 1e3
    errors = np.linalg.norm(blocks[:, 6] / 1e3 @ found[:3, :3].T + found[:3, 3] - centres, axis=1)
    placement = assess(poses, rectangle_m, found, 20)
    assert errors.mean() < 0.0105
    assert placement.findings.verdict != "refused"


def _measured(block: Array) -> BoardPose:
    """One pose from its 19 lines, in mm: centre, normal and four corners as the camera saw them, then as the lidar did.

    The lidar's corners are drawn in by up to a ring's distance, so of them only the board's heading is used: the plate
    is laid with its centre and normal where they were measured, and its corners count as points on its plane and on its
    sides.
    """
    in_camera, in_lidar = (_plate(block[first], block[first + 1], block[first + 2 : first + 6]) for first in (0, 6))
    half = PLATE_M / 2
    corners = np.array([(x, y, 0) for x in (-half[0], half[0]) for y in (-half[1], half[1])])
    outward = np.concatenate([[(np.sign(x), 0, 0), (0, np.sign(y), 0)] for x, y, _ in corners])
    points = corners @ in_lidar[:3, :3].T + in_lidar[:3, 3]
    return BoardPose(in_camera, points, np.repeat(points, 2, axis=0), 0.06 * outward @ in_lidar[:3, :3].T)


def _plate(centre_mm: Array, normal: Array, corners_mm: Array) -> Array:
    """sensor_from_plate (4, 4): z along the normal, y along the mean of the two long sides."""
    z = normal / np.linalg.norm(normal)
    sides = np.roll(corners_mm, -1, axis=0) - corners_mm
    long = (
        sides[0] - sides[2]
        if np.linalg.norm(sides[0] - sides[2]) > np.linalg.norm(sides[1] - sides[3])
        else sides[1] - sides[3]
    )
    y = long - (long @ z) * z
    y /= np.linalg.norm(y)
    plate = np.eye(4)
    plate[:3, :3], plate[:3, 3] = np.stack([np.cross(y, z), y, z], axis=1), centre_mm / 1e3
    return plate


def _from_points(blocks: Array) -> Array:
    """The rigid motion that takes the lidar's centres to the camera's (Kabsch), turned and shifted as a hand
    measurement would be.
    """
    camera, lidar = blocks[:, 0] / 1e3, blocks[:, 6] / 1e3
    u, _, v = np.linalg.svd((camera - camera.mean(axis=0)).T @ (lidar - lidar.mean(axis=0)))
    rotation = rotations(np.array([[0.03, -0.02, 0.03]]))[0] @ u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    start = np.eye(4)
    start[:3, :3], start[:3, 3] = rotation, camera.mean(axis=0) - rotation @ lidar.mean(axis=0)
    return start
