"""Rigid transforms whose frames are part of their type: ``a_from_b @ b_from_c`` is ``a_from_c``, and nothing else composes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.errors import DeviceError


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """Takes a point's coordinates in ``from_`` to its coordinates in ``to``. matrix: (4, 4) float64, rigid, metres."""

    to: str
    from_: str
    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise DeviceError(f"{self.to}_from_{self.from_}: a transform is a finite 4x4 matrix, not {matrix.shape}")
        rotation = matrix[:3, :3]
        if abs(rotation @ rotation.T - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
            raise DeviceError(
                f"{self.to}_from_{self.from_}: the upper left 3x3 is no rotation (not orthonormal within 1e-6)"
            )
        if abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-9:
            raise DeviceError(f"{self.to}_from_{self.from_}: the last row must be 0 0 0 1, not {matrix[3]}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @staticmethod
    def identity(to: str, from_: str) -> Transform:
        return Transform(to, from_, np.eye(4))

    @staticmethod
    def of(to: str, from_: str, rotation: ArrayLike, translation_m: ArrayLike) -> Transform:
        """From a (3, 3) rotation matrix and a (3,) translation."""
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = translation_m
        return Transform(to, from_, matrix)

    @staticmethod
    def from_quaternion(to: str, from_: str, wxyz: ArrayLike, translation_m: ArrayLike) -> Transform:
        """From a (4,) quaternion, scalar first, of any length but zero."""
        return Transform.of(to, from_, rotation_from_wxyz(wxyz), translation_m)

    @staticmethod
    def from_rpy(to: str, from_: str, rpy_deg: ArrayLike, translation_m: ArrayLike) -> Transform:
        """From roll, pitch, yaw in degrees about the fixed axes x, y, z in this order (ROS REP 103)."""
        roll, pitch, yaw = np.radians(np.asarray(rpy_deg, dtype=np.float64))
        return Transform.of(to, from_, _about("z", yaw) @ _about("y", pitch) @ _about("x", roll), translation_m)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3)"""
        return self.matrix[:3, :3]

    @property
    def translation_m(self) -> NDArray[np.float64]:
        """(3,): where ``from_``'s origin lies in ``to``."""
        return self.matrix[:3, 3]

    @property
    def wxyz(self) -> NDArray[np.float64]:
        """(4,) unit quaternion, scalar first and not negative."""
        return wxyz_from_rotation(self.rotation)

    @property
    def yaw_rad(self) -> float:
        """The heading of ``from_``'s x axis in ``to``'s xy plane, in [-pi, pi]."""
        return float(np.arctan2(self.matrix[1, 0], self.matrix[0, 0]))

    def inverse(self) -> Transform:
        rotation = self.rotation.T
        return Transform.of(self.from_, self.to, rotation, -rotation @ self.translation_m)

    def __matmul__(self, other: Transform) -> Transform:
        if self.from_ != other.to:
            raise DeviceError(
                f"{self.to}_from_{self.from_} @ {other.to}_from_{other.from_}: "
                f"the inner frames '{self.from_}' and '{other.to}' differ"
            )
        return Transform(self.to, other.from_, self.matrix @ other.matrix)

    def apply(self, points_m: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) points in ``from_`` -> (..., 3) in ``to``."""
        points = np.asarray(points_m, dtype=np.float64)
        return points @ self.rotation.T + self.translation_m

    def angle_to_deg(self, other: Transform) -> float:
        """The angle of the rotation between the two, in [0, 180]."""
        twist = rotation_vector(self.rotation.T @ other.rotation)
        return float(np.degrees(np.linalg.norm(twist)))

    def distance_to_m(self, other: Transform) -> float:
        """The distance between the two origins."""
        return float(np.linalg.norm(self.translation_m - other.translation_m))


def rotation_from_wxyz(wxyz: ArrayLike) -> NDArray[np.float64]:
    """(4,) quaternion, scalar first -> (3, 3). Raises DeviceError when its length is zero."""
    quaternion = np.asarray(wxyz, dtype=np.float64)
    length = float(np.linalg.norm(quaternion))
    if quaternion.shape != (4,) or not np.isfinite(length) or length < 1e-9:
        raise DeviceError(f"a quaternion is four finite numbers, not all zero: {quaternion}")
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def wxyz_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """(3, 3) -> (4,) unit quaternion, scalar first and not negative.

    Bar-Itzhack 2000, "New method for extracting the quaternion from a rotation matrix": the eigenvector of the largest eigenvalue.
    """
    m = np.asarray(rotation, dtype=np.float64)
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    _, vectors = np.linalg.eigh(k)  # reads the lower triangle
    x, y, z, w = vectors[:, -1]
    wxyz = np.array([w, x, y, z])
    return -wxyz if w < 0 else wxyz


def rotation_from_vector(vector_rad: ArrayLike) -> NDArray[np.float64]:
    """(3,) axis times angle -> (3, 3). Rodrigues' formula."""
    vector = np.asarray(vector_rad, dtype=np.float64)
    angle = float(np.linalg.norm(vector))
    k = _cross_matrix(vector)
    if angle < 1e-8:
        return np.eye(3) + k + k @ k / 2
    turned = np.eye(3) + np.sin(angle) / angle * k + (1 - np.cos(angle)) / angle**2 * (k @ k)
    return np.asarray(turned, dtype=np.float64)


def rotation_vector(rotation: ArrayLike) -> NDArray[np.float64]:
    """(3, 3) -> (3,) axis times angle, the angle in [0, pi]. The inverse of rotation_from_vector."""
    w, *xyz = wxyz_from_rotation(rotation)
    axis = np.array(xyz)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return 2 * axis
    return axis * (2 * float(np.arctan2(sine, w)) / sine)


def _cross_matrix(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def _about(axis: str, angle_rad: float) -> NDArray[np.float64]:
    return rotation_from_vector(angle_rad * np.eye(3)["xyz".index(axis)])
