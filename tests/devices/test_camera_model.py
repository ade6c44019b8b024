import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.camera_model import CameraModel
from devices.errors import DeviceError

# Lenses as they are measured: none, a webcam's barrel, eight coefficients of a 6016 x 4016 px wide lens, a 120 degree fisheye.
IDEAL = CameraModel("pinhole", 640, 480, 500, 510, 320, 240)
BARREL = CameraModel("pinhole", 640, 480, 533, 533, 342, 234, (-0.281, 0.0251, 0.00121, -0.00014, 0.1632))
RATIONAL = CameraModel(
    "pinhole", 6016, 4016, 2069, 2067, 2969, 1993,
    (0.7835, 0.0477, 4e-05, -2e-05, 0.00041, 1.1193, 0.1627, 0.0042),
)  # fmt: skip
FISHEYE = CameraModel("fisheye", 1280, 960, 620, 622, 641, 478, (-0.02, 0.006, -0.003, 0.0004))
MODELS = [IDEAL, BARREL, RATIONAL, FISHEYE]
over_models = pytest.mark.parametrize("model", MODELS, ids=["ideal", "barrel", "rational", "fisheye"])


def grid(model: CameraModel, columns: int = 41, rows: int = 31) -> np.ndarray:
    u, v = np.meshgrid(np.linspace(0, model.width_px - 1, columns), np.linspace(0, model.height_px - 1, rows))
    return np.stack([u.ravel(), v.ravel()], axis=1)


def in_front(model: CameraModel, count: int = 500) -> np.ndarray:
    return model.rays(grid(model))[:count] * np.random.default_rng(1).uniform(0.5, 80, (count, 1))


@over_models
def test_every_pixel_of_the_picture_comes_back_from_its_ray(model: CameraModel) -> None:
    pixels = grid(model)
    rays = model.rays(pixels)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    for distance_m in (0.1, 100.0):
        np.testing.assert_allclose(model.project(rays * distance_m), pixels, atol=1e-8)


@over_models
def test_projection_is_opencvs(model: CameraModel) -> None:
    points = in_front(model)
    zero = np.zeros(3)
    distortion = np.array(model.distortion or (0.0,) * 5)
    if model.lens == "fisheye":
        expected, _ = cv2.fisheye.projectPoints(points.reshape(-1, 1, 3), zero, zero, model.matrix, distortion)
    else:
        expected, _ = cv2.projectPoints(points, zero, zero, model.matrix, distortion)
    np.testing.assert_allclose(model.project(points), expected.reshape(-1, 2), atol=1e-6)


