"""The rig's motion: between poses, from its own report, from the lidar; and what it did to a sweep's points."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.bundle import Array
from calibration.deskew import deskew
from calibration.errors import CalibrationError
from calibration.left_out import LeftOut
from calibration.motion import Odometry, Trajectory, lidar_odometry, trajectory
from devices.samples import NamedVector, Sample, Sweep
from devices.transform import Transform, rotation_from_vector, wxyz_from_rotation
from tests.calibration.builders import known_calibration, made_up

MS = 1_000_000
SPEED_M_S, YAW_RATE_RAD_S = 3.0, 0.4


def _true_pose(t_ns: int) -> Array:
    """A rig that drives a circle."""
    heading = YAW_RATE_RAD_S * t_ns * 1e-9
    radius = SPEED_M_S / YAW_RATE_RAD_S
    return Transform.of(
        "world",
        "rig",
        rotation_from_vector((0, 0, heading)),
        (radius * np.sin(heading), radius * (1 - np.cos(heading)), 0),
    ).matrix


def _circle(step_ns: int = 20 * MS, count: int = 100) -> Trajectory:
    times = np.arange(count) * step_ns
    return Trajectory(times, np.array([_true_pose(int(t)) for t in times]), "recorded pose")


def test_a_pose_between_two_is_half_way_in_turn_and_place() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, :3], poses[1, :3, 3] = rotation_from_vector((0, 0, 1.0)), (2, 0, 0)
    between = Trajectory(np.array([0, 100]), poses, "recorded pose").at(25)
    assert (between.to, between.from_) == ("world", "rig")
    np.testing.assert_allclose(between.rotation, rotation_from_vector((0, 0, 0.25)), atol=1e-12)
    np.testing.assert_allclose(between.translation_m, (0.5, 0, 0), atol=1e-12)


def test_interpolation_stays_within_a_millimetre_of_a_circle() -> None:
    circle = _circle()
    for t_ns in (7 * MS, 333 * MS, 1_970 * MS, 2_100 * MS):  # the last beyond the end
        true = Transform("world", "rig", _true_pose(t_ns))
        assert circle.at(t_ns).distance_to_m(true) < (0.001 if t_ns < 1_980 * MS else 0.02)


def test_the_velocity_is_along_the_rigs_own_axes() -> None:
    velocity = _circle().velocity_at(1_230 * MS)
    np.testing.assert_allclose(velocity, (SPEED_M_S, 0, 0, 0, 0, YAW_RATE_RAD_S), atol=0.02)


def test_beyond_its_reach_the_motion_is_unknown() -> None:
    with pytest.raises(CalibrationError, match="motion is known from 0 to"):
        _circle().at(10_000 * MS)
    with pytest.raises(CalibrationError, match="rising times"):
        Trajectory(np.array([1, 1]), np.tile(np.eye(4), (2, 1, 1)), "kiss-icp")


def _reported() -> Iterator[tuple[str, int, Sample]]:
    names = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz", "velocity.forward_m_s")
    for t_ns in range(0, 1_000 * MS, 20 * MS):
        pose = _true_pose(t_ns)
        values = np.array([*pose[:3, 3], *wxyz_from_rotation(pose[:3, :3]), SPEED_M_S])
        yield "robot/what", t_ns, NamedVector("robot", t_ns, "state", names, values)
        yield "robot/what", t_ns, NamedVector("robot", t_ns, "action", ("command.forward_m_s",), np.zeros(1))


def test_the_pose_that_the_robot_reports_is_taken_where_there_is_one() -> None:
    found = trajectory(made_up(_reported, ["robot"]), known_calibration())
    assert found.source == "recorded pose"
    assert len(found.times_ns) == 50
    np.testing.assert_allclose(found.at(500 * MS).matrix, _true_pose(500 * MS), atol=1e-9)


def test_zeros_from_a_robot_that_does_not_know_its_pose_yet_are_passed_over() -> None:
    def reported() -> Iterator[tuple[str, int, Sample]]:
        for number, (stream, host_ns, sample) in enumerate(_reported()):
            lost = isinstance(sample, NamedVector) and number < 10
            yield stream, host_ns, replace(sample, values=np.zeros(len(sample.values))) if lost else sample

    assert len(trajectory(made_up(reported, ["robot"]), known_calibration()).times_ns) == 45


def test_of_two_streams_of_poses_one_is_taken_and_they_are_never_mixed() -> None:
    """A ROS bag holds the same drive in the map's frame and in the odometry's, 100 m away."""

    def reported() -> Iterator[tuple[str, int, Sample]]:
        for stream, host_ns, sample in _reported():
            yield stream, host_ns, sample
            if isinstance(sample, NamedVector) and sample.topic == "state" and host_ns % (60 * MS) == 0:
                elsewhere = sample.values + np.array([100.0, *[0.0] * 7])
                yield "odometry/what", host_ns + MS, replace(sample, t_ns=host_ns + MS, values=elsewhere)

    recording, left_out = made_up(reported, ["odometry", "robot"]), LeftOut()
    found = trajectory(recording, known_calibration(), left_out)
    assert len(found.times_ns) == 50
    assert np.abs(found.world_from_rig[:, 0, 3]).max() < 10
    (line,) = left_out.lines(recording)
    assert line.startswith(
        "left out: the poses of odometry/what: the rig's motion is that of robot/what, which reports the most"
    )


def test_poses_too_far_apart_to_be_followed_give_way_to_the_lidar() -> None:
    def reported() -> Iterator[tuple[str, int, Sample]]:
        for number in range(3):
            _, _, sample = next(_reported())
            yield "robot/what", number * 5_000 * MS, replace(sample, t_ns=number * 5_000 * MS)

    with pytest.raises(CalibrationError, match="neither a pose nor a lidar"):
        trajectory(made_up(reported, ["robot"]), known_calibration())


def test_without_pose_and_lidar_the_motion_is_said_to_be_unknown() -> None:
    with pytest.raises(CalibrationError, match="neither a pose nor a lidar"):
        trajectory(made_up(lambda: iter(()), ["camera_left"]), known_calibration())


def _world() -> Array:
    """Points on walls and pillars around the circle, 40 to a metre of height or so."""
    random = np.random.default_rng(0)
    walls = [
        np.stack([random.uniform(-15, 25, 4000), np.full(4000, y), random.uniform(-1, 3, 4000)], axis=1)
        for y in (-8.0, 22.0)
    ]
    ends = [
        np.stack([np.full(4000, x), random.uniform(-8, 22, 4000), random.uniform(-1, 3, 4000)], axis=1)
        for x in (-15.0, 25.0)
    ]
    pillars = [np.stack([x + 0.3 * np.cos(a), y + 0.3 * np.sin(a), random.uniform(-1, 3, 300)], axis=1)
               for x, y in ((5, 8), (-4, 3), (12, -3), (15, 12), (-9, 15)) for a in [random.uniform(0, 6.28, 300)]]  # fmt: skip
    floor = np.stack([random.uniform(-15, 25, 6000), random.uniform(-8, 22, 6000), np.full(6000, -1.0)], axis=1)
    return np.concatenate([*walls, *ends, *pillars, floor])


def _sweep(t_ns: int, world: Array, lasts_ns: int = 100 * MS) -> Sweep:
    """The world as a lidar on the moving rig sees it, each point at its own instant by azimuth."""
    calibration = known_calibration()
    rig_from_lidar = calibration.rig_from("lidar").matrix
    middle = np.linalg.inv(_true_pose(t_ns + lasts_ns // 2) @ rig_from_lidar)
    local = world @ middle[:3, :3].T + middle[:3, 3]
    columns = np.floor((np.arctan2(local[:, 1], local[:, 0]) / (2 * np.pi) + 0.5) * 200).astype(int)
    points = np.empty_like(world)
    for column in range(201):
        mine = columns == column
        then = np.linalg.inv(_true_pose(t_ns + column * lasts_ns // 200) @ rig_from_lidar)
        points[mine] = world[mine] @ then[:3, :3].T + then[:3, 3]
    count = len(points)
    offsets = (columns * lasts_ns // 200).astype(np.int64)
    return Sweep(
        "lidar", t_ns, points.astype(np.float32), np.ones(count, np.float32), offsets, np.zeros(count, np.uint8)
    )


def test_deskewed_points_lie_where_they_are_at_the_instant_asked_for() -> None:
    world, calibration = _world(), known_calibration()
    t_ns = 650 * MS
    straight = deskew(_sweep(600 * MS, world), calibration, _circle(), t_ns)
    lidar_from_world = np.linalg.inv(_true_pose(t_ns) @ calibration.rig_from("lidar").matrix)
    np.testing.assert_allclose(straight, world @ lidar_from_world[:3, :3].T + lidar_from_world[:3, 3], atol=0.002)
    assert straight.dtype == np.float32


def test_noise_of_frequent_poses_is_no_velocity() -> None:
    """1 cm of noise at 200 Hz: from one pose to the next that looks like 3 m/s, and half a second on like 1.4 m."""
    random = np.random.default_rng(5)
    times = np.arange(400) * 5 * MS
    poses = np.tile(np.eye(4), (400, 1, 1))
    poses[:, 0, 3] = SPEED_M_S * times * 1e-9
    poses[:, :3, 3] += random.normal(0, 0.01, (400, 3))
    path = Trajectory(times, poses, "recorded pose")
    velocities = np.array([path.velocity_at(int(t_ns))[:3] for t_ns in np.arange(-400, 2_400, 50) * MS])
    assert np.abs(velocities - (SPEED_M_S, 0, 0)).max() < 0.6
    for t_ns in (-400 * MS, 2_395 * MS):
        assert np.abs(path.at(t_ns).translation_m - (SPEED_M_S * t_ns * 1e-9, 0, 0)).max() < 0.25


def _circle_without(from_ms: int, to_ms: int) -> Trajectory:
    """Four seconds of the circle whose poses from from_ms until before to_ms never came."""
    times = np.array([t for t in range(0, 4_000 * MS, 20 * MS) if not from_ms * MS <= t < to_ms * MS])
    return Trajectory(times, np.array([_true_pose(int(t)) for t in times]), "recorded pose")


def test_across_a_hole_in_the_poses_nothing_is_made_up() -> None:
    """The straight line between the hole's ends would be 0.6 m off the circle."""
    path = _circle_without(1_000, 3_000)
    assert [path.knows(t_ms * MS) for t_ms in (990, 1_400, 1_600, 2_000, 2_400, 2_600, 3_010)] == [
        *(True, True),
        *(False, False, False),
        *(True, True),
    ]
    for t_ns in (1_600 * MS, 2_000 * MS):
        with pytest.raises(CalibrationError, match="motion is known"):
            path.at(t_ns)
        with pytest.raises(CalibrationError, match="motion is known"):
            path.velocity_at(t_ns)
    for t_ns in (1_300 * MS, 2_700 * MS):
        assert path.at(t_ns).distance_to_m(Transform("world", "rig", _true_pose(t_ns))) < 0.1
    assert _circle_without(1_000, 2_000).knows(1_500 * MS), "a second without poses is bridged"


