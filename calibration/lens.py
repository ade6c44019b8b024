"""A lens with its derivatives: what bundle adjustment needs beside devices/camera_model.py, whose formulas these are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from devices.camera_model import CameraModel, Lens

Array = NDArray[np.float64]


def parameters_of(model: CameraModel) -> Array:
    """Fx fy cx cy and the distortion, in this order."""
    return np.array([model.fx, model.fy, model.cx, model.cy, *model.distortion])


def with_parameters(model: CameraModel, parameters: Array) -> CameraModel:
    """The same kind of camera with other parameters; as many as it should have distortion coefficients plus four."""
    fx, fy, cx, cy, *distortion = map(float, parameters)
    return CameraModel(model.lens, model.width_px, model.height_px, fx, fy, cx, cy, tuple(distortion))


def project(lens: Lens, parameters: Array, points_m: Array) -> tuple[Array, Array, Array]:
    """(N, 3) points in the camera frame -> (N, 2) px, its derivatives by the points (N, 2, 3) and by the parameters
    (N, 2, P).
    """
    fx, fy, cx, cy = parameters[:4]
    z = points_m[:, 2]
    x, y = points_m[:, 0] / z, points_m[:, 1] / z
    bend = _fisheye if lens == "fisheye" else _pinhole
    bent, by_xy, by_k = bend(x, y, parameters[4:])
    focal = np.array([fx, fy])[:, None]
    plane = np.zeros((len(z), 2, 3))  # d(x, y) / d(point)
    plane[:, 0, 0] = plane[:, 1, 1] = 1 / z
    plane[:, 0, 2], plane[:, 1, 2] = -x / z, -y / z
    by_parameters = np.zeros((len(z), 2, len(parameters)))
    by_parameters[:, 0, 0], by_parameters[:, 1, 1] = bent[:, 0], bent[:, 1]
    by_parameters[:, 0, 2] = by_parameters[:, 1, 3] = 1
    by_parameters[:, :, 4:] = focal * by_k
    return bent * focal[:, 0] + (cx, cy), focal * (by_xy @ plane), by_parameters


def _pinhole(x: Array, y: Array, k: Array) -> tuple[Array, Array, Array]:
    """On the plane z = 1: bent (N, 2), its derivatives by x y (N, 2, 2) and by the coefficients (N, 2, K)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = np.concatenate([k, np.zeros(8 - len(k))])
    r2 = x * x + y * y
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / below
    slope = (k1 + r2 * (2 * k2 + 3 * k3 * r2) - radial * (k4 + r2 * (2 * k5 + 3 * k6 * r2))) / below
    cross = x * y
    bent = np.stack(
        [x * radial + 2 * p1 * cross + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * cross],
        axis=1,
    )
    by_xy = np.empty((len(x), 2, 2))
    by_xy[:, 0, 0] = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    by_xy[:, 1, 1] = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    by_xy[:, 0, 1] = by_xy[:, 1, 0] = 2 * cross * slope + 2 * p1 * x + 2 * p2 * y
    above = np.stack([r2, r2**2, r2**3], axis=1) / below[:, None]
    by_k = np.zeros((len(x), 2, 8))
    for axis, value in enumerate((x, y)):
        by_k[:, axis, [0, 1, 4]] = value[:, None] * above
        by_k[:, axis, 5:] = -(value * radial)[:, None] * above
    by_k[:, 0, 2], by_k[:, 0, 3] = 2 * cross, r2 + 2 * x * x
    by_k[:, 1, 2], by_k[:, 1, 3] = r2 + 2 * y * y, 2 * cross
    return bent, by_xy, by_k[:, :, : len(k)]


def _fisheye(x: Array, y: Array, k: Array) -> tuple[Array, Array, Array]:
    """As _pinhole."""
    k1, k2, k3, k4 = k
    r = np.maximum(np.hypot(x, y), 1e-9)  # the formulas' limits on the axis, to rounding
    theta = np.arctan(r)
    t2 = theta * theta
    bent_theta = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    by_theta = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    scale = bent_theta / r
    slope = (by_theta / (1 + r * r) - scale) / r
    by_xy = np.empty((len(x), 2, 2))
    by_xy[:, 0, 0] = scale + x * x / r * slope
    by_xy[:, 1, 1] = scale + y * y / r * slope
    by_xy[:, 0, 1] = by_xy[:, 1, 0] = x * y / r * slope
    powers = np.stack([theta**3, theta**5, theta**7, theta**9], axis=1) / r[:, None]
    by_k = np.stack([x[:, None] * powers, y[:, None] * powers], axis=1)
    return np.stack([x * scale, y * scale], axis=1), by_xy, by_k
