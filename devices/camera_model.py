"""What a lens does: camera coordinates to pixels and back.

Pixel (0, 0) is the centre of the top left pixel. Camera frame: x right, y down, z forward (optical frame, ROS REP 103).
Both lens kinds and the order of their coefficients are OpenCV's ("Camera Calibration and 3D Reconstruction", "Fisheye camera model").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike, NDArray

from devices.errors import DeviceError

Lens = Literal["pinhole", "fisheye"]
_Numbers = NDArray[np.float64]
_RAY_ERROR_PX = 1e-6  # Newton ends below 1e-9; what is farther off has no inverse
_WIDEST = 50.0  # the tangent of 88.9 deg: the widest that a pinhole's table of radii goes
_VANISHING = 1e-12  # a coefficient below this bends nothing, but would upset the search for roots
_TABLE = 4001
_NEWTON_STEPS = 8
_COEFFICIENTS: dict[Lens, tuple[int, ...]] = {"pinhole": (0, 5, 8), "fisheye": (4,)}


@dataclass(frozen=True, slots=True)
class CameraModel:
    """One camera's projection.

    distortion: for ``pinhole`` () or k1 k2 p1 p2 k3 or k1 k2 p1 p2 k3 k4 k5 k6; for ``fisheye`` k1 k2 k3 k4.
    """

    lens: Lens
    width_px: int
    height_px: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.lens not in _COEFFICIENTS:
            raise DeviceError(f"no lens called '{self.lens}'; choose one of: {', '.join(_COEFFICIENTS)}")
        if len(self.distortion) not in _COEFFICIENTS[self.lens]:
            choices = " or ".join(map(str, _COEFFICIENTS[self.lens]))
            raise DeviceError(f"a {self.lens} lens has {choices} distortion coefficients, not {len(self.distortion)}")
        if min(self.fx, self.fy) <= 0 or min(self.width_px, self.height_px) <= 0:
            raise DeviceError(f"focal length and image size must be positive: {self.fx} x {self.fy} px")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) camera matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def without_distortion(self) -> CameraModel:
        """The ideal pinhole camera of the same matrix: what undistort() produces."""
        return CameraModel("pinhole", self.width_px, self.height_px, self.fx, self.fy, self.cx, self.cy)

    def project(self, points_m: ArrayLike) -> NDArray[np.float64]:
        """(N, 3) points in the camera frame -> (N, 2) px; NaN for points on or behind the image plane, or outside the lens model."""
        points = np.asarray(points_m, dtype=np.float64).reshape(-1, 3)
        z = np.where(points[:, 2] > 1e-6, points[:, 2], np.nan)
        x, y = points[:, 0] / z, points[:, 1] / z
        x, y = self._bend_fisheye(x, y) if self.lens == "fisheye" else self._bend_pinhole(x, y)
        return np.stack([self.fx * x + self.cx, self.fy * y + self.cy], axis=1)

    def rays(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) px -> (N, 3) unit directions in the camera frame: the inverse of project() to 1e-9 px; NaN where there is none."""
        flat = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        bent = (flat - (self.cx, self.cy)) / (self.fx, self.fy)
        plane = self._straighten_fisheye(bent) if self.lens == "fisheye" else self._straighten_pinhole(bent)
        directions = np.concatenate([plane, np.ones((len(flat), 1))], axis=1)
        missed_px = np.abs(self.project(directions) - flat).max(axis=1, initial=0)
        directions[~(missed_px < _RAY_ERROR_PX)] = np.nan
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), dtype=np.float64)

    def sees(self, pixels: NDArray[np.float64], margin_px: float = 0.0) -> NDArray[np.bool_]:
        """(N, 2) px -> (N,): inside the image, by at least margin_px. NaN is outside."""
        u, v = pixels[:, 0], pixels[:, 1]
        low, right, bottom = margin_px - 0.5, self.width_px - 0.5 - margin_px, self.height_px - 0.5 - margin_px
        return (u >= low) & (u < right) & (v >= low) & (v < bottom)

    def undistort(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) picture -> the picture that without_distortion() would have taken."""
        if not self.distortion:
            return pixels
        import cv2

        size = (self.width_px, self.height_px)
        if self.lens == "fisheye":
            maps = cv2.fisheye.initUndistortRectifyMap(
                self.matrix, np.array(self.distortion), np.eye(3), self.matrix, size, cv2.CV_32FC1
            )
        else:
            maps = cv2.initUndistortRectifyMap(
                self.matrix, np.array(self.distortion), np.eye(3), self.matrix, size, cv2.CV_32FC1
            )
        return np.asarray(cv2.remap(pixels, *maps, cv2.INTER_LINEAR), dtype=np.uint8)

    def _bend_pinhole(self, x: _Numbers, y: _Numbers) -> tuple[_Numbers, _Numbers]:
        """On the plane z = 1: where a straight ray goes through -> where the lens makes it appear."""
        radial, _ = _radial(self.distortion, x * x + y * y)
        p1, p2 = self._tangential
        r2 = x * x + y * y
        # Beyond the radius where the polynomial turns back, far points would land inside the picture a second time.
        radial = np.where(r2 < _turning_point(self.lens, self.distortion), radial, np.nan)
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )

    def _straighten_pinhole(self, bent: _Numbers) -> _Numbers:
        """(N, 2), the inverse of _bend_pinhole: the radial part from a table, then Newton's steps in both coordinates."""
        if not self.distortion:
            return bent
        radius = np.linspace(0, min(np.sqrt(_turning_point(self.lens, self.distortion)), _WIDEST), _TABLE)[:-1]
        seen = np.hypot(bent[:, 0], bent[:, 1])
        scale = np.interp(seen, radius * _radial(self.distortion, radius**2)[0], radius) / np.maximum(seen, 1e-12)
        x, y = bent[:, 0] * scale, bent[:, 1] * scale
        p1, p2 = self._tangential
        for _ in range(_NEWTON_STEPS):
            radial, slope = _radial(self.distortion, x * x + y * y)
            miss_x = x * radial + 2 * p1 * x * y + p2 * (3 * x * x + y * y) - bent[:, 0]
            miss_y = y * radial + p1 * (x * x + 3 * y * y) + 2 * p2 * x * y - bent[:, 1]
            xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
            xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
            yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
            with np.errstate(all="ignore"):  # rays() sees what has gone astray
                determinant = xx * yy - xy * xy
                x, y = x - (yy * miss_x - xy * miss_y) / determinant, y - (xx * miss_y - xy * miss_x) / determinant
        return np.stack([x, y], axis=1)

    @property
    def _tangential(self) -> tuple[float, float]:
        return (self.distortion[2], self.distortion[3]) if self.distortion else (0.0, 0.0)

    def _bend_fisheye(self, x: _Numbers, y: _Numbers) -> tuple[_Numbers, _Numbers]:
        """Kannala and Brandt 2006: the angle from the axis is bent by an odd polynomial."""
        r = np.hypot(x, y)
        theta = np.arctan(r)
        theta = np.where(theta * theta < _turning_point(self.lens, self.distortion), theta, np.nan)
        scale = np.where(r > 1e-12, _bent_angle(self.distortion, theta)[0] / np.where(r > 1e-12, r, 1), 1.0)
        return x * scale, y * scale

    def _straighten_fisheye(self, bent: _Numbers) -> _Numbers:
        """(N, 2), the inverse of _bend_fisheye: a table of angles, then Newton's steps."""
        seen = np.hypot(bent[:, 0], bent[:, 1])
        limit = min(np.sqrt(_turning_point(self.lens, self.distortion)), np.pi / 2)
        table = np.linspace(0, limit, _TABLE)[:-1]
        theta = np.interp(seen, _bent_angle(self.distortion, table)[0], table)
        for _ in range(_NEWTON_STEPS):
            value, slope = _bent_angle(self.distortion, theta)
            theta = np.clip(theta - (value - seen) / np.where(slope > 1e-12, slope, 1e-12), 0, limit)
        scale = np.where(seen > 1e-12, np.tan(theta) / np.where(seen > 1e-12, seen, 1), 1.0)
        return np.asarray(bent * scale[:, None], dtype=np.float64)