def test_what_is_known_is_told_stretch_by_stretch() -> None:
    assert _circle().known_ns == [(-500 * MS, 2_480 * MS)]
    assert _circle_without(1_000, 3_000).known_ns == [(-500 * MS, 1_480 * MS), (2_500 * MS, 4_480 * MS)]
    lone = Trajectory(np.array([0, 5_000 * MS]), np.tile(np.eye(4), (2, 1, 1)), "recorded pose")
    assert lone.known_ns == []
    assert not lone.knows(0), "one pose alone tells no velocity"


def test_a_sweep_at_the_end_of_what_is_known_is_deskewed_as_a_whole() -> None:
    """Its middle is known, its last points lie 30 ms behind that: the rig is taken to go on as it did."""
    world, calibration, path = _world(), known_calibration(), _circle_without(1_000, 3_000)
    t_ns = 1_460 * MS
    straight = deskew(_sweep(1_410 * MS, world), calibration, path, t_ns)
    true = np.linalg.inv(_true_pose(t_ns) @ calibration.rig_from("lidar").matrix)
    placed = world @ true[:3, :3].T + true[:3, 3]
    assert np.abs(straight - placed).max() < 0.05
    with pytest.raises(CalibrationError, match="motion is known"):
        deskew(_sweep(1_450 * MS, world), calibration, path, 1_500 * MS)


