"""The world: shapes that are closed and tight, traffic that does not collide, enough to see."""

import numpy as np
import pytest

from devices.transform import Transform
from devices.virtual.lidar import Sweeps
from devices.virtual.mesh import Finish, Mesh, blob, box, cylinder
from devices.virtual.rig_truth import RIG_FROM
from devices.virtual.scenes import Scene
from devices.virtual.truth import TruthObject, boxes_of
from devices.virtual.vehicles import car, person, truck, van

GREY = Finish((0.5, 0.5, 0.5))


def volume_m3(mesh: Mesh) -> float:
    """Positive where all faces look outwards (divergence theorem)."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_the_faces_of_basic_shapes_close_and_look_outwards() -> None:
    assert volume_m3(box((1, 2, 3), (2, 4, 6), GREY)) == pytest.approx(6)
    for axis in "zy":
        twelve_sided = 12 / 2 * np.sin(2 * np.pi / 12) * 0.5**2 * 3
        assert volume_m3(cylinder((5, 0, 0), 0.5, 3, GREY, axis=axis)) == pytest.approx(twelve_sided)
    assert 0.5 < volume_m3(blob((0, 0, 9), (1, 1, 1), GREY, seed=1)) / (4 / 3 * np.pi) < 1.0


@pytest.mark.parametrize(
    "mesh",
    [
        car(4.4, 1.8, 1.45, (1, 0, 0)),
        car(4.0, 1.7, 1.5, (1, 0, 0), estate=True),
        van(5.3, 2.0, 2.2, (0, 0, 1)),
        truck(7.2, 2.3, 3.1, (1, 1, 0)),
        person(1.75, (0, 1, 0), (0, 0, 0)),
    ],
)
def test_a_vehicle_is_no_plain_box_and_stands_on_the_ground(mesh: Mesh) -> None:
    low, high = mesh.bounds
    assert low[2] == pytest.approx(0, abs=1e-9)
    assert 0 < volume_m3(mesh) < 0.95 * np.prod(high - low)


def test_every_cuboid_touches_its_object_on_all_six_sides(drive: Scene) -> None:
    for thing in drive.world.things:
        low, high = thing.mesh.bounds
        length, width, height = thing.size_m
        np.testing.assert_allclose(low, (-length / 2, -width / 2, 0), atol=1e-9, err_msg=thing.id)
        np.testing.assert_allclose(high, (length / 2, width / 2, height), atol=1e-9, err_msg=thing.id)


def test_nothing_ever_runs_into_anything_or_into_the_robot(drive: Scene) -> None:
    """Each footprint is covered with points a quarter of a metre apart; none may lie within another's footprint."""
    things, robot = drive.world.things, drive.robot.motion
    for t_ns in range(0, drive.length_ns, 200_000_000):
        poses = [thing.motion.matrices([t_ns])[0] for thing in things]
        robot_xy = robot.at([t_ns])[0][0, :2]
        for one, pose in zip(things, poses, strict=True):
            away = np.abs((robot_xy - pose[:2, 3]) @ pose[:2, :2]) - np.array(one.size_m[:2]) / 2
            assert np.linalg.norm(np.maximum(away, 0)) > 0.7, f"{one.id} and the robot at {t_ns} ns"
            for other, other_pose in zip(things, poses, strict=True):
                if one is not other and np.linalg.norm(pose[:2, 3] - other_pose[:2, 3]) < 10:
                    spots = (_footprint(other) @ other_pose[:2, :2].T + other_pose[:2, 3] - pose[:2, 3]) @ pose[:2, :2]
                    hit = (np.abs(spots) < np.array(one.size_m[:2]) / 2).all(axis=1)
                    assert not hit.any(), f"{one.id} and {other.id} at {t_ns} ns"


def _footprint(thing) -> np.ndarray:  # type: ignore[no-untyped-def]
    length, width, _ = thing.size_m
    x, y = np.linspace(-length / 2, length / 2, 30), np.linspace(-width / 2, width / 2, 12)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def test_most_sweeps_of_the_drive_hold_ten_objects_of_fifty_points(drive: Scene) -> None:
    sweeps = Sweeps.of(drive.world, drive.robot.motion, RIG_FROM["lidar"], parked=False)
    objects = [TruthObject(t.id, t.name, t.category, t.size_m, t.motion) for t in drive.world.things]
    rng = np.random.default_rng(0)
    well_seen, moving = [], set()
    for t_ns in range(1_000_000_000, drive.length_ns, 2_500_000_000):
        columns = sweeps.packets(t_ns, 1, rng)["columns"].reshape(-1)
        seen = columns["pixel"][..., 0] > 0
        distance, _, _ = sweeps.cast(t_ns)
        points = (
            sweeps.origins[:, None] + sweeps.directions * np.where(np.isfinite(distance), distance, 0)[..., None]
        )[seen]
        world_from_lidar = (
            Transform("world", "rig", drive.robot.motion.matrices([t_ns + 50_000_000])[0]) @ RIG_FROM["lidar"]
        )
        counts = {
            b.id: int(b.contains(points, 0.15).sum())
            for b in boxes_of(objects, world_from_lidar.inverse(), t_ns + 50_000_000)
        }
        well_seen.append(sum(count >= 50 for count in counts.values()))
        moving |= {name for name, count in counts.items() if count >= 50 and not name.startswith("parked")}
    assert np.median(well_seen) >= 10
    assert np.mean(np.array(well_seen) >= 10) > 0.7
    assert len(moving) >= 7, "traffic and people must come by"


def test_six_tasks_are_driven_with_turns_at_walking_speed(drive: Scene) -> None:
    assert len(drive.robot.episodes) == 6
    for episode in drive.robot.episodes:
        assert 4e9 < episode.stop_ns - episode.start_ns < 6.5e9
        ends = drive.robot.velocity_at([episode.start_ns, episode.stop_ns])
        np.testing.assert_allclose(ends, 0, atol=0.02)
    forward = drive.robot.velocity[:, 0]
    assert 1.9 < forward.max() <= 2.0
    assert np.ptp(drive.robot.motion.yaw_rad) > np.radians(120)
