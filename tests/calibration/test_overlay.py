"""The cloud and cuboids drawn on pictures."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from calibration.errors import CalibrationError
from calibration.files import import_kitti_calibration
from calibration.overlay import draw_cloud, draw_cuboids, overlay_at, visible
from capture.clock.filter import ClockFit
from devices.camera_model import CameraModel
from devices.samples import NamedVector, Sample
from devices.transform import Transform
from tests.calibration.builders import black_image, empty_sweep, known_calibration, made_up

MODEL = CameraModel("pinhole", 320, 240, 200, 200, 159.5, 119.5)
AHEAD = Transform("camera", "lidar", np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]))


@dataclass
class _Cuboid:
    """4 m long, 2 m wide, 1.5 m high."""

    center_m: tuple[float, float, float] = (8.0, 0.0, 0.0)
    yaw_deg: float = 0.0

    def corners_m(self) -> NDArray[np.float64]:
        plan = ((2, 1), (-2, 1), (-2, -1), (2, -1))
        own = [(x, y, z) for z in (-0.75, 0.75) for x, y in plan]
        return Transform.from_rpy("lidar", "box", (0, 0, self.yaw_deg), self.center_m).apply(own)


def _wall(x_m: float, half_m: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    y, z = np.meshgrid(np.linspace(-half_m, half_m, 60), np.linspace(-half_m, half_m, 60))
    return np.stack([np.full(y.size, x_m), y.ravel(), z.ravel()], axis=1)


def test_what_stands_behind_something_is_not_drawn() -> None:
    near, far = _wall(4.0, 0.8), _wall(10.0, 1.5)  # the far wall's picture lies within the near one's
    seen, _, depth = visible(MODEL, AHEAD, np.concatenate([near, far]))
    assert (seen < len(near)).all()
    assert len(seen) == len(near)
    assert (abs(depth - 4) < 1e-9).all()
    assert len(visible(MODEL, AHEAD, far)[0]) == len(far)


def test_points_behind_the_camera_or_beside_the_picture_are_not_drawn() -> None:
    points = np.array([[-5, 0, 0], [5, 20, 0], [5, 0, 0]], dtype=np.float64)
    assert visible(MODEL, AHEAD, points)[0].tolist() == [2]


def test_a_point_is_drawn_where_it_is_and_nowhere_else() -> None:
    black = np.zeros((240, 320, 3), dtype=np.uint8)
    drawn = draw_cloud(black, MODEL, AHEAD, np.array([[5.0, 1.0, 0.5]]))
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert abs(columns.mean() - (159.5 - 200 / 5)) < 0.6
    assert abs(rows.mean() - (119.5 - 100 / 5)) < 0.6
    assert len(rows) < 40
    assert not black.any()


def test_near_is_red_and_far_is_blue() -> None:
    black = np.zeros((240, 320, 3), dtype=np.uint8)
    near, far = (
        draw_cloud(black, MODEL, AHEAD, np.array([[x, 0.0, 0.0]])).reshape(-1, 3).astype(int).sum(axis=0)
        for x in (2.5, 50.0)
    )
    assert near[0] > 2 * near[2]
    assert far[2] > far[0]


def test_a_cuboids_wires_frame_its_corners() -> None:
    cuboid = _Cuboid(yaw_deg=17)
    drawn = draw_cuboids(np.zeros((240, 320, 3), dtype=np.uint8), MODEL, AHEAD, [cuboid])
    corners = MODEL.project(AHEAD.apply(cuboid.corners_m()))
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert abs(columns.min() - corners[:, 0].min()) < 2
    assert abs(rows.max() - corners[:, 1].max()) < 2
    assert not draw_cuboids(np.zeros((240, 320, 3), np.uint8), MODEL, AHEAD, [_Cuboid((-8.0, 0.0, 0.0))]).any()


def test_only_the_front_face_has_a_cross() -> None:
    black = np.zeros((240, 320, 3), dtype=np.uint8)

    def crossed(x_m: float, heading_deg: float) -> bool:
        """Whether the middle of the face at that distance is drawn on."""
        drawn = draw_cuboids(black, MODEL, AHEAD, [_Cuboid((8.0, 4.0, 0.0), heading_deg)])
        (u, v) = MODEL.project(AHEAD.apply([[x_m, 4.0, 0.0]]))[0].round().astype(int)
        return bool(drawn[v - 1 : v + 2, u - 1 : u + 2].any())

    assert [crossed(10.0, 0), crossed(6.0, 0)] == [True, False]
    assert [crossed(10.0, 180), crossed(6.0, 180)] == [False, True]


def test_on_the_real_drive_the_points_sit_on_the_cars(test_data: Path) -> None:
    """The windows of the red van ahead are dark to the lidar, its sheet metal is not: depth edges and picture edges
    agree.
    """
    drive = test_data / "kitti_drive"
    calibration = import_kitti_calibration(drive)
    pixels = np.array(Image.open(drive / "image_02" / "data" / "0000000000.png").convert("RGB"))
    points = np.fromfile(drive / "velodyne_points" / "data" / "0000000000.bin", dtype=np.float32).reshape(-1, 4)[:, :3]
    model, placed = calibration.camera("camera_02"), calibration.between("camera_02", "lidar")

    def score(turn_deg: float) -> float:
        """Mean picture gradient at the cloud's depth edges."""
        turned = Transform.from_rpy("camera_02", "camera_02", (0, turn_deg, 0), (0, 0, 0)) @ placed
        index, where, depth = visible(model, turned, points)
        order = np.argsort(index)  # a ring's neighbours follow each other
        where, depth = where[order], depth[order]
        edges = np.flatnonzero((np.diff(depth) > 1.0) & (np.linalg.norm(np.diff(where, axis=0), axis=1) < 15))
        grey = pixels.mean(axis=2)
        gradient = np.abs(np.gradient(grey, axis=1))
        columns, rows = np.round(where[edges]).astype(int).clip(0, (1241, 374)).T
        return float(gradient[rows, columns].mean())

    assert score(0.0) > 1.15 * max(score(1.0), score(-1.0))