def test_the_lidars_odometry_follows_the_circle() -> None:
    world = _world()

    def sweeps() -> Iterator[tuple[str, int, Sample]]:
        for number in range(16):
            yield "lidar/what", number * 100 * MS, _sweep(number * 100 * MS, world)

    found = lidar_odometry(made_up(sweeps, ["lidar"]), known_calibration())
    np.testing.assert_allclose(found.world_from_rig[0], np.eye(4), atol=1e-9)
    # The first sweep is taken before any motion is known, so it stays skewed.
    first, last = int(found.times_ns[2]), int(found.times_ns[-1])
    moved = np.linalg.inv(found.at(first).matrix) @ found.at(last).matrix
    true = np.linalg.inv(_true_pose(first)) @ _true_pose(last)
    assert found.source == "kiss-icp"
    assert np.linalg.norm(moved[:3, 3] - true[:3, 3]) < 0.1  # of 3.9 m
    np.testing.assert_allclose(moved[:3, :3], true[:3, :3], atol=0.02)


def test_a_real_drives_odometry_goes_steadily_forward(test_data: Path) -> None:
    odometry = Odometry()
    positions = []
    for path in sorted((test_data / "kitti_drive" / "velodyne_points" / "data").glob("*.bin")):
        points = np.fromfile(path, dtype=np.float32).reshape(-1, 4)
        count = len(points)
        sweep = Sweep(
            "lidar", 0, points[:, :3].copy(), points[:, 3].copy(), np.zeros(count, np.int64), np.zeros(count, np.uint8)
        )
        positions.append(odometry.add(sweep)[:3, 3])
    steps = np.diff(positions, axis=0)
    assert len(positions) == 24
    assert (steps[:, 0] > 0.05).all()  # forward in every one of 23 steps
    assert abs(steps[:, 1:]).max() < 0.06
    assert 1.5 < steps[3:, 0].mean() / 0.1 < 3.0  # m/s on a 10 Hz clock: a slow approach to a queue at the lights
