"""Overlap of oriented boxes: closed forms, axioms, and counting random points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.iou import area, clipped, iou_3d, iou_birdseye
from tests.annotate.builders import cuboid

sizes = st.tuples(*(st.floats(0.2, 12.0),) * 3)
places = st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(-3, 3))
yaws = st.floats(-np.pi, np.pi)
boxes = st.builds(lambda c, s, y: cuboid(center_m=c, size_m=s, yaw_rad=y), places, sizes, yaws)


@given(boxes)
def test_a_box_overlaps_itself_wholly(box):
    assert iou_3d(box, box) == pytest.approx(1, abs=1e-9)


@given(boxes, st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-2, 2)), sizes, yaws)
def test_overlap_is_the_same_both_ways_and_no_more_than_one(box, offset, size, yaw):
    other = cuboid(center_m=box.center_m + offset, size_m=size, yaw_rad=yaw)
    assert iou_3d(box, other) == pytest.approx(iou_3d(other, box), abs=1e-9)
    assert 0 <= iou_3d(box, other) <= 1 + 1e-9
    assert 0 <= iou_birdseye(box, other) <= 1 + 1e-9


@given(boxes, st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-1, 1)), sizes, yaws, yaws)
def test_overlap_stays_when_both_boxes_turn_and_move_together(box, offset, size, yaw, turn):
    def moved(c):
        cos, sin = np.cos(turn), np.sin(turn)
        x, y, z = c.center_m
        return cuboid(
            center_m=(cos * x - sin * y + 5, sin * x + cos * y - 3, z + 1), size_m=c.size_m, yaw_rad=c.yaw_rad + turn
        )

    other = cuboid(center_m=box.center_m + offset, size_m=size, yaw_rad=yaw)
    assert iou_3d(moved(box), moved(other)) == pytest.approx(iou_3d(box, other), abs=1e-6)


def test_a_box_facing_backwards_overlaps_itself_wholly():
    assert iou_3d(cuboid(yaw_rad=0.4), cuboid(yaw_rad=0.4 + np.pi)) == pytest.approx(1)


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 1 / 3), (0.25, 0.6), (1.0, 0.0), (1.5, 0.0)])
def test_unit_cubes_that_slide_apart_overlap_as_geometry_says(shift, expected):
    one = cuboid(center_m=(0, 0, 0), size_m=(1, 1, 1), yaw_rad=0)
    for axis in range(3):
        other = cuboid(center_m=np.eye(3)[axis] * shift, size_m=(1, 1, 1), yaw_rad=0)
        assert iou_3d(one, other) == pytest.approx(expected, abs=1e-12)


def test_a_square_and_the_same_turned_by_45_degrees_overlap_in_a_regular_octagon():
    one = cuboid(center_m=(50, -20, 0), size_m=(1, 1, 1), yaw_rad=0.0)
    other = cuboid(center_m=(50, -20, 0), size_m=(1, 1, 1), yaw_rad=np.pi / 4)
    octagon = 2 * (np.sqrt(2) - 1)  # area of the octagon with inradius 1/2
    assert iou_birdseye(one, other) == pytest.approx(octagon / (2 - octagon), abs=1e-12)


@settings(max_examples=15)
@given(boxes, st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-1, 1)), sizes, yaws, st.integers(0, 2**31))
def test_overlap_agrees_with_counting_random_points(box, offset, size, yaw, seed):
    other = cuboid(center_m=box.center_m + offset, size_m=size, yaw_rad=yaw)
    corners = np.vstack([box.corners_m(), other.corners_m()])
    points = np.random.default_rng(seed).uniform(corners.min(axis=0), corners.max(axis=0), (60_000, 3))
    a, b = box.contains(points), other.contains(points)
    union = (a | b).sum()
    if union > 3000:
        expected = (a & b).sum() / union
        # four standard deviations of a share counted among that many points, and what rounding may add
        assert iou_3d(box, other) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / union) + 1e-3)


def test_clipping_by_a_window_that_holds_it_keeps_a_polygon():
    triangle = np.array([[0.0, 0], [1, 0], [0, 1]])
    window = np.array([[-5.0, -5], [5, -5], [5, 5], [-5, 5]])
    assert area(clipped(triangle, window)) == pytest.approx(0.5)
    assert len(clipped(triangle + 100, window)) == 0
