import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from devices.errors import DeviceError
from devices.transform import Transform, rotation_from_vector, rotation_from_wxyz, rotation_vector, wxyz_from_rotation

metres = st.floats(-1000, 1000, allow_subnormal=False)
vectors = arrays(np.float64, 3, elements=st.floats(-3.1, 3.1, allow_subnormal=False))
points = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(3)), elements=metres)
quaternions = arrays(np.float64, 4, elements=st.floats(-10, 10, allow_subnormal=False))


@st.composite
def transforms(draw: st.DrawFn, to: str, from_: str) -> Transform:
    translation = draw(arrays(np.float64, 3, elements=metres))
    return Transform.of(to, from_, rotation_from_vector(draw(vectors)), translation)


def check_same(a: Transform, b: Transform) -> None:
    assert (a.to, a.from_) == (b.to, b.from_)
    np.testing.assert_allclose(a.matrix, b.matrix, atol=1e-9)


@given(transforms("a", "b"), transforms("b", "c"), transforms("c", "d"))
def test_composition_is_associative(x: Transform, y: Transform, z: Transform) -> None:
    check_same((x @ y) @ z, x @ (y @ z))


@given(transforms("a", "b"))
def test_the_identity_changes_nothing_on_either_side(x: Transform) -> None:
    check_same(x @ Transform.identity("b", "b"), x)
    check_same(Transform.identity("a", "a") @ x, x)


@given(transforms("a", "b"))
def test_a_transform_and_its_inverse_cancel_both_ways(x: Transform) -> None:
    check_same(x @ x.inverse(), Transform.identity("a", "a"))
    check_same(x.inverse() @ x, Transform.identity("b", "b"))
    check_same(x.inverse().inverse(), x)


@given(transforms("a", "b"), transforms("b", "c"), points)
def test_applying_a_composition_is_applying_one_after_the_other(x: Transform, y: Transform, p: np.ndarray) -> None:
    np.testing.assert_allclose((x @ y).apply(p), x.apply(y.apply(p)), atol=1e-8)


@given(transforms("a", "b"), points)
def test_distances_survive(x: Transform, p: np.ndarray) -> None:
    moved = x.apply(p)
    np.testing.assert_allclose(
        np.linalg.norm(moved[:, None] - moved[None], axis=-1), np.linalg.norm(p[:, None] - p[None], axis=-1), atol=1e-7
    )


@given(vectors)
def test_a_rotation_vector_shorter_than_half_a_turn_comes_back(vector: np.ndarray) -> None:
    assume(np.linalg.norm(vector) < np.pi - 1e-3)
    np.testing.assert_allclose(rotation_vector(rotation_from_vector(vector)), vector, atol=1e-9)


@given(quaternions)
def test_a_quaternion_comes_back_with_unit_length_and_a_scalar_that_is_not_negative(wxyz: np.ndarray) -> None:
    length = np.linalg.norm(wxyz)
    assume(length > 1e-3)
    back = wxyz_from_rotation(rotation_from_wxyz(wxyz))
    assert back[0] >= 0
    np.testing.assert_allclose(abs(back @ wxyz / length), 1, atol=1e-12)


def test_quarter_turns_go_the_way_that_rep_103_says() -> None:
    x, y, z = np.eye(3)
    yaw = Transform.from_rpy("a", "b", (0, 0, 90), (0, 0, 0))
    np.testing.assert_allclose(yaw.apply(x), y, atol=1e-12)
    assert np.degrees(yaw.yaw_rad) == pytest.approx(90)
    np.testing.assert_allclose(Transform.from_rpy("a", "b", (90, 0, 0), (0, 0, 0)).apply(y), z, atol=1e-12)
    np.testing.assert_allclose(Transform.from_rpy("a", "b", (0, 90, 0), (0, 0, 0)).apply(z), x, atol=1e-12)
    # about fixed axes: roll first, yaw last
    np.testing.assert_allclose(Transform.from_rpy("a", "b", (90, 0, 90), (0, 0, 0)).apply(y), z, atol=1e-12)


def test_the_translation_is_where_the_inner_frames_origin_lies() -> None:
    rig_from_lidar = Transform.from_rpy("rig", "lidar", (0, 0, 180), (1, 2, 3))
    np.testing.assert_allclose(rig_from_lidar.apply([0, 0, 0]), [1, 2, 3])
    np.testing.assert_allclose(rig_from_lidar.apply([1, 0, 0]), [0, 2, 3], atol=1e-12)


def test_angle_and_distance_between_two_are_those_that_were_put_in() -> None:
    a = Transform.from_rpy("rig", "lidar", (0, 0, 10), (0, 0, 0))
    b = Transform.from_rpy("rig", "lidar", (0, 0, -20), (0, 3, 4))
    assert a.angle_to_deg(b) == pytest.approx(30)
    assert a.distance_to_m(b) == pytest.approx(5)


def test_frames_that_do_not_meet_are_named() -> None:
    a, b = Transform.identity("rig", "camera"), Transform.identity("lidar", "world")
    with pytest.raises(DeviceError, match="rig_from_camera @ lidar_from_world: the inner frames 'camera' and 'lidar'"):
        _ = a @ b


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.eye(3), "finite 4x4 matrix"),
        (np.full((4, 4), np.nan), "finite 4x4 matrix"),
        (np.diag([1, 1, -1, 1]), "no rotation"),
        (np.diag([2, 1, 1, 1]), "no rotation"),
        (np.diag([1, 1, 1, 2]), "last row"),
    ],
)
def test_a_matrix_that_is_not_rigid_is_refused_by_the_frames_names(matrix: np.ndarray, says: str) -> None:
    with pytest.raises(DeviceError, match=rf"rig_from_lidar: .*{says}"):
        Transform("rig", "lidar", matrix)


@pytest.mark.parametrize("wxyz", [(0, 0, 0, 0), (1, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 0)])
def test_numbers_that_are_no_quaternion_are_refused(wxyz: tuple[float, ...]) -> None:
    with pytest.raises(DeviceError, match="four finite numbers, not all zero"):
        Transform.from_quaternion("a", "b", wxyz, (0, 0, 0))


def test_a_transforms_matrix_cannot_be_changed_nor_follows_its_source() -> None:
    matrix = np.eye(4)
    made = Transform("a", "b", matrix)
    matrix[0, 3] = 5
    assert made.translation_m[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        made.matrix[0, 3] = 1
