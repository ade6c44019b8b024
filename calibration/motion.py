"""Where the rig was at every instant: from its recorded pose, or else from its lidar (KISS-ICP, Vizzo et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.calibration import Calibration
from calibration.errors import CalibrationError
from calibration.sync import lidar_stream, on_one_clock
from devices.samples import NamedVector, Sweep
from devices.transform import Transform, rotation_from_wxyz, rotation_vector

if TYPE_CHECKING:
    from capture.recording import Recording

MotionSource = Literal["recorded pose", "kiss-icp"]
_POSE = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")
# A rig's velocity is taken to hold this long before its first and after its last pose; beyond that nothing is known.
_REACH_NS = 500_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Poses in time: rotations interpolated along the shortest arc (slerp), positions along the line.

    times_ns: (N,) int64, UTC, rising, N >= 2. world_from_rig: (N, 4, 4). With ``kiss-icp`` the world is the rig's frame
    at the first pose; with ``recorded pose`` it is whatever world the robot reports in.
    """

    times_ns: NDArray[np.int64]
    world_from_rig: NDArray[np.float64]
    source: MotionSource

    def __post_init__(self) -> None:
        times, poses = np.asarray(self.times_ns, dtype=np.int64), np.asarray(self.world_from_rig, dtype=np.float64)
        if len(times) < 2 or poses.shape != (len(times), 4, 4) or (np.diff(times) <= 0).any():
            raise CalibrationError(
                f"a trajectory needs at least two poses at rising times, not {poses.shape} at {len(times)}"
            )
        for name, array in (("times_ns", times), ("world_from_rig", poses)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def at(self, t_ns: int) -> Transform:
        """world_from_rig at one instant. Raises CalibrationError more than 0.5 s before the first or after the last
        pose.
        """
        return Transform("world", "rig", self.matrices_at(np.array([t_ns]))[0])

    def matrices_at(self, times_ns: ArrayLike) -> NDArray[np.float64]:
        """(M,) ns -> (M, 4, 4) world_from_rig. Raises CalibrationError as at() does."""
        times = np.atleast_1d(np.asarray(times_ns, dtype=np.int64))
        first, last = int(self.times_ns[0]), int(self.times_ns[-1])
        if len(times) and (times.min() < first - _REACH_NS or times.max() > last + _REACH_NS):
            raise CalibrationError(
                f"the rig's motion is known from {first} to {last} ns; asked for {times.min()} to {times.max()} ns"
            )
        index = np.clip(np.searchsorted(self.times_ns, times, side="right") - 1, 0, len(self.times_ns) - 2)
        start, span = self.times_ns[index], np.diff(self.times_ns)[index]
        share = ((times - start) / span)[:, None]
        before, after = self.world_from_rig[index], self.world_from_rig[index + 1]
        poses = np.tile(np.eye(4), (len(times), 1, 1))
        poses[:, :3, :3] = before[:, :3, :3] @ rotations(share * self._twists(index))
        poses[:, :3, 3] = before[:, :3, 3] + share * (after[:, :3, 3] - before[:, :3, 3])
        return poses

    def velocity_at(self, t_ns: int) -> NDArray[np.float64]:
        """(6,): velocity in m/s, then angular rate in rad/s, both along the rig's own axes at t_ns."""
        index = np.clip(np.searchsorted(self.times_ns, t_ns, side="right") - 1, 0, len(self.times_ns) - 2)
        span_s = float(self.times_ns[index + 1] - self.times_ns[index]) * 1e-9
        moved = (self.world_from_rig[index + 1] - self.world_from_rig[index])[:3, 3]
        velocity = self.at(t_ns).rotation.T @ moved / span_s
        return np.concatenate([velocity, self._twists(np.array([index]))[0] / span_s])

    def _twists(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """(M,) segments -> (M, 3) rotation vectors from each one's start to its end."""
        segments, where = np.unique(index, return_inverse=True)
        turned = np.swapaxes(self.world_from_rig[segments, :3, :3], 1, 2) @ self.world_from_rig[segments + 1, :3, :3]
        return np.array([rotation_vector(rotation) for rotation in turned]).reshape(-1, 3)[where]


def trajectory(recording: Recording, calibration: Calibration) -> Trajectory:
    """The rig's motion through a recording: its recorded pose where there is one, else the lidar's odometry.

    Raises CalibrationError when there is neither a pose nor a lidar, or too little of both.
    """
    return recorded_poses(recording, calibration) or lidar_odometry(recording, calibration)


def recorded_poses(recording: Recording, calibration: Calibration | None) -> Trajectory | None:
    """The poses that the robot reported; None when it reported none."""
    streams = recording.streams_of(NamedVector)
    times: list[int] = []
    poses: list[NDArray[np.float64]] = []
    for recorded in on_one_clock(recording, calibration, streams) if streams else ():
        sample = recorded.sample
        if not isinstance(sample, NamedVector) or not set(_POSE) <= set(sample.names):
            continue
        if times and sample.t_ns <= times[-1]:  # UDP may reorder
            continue
        x, y, z, *wxyz = (sample.values[sample.names.index(name)] for name in _POSE)
        if np.linalg.norm(wxyz) < 1e-6:  # all zero: what a robot reports that does not know its pose yet
            continue
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation_from_wxyz(wxyz), (x, y, z)
        times.append(sample.t_ns)
        poses.append(pose)
    return Trajectory(np.array(times), np.array(poses), "recorded pose") if len(times) > 1 else None


def lidar_odometry(recording: Recording, calibration: Calibration) -> Trajectory:
    """The rig's motion from its sweeps. A pose holds at its sweep's last point; the world is the rig's frame at the
    first.
    """
    stream = lidar_stream(recording)
    if stream is None:
        raise CalibrationError(f"recording {recording.id} holds neither a pose nor a lidar: its motion is unknown")
    rig_from_lidar = calibration.rig_from(recording.streams[stream].sensor)
    times: list[int] = []
    poses: list[NDArray[np.float64]] = []
    odometry = Odometry()
    for recorded in on_one_clock(recording, calibration, [stream]):
        sweep = recorded.sample
        if not isinstance(sweep, Sweep) or not len(sweep):
            continue
        last_ns = sweep.t_ns + int(sweep.offset_ns.max())
        if not times or last_ns > times[-1]:
            times.append(last_ns)
            poses.append(odometry.add(sweep))
    if len(times) < 2:
        raise CalibrationError(f"recording {recording.id} has {len(times)} sweeps; motion needs at least two")
    lidar_from_rig = rig_from_lidar.inverse().matrix
    return Trajectory(np.array(times), rig_from_lidar.matrix @ np.array(poses) @ lidar_from_rig, "kiss-icp")


class Odometry:
    """KISS-ICP fed one sweep after another."""

    def __init__(self, max_range_m: float = 100.0, min_range_m: float = 1.0) -> None:
        from kiss_icp.config import KISSConfig
        from kiss_icp.config.config import DataConfig, MappingConfig, RegistrationConfig
        from kiss_icp.kiss_icp import KissICP

        self._icp = KissICP(
            KISSConfig(
                data=DataConfig(max_range=max_range_m, min_range=min_range_m),
                mapping=MappingConfig(voxel_size=max_range_m / 100),
                registration=RegistrationConfig(max_num_threads=2),
            )
        )

    def add(self, sweep: Sweep) -> NDArray[np.float64]:
        """(4, 4): first_lidar_from_lidar at the instant of the sweep's last point, to which KISS-ICP 1.3 corrects the
        others.
        """
        last_ns = int(sweep.offset_ns.max())
        # Points that all have one time were taken at one instant or have been corrected by their maker.
        share = sweep.offset_ns / last_ns if last_ns else np.zeros(0)
        self._icp.register_frame(sweep.points_m.astype(np.float64), share.astype(np.float64))
        return np.array(self._icp.last_pose)


def rotations(vectors_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 3) axis times angle -> (M, 3, 3). Rodrigues' formula."""
    angle = np.linalg.norm(vectors_rad, axis=1)[:, None, None]
    safe = np.where(angle > 1e-8, angle, 1.0)
    x, y, z = vectors_rad.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine = np.where(angle > 1e-8, np.sin(angle) / safe, 1.0)
    cosine = np.where(angle > 1e-8, (1 - np.cos(angle)) / safe**2, 0.5)
    return np.asarray(np.eye(3) + sine * cross + cosine * (cross @ cross), dtype=np.float64)
