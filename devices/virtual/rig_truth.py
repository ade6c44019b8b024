"""The virtual rig as it really is: where each sensor sits, what each lens does, how wrong each clock is.

The rig is a waist-high delivery robot: x forward, y left, z up, origin on the ground below its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from devices.camera_model import CameraModel
from devices.transform import Transform
from devices.virtual.clocks import DeviceClock, Transport

LIDAR = "lidar"
ROBOT = "robot"
OPERATOR = "operator"
CAMERAS = ("camera_left", "camera_right")
SENSORS = (*CAMERAS, LIDAR, ROBOT, OPERATOR)

RANGE_NOISE_M = 0.01
PIXEL_NOISE = 1.6  # grey levels, one sigma
POSITION_NOISE_M = 0.002  # of the robot's own localisation
YAW_NOISE_RAD = 0.0005
GYRO_NOISE_RAD_S = 0.001
ACCELERATION_NOISE_M_S2 = 0.02

CAMERA_MODELS = MappingProxyType(
    {
        "camera_left": CameraModel(
            "pinhole", 640, 480, 452.3, 453.1, 321.7, 237.6, (-0.172, 0.041, 0.0006, -0.0004, -0.003)
        ),
        "camera_right": CameraModel(
            "pinhole", 640, 480, 448.9, 449.4, 316.8, 241.3, (-0.165, 0.036, -0.0005, 0.0007, -0.002)
        ),
    }
)

# Rig axes in a camera's: the optical frame looks along z, the rig along x.
_RIG_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def _camera(sensor: str, rpy_deg: tuple[float, float, float], xyz_m: tuple[float, float, float]) -> Transform:
    turned = Transform.from_rpy("rig", "body", rpy_deg, xyz_m)
    return turned @ Transform.of("body", sensor, _RIG_FROM_OPTICAL, (0, 0, 0))


RIG_FROM = MappingProxyType(
    {
        "lidar": Transform.from_rpy("rig", "lidar", (0.5, -0.7, 1.2), (0.021, -0.006, 1.252)),
        "camera_left": _camera("camera_left", (0.9, 4.6, 22.7), (0.284, 0.163, 1.041)),
        "camera_right": _camera("camera_right", (-1.1, 3.5, -21.4), (0.291, -0.152, 1.048)),
    }
)

CLOCKS = MappingProxyType(
    {
        "camera_left": DeviceClock(43_000_000, 32.0),
        "camera_right": DeviceClock(-27_400_000, -18.0),
        "lidar": DeviceClock(18_300_000, 41.0),
        "robot": DeviceClock(-61_700_000, -25.0),
        "operator": DeviceClock(12_600_000, 8.0),
    }
)

TRANSPORTS = MappingProxyType(
    {
        "camera_left": Transport(21_000_000, 4_000_000),
        "camera_right": Transport(23_000_000, 4_000_000),
        "lidar": Transport(2_000_000, 700_000),
        "robot": Transport(3_000_000, 2_500_000),
        "operator": Transport(4_000_000, 500_000),
    }
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a stream comes, and when after the take's start its first sample is."""

    every_ns: int
    first_ns: int = 0

    def times_ns(self, end_ns: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.arange(self.first_ns, end_ns, self.every_ns, dtype=np.int64)


PACES = MappingProxyType(
    {
        "camera_left": Pace(100_000_000, 37_000_000),
        "camera_right": Pace(100_000_000, 71_000_000),
        "lidar": Pace(100_000_000, 12_000_000),
        "imu": Pace(10_000_000, 3_000_000),
        "state": Pace(20_000_000, 1_000_000),
        "action": Pace(20_000_000, 1_500_000),
    }
)
