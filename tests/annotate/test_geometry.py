"""Metres, pixels, percent: there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.birdseye import View, draw
from annotate.errors import AnnotateError
from annotate.label_studio.results import Plan, ns_from_iso, plan_from_rectangle, require_drawable
from annotate.label_studio.tasks import rectangle, region_from_cuboid
from annotate.labels import footprint, wrapped
from tests.annotate.builders import cuboid

views = st.sampled_from([View.square(80.0), View.square(60.0), View(-12.5, 33.0, 2000, 700, 0.04)])
middles = st.tuples(st.floats(-40, 40), st.floats(-40, 40))
sides = st.tuples(st.floats(0.1, 20), st.floats(0.1, 5))
yaws = st.floats(-np.pi, np.pi, exclude_max=True)


@given(views, middles, sides, yaws)
def test_a_box_comes_back_from_percent_to_within_a_nanometre(view, middle, size, yaw):
    plan = plan_from_rectangle(rectangle(view, middle, size, yaw), view)
    assert np.abs(np.subtract(plan.middle_m, middle)).max() < 1e-9
    assert abs(plan.length_m - size[0]) < 1e-9
    assert abs(plan.width_m - size[1]) < 1e-9
    assert abs(wrapped(plan.yaw_rad - yaw)) < 1e-9


@given(views, middles, sides, yaws)
def test_a_rectangle_starts_at_the_rear_left_corner_of_the_box(view, middle, size, yaw):
    # Label Studio turns clockwise about x, y; the picture's y points down: unturned, that corner is the box's rear left.
    value = rectangle(view, middle, size, yaw)
    corner = view.metres([[value["x"] / 100 * view.width_px, value["y"] / 100 * view.height_px]])[0]
    rear_left = footprint(middle, size, yaw)[1]
    assert np.abs(corner - rear_left).max() < 1e-9


@given(views, middles, sides, yaws)
def test_flipping_turns_the_heading_by_half_a_turn_and_moves_nothing(view, middle, size, yaw):
    value = rectangle(view, middle, size, yaw)
    plain, flipped = plan_from_rectangle(value, view), plan_from_rectangle(value, view, flip=True)
    assert plain.middle_m == flipped.middle_m
    assert abs(abs(wrapped(plain.yaw_rad - flipped.yaw_rad)) - np.pi) < 1e-9


@given(views, st.lists(middles, min_size=1, max_size=5))
def test_pixels_and_metres_are_each_others_inverse(view, points):
    assert np.abs(view.metres(view.pixels(points)) - np.array(points)).max() < 1e-9


def test_a_known_rectangle_means_known_metres():
    # 80 m over 1600 px: 10 % is 8 m. Turned by 90 degrees clockwise about (50 %, 50 %) it runs down: heading -y, left is +x.
    plan = plan_from_rectangle({"x": 50, "y": 50, "width": 10, "height": 5, "rotation": 90}, View.square(80.0))
    assert plan.middle_m == pytest.approx((-2.0, -4.0))
    assert (plan.length_m, plan.width_m) == pytest.approx((8.0, 4.0))
    assert plan.yaw_rad == pytest.approx(-np.pi / 2)


@pytest.mark.parametrize(
    "value",
    [
        {"x": 1, "y": 1, "width": 1, "height": 1},
        {"x": 1, "y": 1, "width": 0, "height": 1, "rotation": 0},
        {"x": "one", "y": 1, "width": 1, "height": 1, "rotation": 0},
        {"x": float("nan"), "y": 1, "width": 1, "height": 1, "rotation": 0},
    ],
)
def test_a_rectangle_that_is_none_is_refused(value):
    with pytest.raises(AnnotateError, match="rectangle"):
        plan_from_rectangle(value, View.square(80.0))


def test_a_region_carries_the_cuboids_id_class_and_note():
    box, front = region_from_cuboid(cuboid("o007", category="van"), View.square(80.0), text="id 7 pts 45")
    assert (box["id"], box["value"]["rectanglelabels"], box["meta"]) == ("o007", ["van"], {"text": ["id 7 pts 45"]})
    assert (front["id"], front["value"]["choices"]) == ("o007", ["front ok"])


def test_a_point_is_drawn_where_the_view_says_with_high_ones_on_top():
    view = View.square(80.0)
    points = np.array([[10.0, 5.0, 0.0], [10.0, 5.0, 2.5], [-20.0, -30.0, 0.0]])
    height = np.array([0.0, 2.5, 0.0])
    picture = draw(view, points, np.array([1.0, 1.0, 1.0]), height)
    u, v = view.pixels(points)[0].astype(int)
    red, _, blue = picture[v, u].tolist()
    assert red > 150 > blue, "2.5 m high is drawn orange to red"
    u, v = view.pixels(points)[2].astype(int)
    assert len(set(picture[v, u].tolist())) == 1, "ground is grey"
    assert picture[v, u, 0] > 100


def test_a_picture_is_60_m_wide_only_where_little_stands_further_away():
    near = np.column_stack([np.linspace(-25, 25, 1000), np.zeros(1000), np.zeros(1000)])
    height = np.ones(1000)
    assert View.for_scene(near, height) == View.square(60.0)
    assert View.for_scene(near * 1.6, height) == View.square(80.0)
    assert View.for_scene(near * 1.6, np.zeros(1000)) == View.square(80.0), "nothing but ground says nothing"


def test_label_studios_times_become_whole_nanoseconds():
    assert ns_from_iso("2026-01-31T12:00:00.123456Z") == 1_769_860_800_123_456_000
    assert ns_from_iso("2026-01-31T13:00:00.123456+01:00") == 1_769_860_800_123_456_000
    for broken in ("", "soon", "2026-01-31T12:00:00"):
        with pytest.raises(AnnotateError, match="time"):
            ns_from_iso(broken)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan((400.0, 0.0), 4.0, 2.0, 0.0), "outside the picture of 1600 x 1600"),
        (Plan((0.0, 0.0), 800_000.0, 2.0, 0.0), "800000 x 2 m"),
        (Plan((0.0, 0.0), 4.0, 1e-9, 0.0), "4 x 1e-09 m"),
    ],
)
def test_a_box_that_nobody_can_have_drawn_is_refused(plan, says):
    with pytest.raises(AnnotateError, match=says):
        require_drawable(plan, View.square(80.0))
    require_drawable(Plan((39.0, -39.0), 4.0, 2.0, 0.0), View.square(80.0))
