"""What a lens does: camera coordinates to pixels and back.

Pixel (0, 0) is the centre of the top left pixel. Camera frame: x right, y down, z forward (optical frame, ROS REP 103).
Both lens kinds and the order of their coefficients are OpenCV's ("Camera Calibration and 3D Reconstruction", "Fisheye camera model").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.errors import DeviceError

Lens = Literal["pinhole", "fisheye"]
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
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

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
        """(N, 2) px -> (N, 3) unit directions in the camera frame. The inverse of project(), iterated to 1e-9 px or better."""
        import cv2

        flat = np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        tight = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-13)
        if self.lens == "fisheye":
            bent = cv2.fisheye.undistortPoints(flat, self.matrix, np.array(self.distortion), criteria=tight)
        else:
            bent = cv2.undistortPointsIter(flat, self.matrix, np.array(self.distortion or (0.0,) * 5), None, None, tight)
        directions = np.concatenate([bent.reshape(-1, 2), np.ones((len(flat), 1))], axis=1)
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

    def _bend_pinhole(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.distortion, *(0.0,) * (8 - len(self.distortion)))
        r2 = x * x + y * y
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        # Beyond the radius where the polynomial turns back, far points would land inside the picture a second time.
        slope = np.gradient(_radius_after(np.linspace(0, 3, 3001), (k1, k2, k3, k4, k5, k6)))
        limit = np.linspace(0, 3, 3001)[np.argmax(slope <= 0)] if (slope <= 0).any() else np.inf
        radial = np.where(r2 < limit**2, radial, np.nan)
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )

    def _bend_fisheye(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        k1, k2, k3, k4 = self.distortion
        r = np.hypot(x, y)
        theta = np.arctan(r)
        t2 = theta * theta
        bent = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
        scale = np.where(r > 1e-12, bent / np.where(r > 1e-12, r, 1), 1.0)
        return x * scale, y * scale


def _radius_after(r: NDArray[np.float64], k: tuple[float, ...]) -> NDArray[np.float64]:
    """Distorted radius of each radius, both on the plane z = 1."""
    k1, k2, k3, k4, k5, k6 = k
    r2 = r * r
    return np.asarray(
        r * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6))), dtype=np.float64
    )
