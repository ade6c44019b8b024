"""The inertial sensor inside the lidar: turning rate and specific force of a body that rides on the robot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from devices.transform import Transform
from devices.virtual.motion import Moving
from devices.virtual.ouster_packets import G_M_S2, IMU_PACKET, IMU_TO_SENSOR_MM
from devices.virtual.rig_truth import ACCELERATION_NOISE_M_S2, GYRO_NOISE_RAD_S

_STEP_NS = 4_000_000


def imu_packets(
    rig: Moving, rig_from_lidar: Transform, t_ns: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.void]:
    """(N,) times -> (N,) IMU_PACKET stamped with the take's time. Rates by central differences of the pose over 8 ms."""
    lidar_from_imu = IMU_TO_SENSOR_MM.copy()
    lidar_from_imu[:3, 3] /= 1000
    mount = rig_from_lidar.matrix @ lidar_from_imu
    before, now, after = (rig.matrices(np.maximum(t_ns + shift, 0)) @ mount for shift in (-_STEP_NS, 0, _STEP_NS))
    step_s = _STEP_NS * 1e-9
    acceleration = (after[:, :3, 3] - 2 * now[:, :3, 3] + before[:, :3, 3]) / step_s**2
    force = np.einsum("nji,nj->ni", now[:, :3, :3], acceleration + np.array([0, 0, G_M_S2]))
    turned = np.einsum("nji,njk->nik", before[:, :3, :3], after[:, :3, :3])
    rate = np.stack(
        [turned[:, 2, 1] - turned[:, 1, 2], turned[:, 0, 2] - turned[:, 2, 0], turned[:, 1, 0] - turned[:, 0, 1]],
        axis=1,
    )
    rate = rate / 2 / (2 * step_s)  # the sine of a small angle
    packets = np.zeros(len(t_ns), dtype=IMU_PACKET)
    packets["t_ns"] = t_ns[:, None]
    packets["acceleration_g"] = (force + ACCELERATION_NOISE_M_S2 * rng.standard_normal(force.shape)) / G_M_S2
    packets["rate_deg_s"] = np.degrees(rate + GYRO_NOISE_RAD_S * rng.standard_normal(rate.shape))
    return packets
