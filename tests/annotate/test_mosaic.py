"""All cameras as one picture, with the pre-labels as wires."""

import numpy as np
import pytest

from annotate.mosaic import mosaic
from tests.annotate.builders import STREET

WIRE = (255, 214, 10)


def near(picture, u, v, colour, reach=3):
    patch = picture[round(v) - reach : round(v) + reach + 1, round(u) - reach : round(u) + reach + 1].astype(int)
    return bool((np.abs(patch - colour).max(axis=2) < 60).any())


def test_wires_lie_where_the_camera_sees_the_boxes_corners(street):
    car = STREET[1].cuboid
    grey = np.full((188, 621, 3), 90, dtype=np.uint8)
    picture = mosaic({"camera_02": grey}, [car], "lidar", street.calibration)
    scale = picture.shape[1] / 621
    corners = street.calibration.between("camera_02", "lidar").apply(car.corners_m())
    pixels = (street.calibration.camera("camera_02").project(corners) + 0.5) * scale
    assert all(near(picture, u, v, WIRE) for u, v in pixels)
    bare = mosaic({"camera_02": grey}, [], "lidar", street.calibration)
    assert not any(near(bare, u, v, WIRE) for u, v in pixels)


@pytest.mark.parametrize(
    ("cameras", "shape", "columns"), [(1, (375, 1242), 1), (2, (480, 640), 1), (6, (900, 1600), 2), (3, (900, 1600), 1)]
)
def test_tiles_are_laid_out_so_that_they_are_large_on_a_square(street, cameras, shape, columns):
    height, width = shape
    pictures = {f"c{k}": np.full((height, width, 3), 40 * k, dtype=np.uint8) for k in range(cameras)}
    whole = mosaic(pictures, [], "lidar", street.calibration)
    tile = whole.shape[1] / columns
    rows = -(-cameras // columns)
    assert whole.shape[1] >= 1120, "never enlarged by the browser"
    assert whole.shape[0] == pytest.approx(rows * tile * height / width, rel=0.03)


def test_a_frame_without_a_picture_says_so_instead_of_failing(street):
    assert mosaic({}, [], "lidar", street.calibration).max() > 200