MS = 1_000_000


def _drive(with_poses: bool = True, broken: Collection[int] = ()) -> Any:
    """Two seconds of sweeps and pictures at 10 Hz; the pose, of a rig that drives 5 m/s ahead, ends after half a second.

    broken: the numbers of pictures whose stamp is of another day.
    """
    names = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")

    def events() -> Iterator[tuple[str, int, Sample]]:
        for number in range(20):
            t_ns = number * 100 * MS
            if with_poses and t_ns <= 500 * MS:
                values = np.array([5.0 * t_ns * 1e-9, 0, 0, 1, 0, 0, 0])
                yield "robot/what", t_ns, NamedVector("robot", t_ns, "state", names, values)
            wrong_ns = 86_400_000 * MS if number in broken else 0
            yield "camera_left/what", t_ns + 76 * MS, black_image(t_ns + 75 * MS + wrong_ns)
            yield "lidar/what", t_ns + 101 * MS, empty_sweep(t_ns)

    clocks = {"camera_left/what": [ClockFit(0, 0, 0.0, 1000, 100)]}
    return made_up(events, ["camera_left", "lidar", "robot"], clocks=clocks)


def test_where_the_pose_has_ended_the_cloud_is_drawn_as_it_came_and_said_to_be_so() -> None:
    assert overlay_at(_drive(), known_calibration(), at_ns=0).notes == ()
    late = overlay_at(_drive(), known_calibration(), at_ns=1_200 * MS)
    assert late.t_ns == 1_275 * MS
    assert late.notes == (
        "the cloud is drawn as it came, not moved to the picture's instant: no pose was reported within 0.5 s of it",
    )
    (note,) = overlay_at(_drive(with_poses=False), known_calibration(), at_ns=0).notes
    assert note.endswith("nothing recorded tells the rig's pose")


def test_pictures_that_no_clock_brings_to_a_time_are_told_beside_the_one_that_is_drawn() -> None:
    drawn = overlay_at(_drive(broken=[0, 1]), known_calibration(), at_ns=0)
    assert drawn.t_ns == 275 * MS
    (note,) = drawn.notes
    assert note.startswith("left out: 2 samples of camera_left/what: no fit of the sensor's clock")


def test_where_that_leaves_no_picture_the_error_says_so_in_its_one_line() -> None:
    with pytest.raises(
        CalibrationError, match=r"no sweep with a picture.*left out: 20 samples of camera_left"
    ) as caught:
        overlay_at(_drive(broken=range(20)), known_calibration(), at_ns=0)
    assert "\n" not in str(caught.value)
