"""Undo what the rig's motion during a sweep did to its points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.calibration import Calibration
from calibration.motion import Trajectory
from devices.samples import Sweep


def deskew(sweep: Sweep, calibration: Calibration, trajectory: Trajectory, t_ns: int) -> NDArray[np.float32]:
    """(N, 3) float32, m: a sweep's points in the lidar's frame AT t_ns, an instant in the sweep or near it.

    sweep: on the common clock (calibration/sync.py), each point in the lidar's frame at its own instant, t_ns +
    offset_ns. Things that move by themselves stay smeared: only the rig's own motion is undone. Raises CalibrationError
    where the trajectory does not know t_ns; ask Trajectory.knows() first.
    """
    if not len(sweep):
        return np.zeros((0, 3), dtype=np.float32)
    rig_from_lidar = calibration.rig_from(sweep.sensor).matrix
    instants, which = np.unique(sweep.offset_ns, return_inverse=True)  # a column's points share one instant
    lidar_from_world = np.linalg.inv(trajectory.matrices_at(t_ns)[0] @ rig_from_lidar)
    then = lidar_from_world @ trajectory.matrices_at(sweep.t_ns + instants, about_ns=t_ns) @ rig_from_lidar
    points = np.einsum("nij,nj->ni", then[which, :3, :3], sweep.points_m.astype(np.float64)) + then[which, :3, 3]
    return np.asarray(points, dtype=np.float32)
