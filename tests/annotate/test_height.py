"""How high a box stands that was drawn in plan only."""

import numpy as np
import pytest

from annotate.height import stand
from annotate.prelabel.ground import find_ground
from tests.annotate.builders import LIDAR_HEIGHT_M, STREET, Thing, scan


@pytest.mark.parametrize(
    "thing", [t for t in STREET if t.category != "wall"], ids=lambda t: f"{t.category} at {t.middle_m}"
)
def test_height_comes_from_the_points_within_three_stated_deviations(thing):
    points = scan()
    found = stand(
        thing.center_m,
        thing.size_m,
        np.radians(thing.yaw_deg),
        thing.category,
        points[:, :3],
        find_ground(points[:, :3], points[:, 3]),
    )
    assert found.measured
    assert found.bottom_m == pytest.approx(-LIDAR_HEIGHT_M, abs=0.05)
    assert abs(found.top_m - found.bottom_m - thing.size_m[2]) < 3 * found.sigma_m
    assert found.sigma_m < 0.2


def test_the_top_is_not_biased_where_beams_lie_far_apart():
    errors = []
    for distance in np.linspace(20, 32, 9):
        thing = Thing("van", (distance, 0.0), (4.9, 1.9, 2.1), 0.0)  # higher than the lidar: no roof is seen
        points = scan([thing])
        found = stand(thing.center_m, thing.size_m, 0.0, "van", points[:, :3], find_ground(points[:, :3], points[:, 3]))
        errors.append(found.top_m - found.bottom_m - 2.1)
    assert abs(np.mean(errors)) < 0.05
    assert np.abs(errors).max() < 0.2


def test_a_box_with_hardly_any_points_says_that_its_height_is_the_typical_one():
    points = scan([])
    found = stand((20.0, 5.0), (4.2, 1.8), 0.0, "car", points[:, :3], find_ground(points[:, :3], points[:, 3]))
    assert not found.measured
    assert found.top_m - found.bottom_m == pytest.approx(1.55)
    assert found.sigma_m >= 0.2


def test_what_hangs_above_an_object_does_not_count_as_its_top():
    car = Thing("car", (12.0, 3.0), (4.3, 1.8, 1.5), 0.0)
    points = scan([car])
    crown = np.column_stack(
        [np.random.default_rng(0).uniform((10, 2.2, 1.2), (14, 3.8, 2.2), (200, 3)), np.full(200, 0.5)]
    )
    both = np.vstack([points, crown.astype(np.float32)])
    found = stand(car.center_m, car.size_m, 0.0, "car", both[:, :3], find_ground(points[:, :3], points[:, 3]))
    assert found.top_m - found.bottom_m == pytest.approx(1.5, abs=0.15)