def _radial(distortion: tuple[float, ...], t: _Numbers) -> tuple[_Numbers, _Numbers]:
    """The factor by which a squared radius t is stretched, and its derivative by t."""
    above, below = _rational(distortion)
    n, d = above(t), below(t)
    with np.errstate(all="ignore"):  # past the pole project() says NaN
        slope = (above.deriv()(t) * d - n * below.deriv()(t)) / (d * d)
        return np.asarray(n / d, dtype=np.float64), np.asarray(slope, dtype=np.float64)


def _rational(distortion: tuple[float, ...]) -> tuple[Polynomial, Polynomial]:
    """Numerator and denominator of the radial factor, in the squared radius."""
    k1, k2, _, _, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    return Polynomial([1, k1, k2, k3]), Polynomial([1, k4, k5, k6])


def _bent_angle(distortion: tuple[float, ...], theta: _Numbers) -> tuple[_Numbers, _Numbers]:
    """The bent angle and its derivative by theta."""
    k1, k2, k3, k4 = distortion
    t = theta * theta
    value = theta * (1 + t * (k1 + t * (k2 + t * (k3 + t * k4))))
    return value, 1 + t * (3 * k1 + t * (5 * k2 + t * (7 * k3 + t * 9 * k4)))


@lru_cache(maxsize=64)
def _turning_point(lens: Lens, distortion: tuple[float, ...]) -> float:
    """The squared radius (fisheye: angle) at which the picture stops growing with it, the end of what the model describes."""
    if not distortion:
        return np.inf
    if lens == "fisheye":
        factors = (factor * k for factor, k in zip((3, 5, 7, 9), distortion, strict=True))
        edges: NDArray[Any] = Polynomial([1, *factors]).trim(_VANISHING).roots()
    else:
        above, below = _rational(distortion)
        t = Polynomial([0, 1])  # d/dr of r above/below, times below squared
        growth = (above + 2 * t * above.deriv()) * below - 2 * t * above * below.deriv()
        edges = np.concatenate([growth.trim(_VANISHING).roots(), below.trim(_VANISHING).roots()])
    real = edges[np.abs(edges.imag) < 1e-9].real
    return float(min(real[real > 0], default=np.inf))