@given(
    k1=st.floats(-0.4, 0.4), k2=st.floats(-0.2, 0.2), p1=st.floats(-0.003, 0.003), p2=st.floats(-0.003, 0.003),
    k3=st.floats(-0.05, 0.05),
)  # fmt: skip
def test_a_pixels_ray_leads_back_to_it_or_is_nan_for_any_pinhole(
    k1: float, k2: float, p1: float, p2: float, k3: float
) -> None:
    model = CameraModel("pinhole", 640, 480, 500, 500, 320, 240, (k1, k2, p1, p2, k3))
    pixels = grid(model, 9, 7)
    rays = model.rays(pixels)
    there = np.isfinite(rays).all(axis=1)
    assert there[len(pixels) // 2]
    np.testing.assert_allclose(model.project(rays[there]), pixels[there], atol=1e-6)


@given(st.lists(st.floats(-0.1, 0.1), min_size=4, max_size=4))
def test_a_pixels_ray_leads_back_to_it_or_is_nan_for_any_fisheye(distortion: list[float]) -> None:
    model = CameraModel("fisheye", 640, 480, 300, 300, 320, 240, tuple(distortion))
    pixels = grid(model, 9, 7)
    rays = model.rays(pixels)
    there = np.isfinite(rays).all(axis=1)
    assert there[len(pixels) // 2]
    np.testing.assert_allclose(model.project(rays[there]), pixels[there], atol=1e-6)


def test_a_pixel_beyond_the_lens_has_no_ray() -> None:
    assert np.isnan(FISHEYE.rays([[10_000.0, 478.0]])).all()


@over_models
def test_points_behind_the_camera_and_in_its_plane_are_nan(model: CameraModel) -> None:
    assert np.isnan(model.project([[0.1, 0.1, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])).all()


def test_a_point_far_aside_does_not_land_in_the_picture_a_second_time() -> None:
    """Where the barrel's polynomial turns back, at a radius of about 1.1, wide points would come in again."""
    turned = CameraModel("pinhole", 640, 480, 500, 500, 320, 240, (-0.3, 0.02, 0, 0, 0))
    radius = np.linspace(0.0, 6.0, 600)
    points = np.stack([radius, np.zeros(600), np.ones(600)], axis=1)
    u = turned.project(points)[:, 0]
    seen = np.isfinite(u)
    assert (np.diff(u[seen]) > 0).all()
    assert 0 < seen.sum() < 600
    assert seen[: seen.sum()].all()


def test_the_optical_axis_falls_on_the_principal_point() -> None:
    for model in MODELS:
        np.testing.assert_allclose(model.project([[0, 0, 3.0]]), [[model.cx, model.cy]], atol=1e-9)


def test_right_is_right_and_down_is_down() -> None:
    for model in MODELS:
        (u, v), (u2, v2) = model.project([[0.1, 0, 1], [0, 0.1, 1]])
        assert u > model.cx
        assert v == pytest.approx(model.cy, abs=0.2)
        assert v2 > model.cy
        assert u2 == pytest.approx(model.cx, abs=0.2)


def test_a_pixel_reaches_half_a_pixel_beyond_its_centre() -> None:
    pixels = np.array([[-0.5, -0.5], [-0.51, 0], [639.49, 479.49], [639.5, 0], [np.nan, 0], [10, 10]])
    assert IDEAL.sees(pixels).tolist() == [True, False, True, False, False, True]
    assert IDEAL.sees(pixels, margin_px=5).tolist() == [False, False, False, False, False, True]


@pytest.mark.parametrize("model", [BARREL, FISHEYE], ids=["barrel", "fisheye"])
def test_an_undistorted_picture_is_what_the_ideal_camera_sees(model: CameraModel) -> None:
    """A blob painted where the lens makes a point appear is afterwards where the ideal camera sees it."""
    point = np.array([[0.25, -0.15, 1.0]])
    picture = np.zeros((model.height_px, model.width_px, 3), dtype=np.uint8)
    u, v = model.project(point)[0]
    rows, columns = np.mgrid[: model.height_px, : model.width_px]
    picture[:] = (255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 18))[..., None].astype(np.uint8)
    straight = model.undistort(picture)[..., 0].astype(float)
    centre = [(straight * axis).sum() / straight.sum() for axis in (columns, rows)]
    np.testing.assert_allclose(centre, model.without_distortion().project(point)[0], atol=0.1)
    assert IDEAL.undistort(picture) is picture


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lens": "pineapple"}, "no lens called 'pineapple'; choose one of: pinhole, fisheye"),
        ({"distortion": (1.0,)}, "a pinhole lens has 0 or 5 or 8 distortion coefficients, not 1"),
        ({"fx": 0.0}, "must be positive"),
        ({"height_px": 0}, "must be positive"),
    ],
)
def test_what_is_no_camera_says_why(change: dict[str, object], says: str) -> None:
    fields = {"lens": "pinhole", "width_px": 640, "height_px": 480, "fx": 500, "fy": 500, "cx": 320, "cy": 240}
    with pytest.raises(DeviceError, match=says):
        CameraModel(**fields | change)


def test_the_reference_solution_of_the_fisheye_set_is_inverted(test_data: Path) -> None:
    """mrcal's OPENCV8 solution of a real 6016 x 4016 px lens, over the whole picture."""
    model = reference_lens(test_data / "fisheye_corners")
    pixels = grid(model, 60, 40)
    np.testing.assert_allclose(model.project(model.rays(pixels)), pixels, atol=1e-8)


def reference_lens(folder: Path) -> CameraModel:
    said = ast.literal_eval((folder / "opencv8-0.cameramodel").read_text())
    assert said["lensmodel"] == "LENSMODEL_OPENCV8"
    width, height = said["imagersize"]
    return CameraModel("pinhole", width, height, *said["intrinsics"][:4], tuple(said["intrinsics"][4:]))
