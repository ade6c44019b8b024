"""Where the rig was at every instant: from its recorded pose, or else from its lidar (KISS-ICP, Vizzo et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.calibration import Calibration
from calibration.errors import CalibrationError
from calibration.left_out import LeftOut
from calibration.sync import lidar_stream, on_one_clock
from devices.samples import NamedVector, Sweep
from devices.transform import Transform, rotation_from_wxyz, rotation_vector

if TYPE_CHECKING:
    from capture.recording import Recording

MotionSource = Literal["recorded pose", "kiss-icp"]
_POSE = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")
# A rig's velocity is taken to hold this long before the first and after the last pose of a run; beyond that nothing is known.
_REACH_NS = 500_000_000
# Poses further apart are of two runs. Half way between two that lie 1.5 s apart, a rig that speeds up by 1 m/s^2 is 0.3 m off the line.
_HOLE_NS = 1_500_000_000
# What a velocity is taken over, at least: between poses that lie 10 ms apart, 1 cm of noise would make 1.4 m/s.
_STEADY_NS = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Poses in time: rotations interpolated along the shortest arc (slerp), positions along the line.

    times_ns: (N,) int64, UTC, rising, N >= 2. world_from_rig: (N, 4, 4). With ``kiss-icp`` the world is the rig's frame
    at the first pose; with ``recorded pose`` it is whatever world the robot reports in.
    """

    times_ns: NDArray[np.int64]
    world_from_rig: NDArray[np.float64]
    source: MotionSource
    _runs: NDArray[np.int64] = field(
        init=False, repr=False
    )  # (R, 2): first and last pose of each run of two and more without a hole

    def __post_init__(self) -> None:
        times, poses = np.asarray(self.times_ns, dtype=np.int64), np.asarray(self.world_from_rig, dtype=np.float64)
        if len(times) < 2 or poses.shape != (len(times), 4, 4) or (np.diff(times) <= 0).any():
            raise CalibrationError(
                f"a trajectory needs at least two poses at rising times, not {poses.shape} at {len(times)}"
            )
        for name, array in (("times_ns", times), ("world_from_rig", poses)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "_runs", _runs_of(self.times_ns))

    @property
    def known_ns(self) -> list[tuple[int, int]]:
        """The stretches of time in which the motion is known, from and to: 0.5 s before each run of poses and after it, and
        no hole of more than 1.5 s between two of a run.
        """
        return [(int(first) - _REACH_NS, int(last) + _REACH_NS) for first, last in self.times_ns[self._runs]]

    def knows(self, t_ns: int) -> bool:
        """Whether the motion is known at an instant."""
        return any(first_ns <= t_ns <= last_ns for first_ns, last_ns in self.known_ns)

    def at(self, t_ns: int) -> Transform:
        """world_from_rig at one instant. Raises CalibrationError where the motion is not known."""
        return Transform("world", "rig", self.matrices_at(np.array([t_ns]))[0])

    def matrices_at(self, times_ns: ArrayLike, about_ns: int | None = None) -> NDArray[np.float64]:
        """(M,) ns -> (M, 4, 4) world_from_rig. Raises CalibrationError as at() does.

        about_ns: what the instants lie close to, as a sweep's do to its middle. That one must be known then; at those of
        them beyond what is known the rig is taken to go on as it did.
        """
        times = np.atleast_1d(np.asarray(times_ns, dtype=np.int64))
        first, last = self._runs_at(times if about_ns is None else np.array([about_ns]))
        before, after = self._steady(times, first, last)
        within = (times >= self.times_ns[first]) & (times <= self.times_ns[last])
        next_to = np.clip(np.searchsorted(self.times_ns, times, side="right") - 1, first, last - 1)
        before, after = np.where(within, next_to, before), np.where(within, next_to + 1, after)
        share = ((times - self.times_ns[before]) / (self.times_ns[after] - self.times_ns[before]))[:, None]
        start, end = self.world_from_rig[before], self.world_from_rig[after]
        poses = np.tile(np.eye(4), (len(times), 1, 1))
        poses[:, :3, :3] = start[:, :3, :3] @ rotations(share * self._twists(before, after))
        poses[:, :3, 3] = start[:, :3, 3] + share * (end[:, :3, 3] - start[:, :3, 3])
        return poses

    def velocity_at(self, t_ns: int) -> NDArray[np.float64]:
        """(6,): velocity in m/s, then angular rate in rad/s, both along the rig's own axes at t_ns, over 0.1 s or more."""
        instant = np.array([t_ns])
        before, after = self._steady(instant, *self._runs_at(instant))
        span_s = (self.times_ns[after] - self.times_ns[before])[0] * 1e-9
        moved = (self.world_from_rig[after] - self.world_from_rig[before])[0, :3, 3]
        velocity = self.at(t_ns).rotation.T @ moved / span_s
        return np.concatenate([velocity, self._twists(before, after)[0] / span_s])

    def _runs_at(self, times_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(M,) ns -> (M,) the first and (M,) the last pose of the run that each lies in or near."""
        first, last = self._runs.T
        from_ns, to_ns = self.times_ns[first] - _REACH_NS, self.times_ns[last] + _REACH_NS
        which = np.searchsorted(from_ns, times_ns, side="right") - 1
        if len(times_ns) and (which.min() < 0 or (times_ns > to_ns[which]).any()):
            raise CalibrationError(
                f"the rig's motion is known from {self.times_ns[0]} to {self.times_ns[-1]} ns, and {_REACH_NS / 1e9} s about each "
                f"of its poses; asked for {times_ns.min()} to {times_ns.max()} ns"
            )
        return first[which], last[which]

    def _steady(
        self, times_ns: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(M,) ns -> (M,) and (M,): two poses about each, or next to it where the run ends, that are far enough apart for a velocity."""
        half_ns = _STEADY_NS // 2
        middle_ns = np.clip(times_ns, self.times_ns[first] + half_ns, self.times_ns[last] - half_ns)
        before = np.clip(np.searchsorted(self.times_ns, middle_ns - half_ns, side="right") - 1, first, last - 1)
        after = np.clip(np.searchsorted(self.times_ns, middle_ns + half_ns), before + 1, last)
        return before, after

    def _twists(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.float64]:
        """(M,) and (M,) poses -> (M, 3) rotation vectors from each one to the other."""
        count = len(self.times_ns)
        pairs, where = np.unique(before * count + after, return_inverse=True)
        start, end = self.world_from_rig[pairs // count, :3, :3], self.world_from_rig[pairs % count, :3, :3]
        turned = np.swapaxes(start, 1, 2) @ end
        return np.array([rotation_vector(rotation) for rotation in turned]).reshape(-1, 3)[where]


def _runs_of(times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    holes = np.flatnonzero(np.diff(times_ns) > _HOLE_NS)
    runs = np.stack([np.append(0, holes + 1), np.append(holes, len(times_ns) - 1)], axis=1)
    return np.asarray(runs[runs[:, 0] < runs[:, 1]], dtype=np.int64)


def trajectory(recording: Recording, calibration: Calibration, left_out: LeftOut | None = None) -> Trajectory:
    """The rig's motion through a recording: its recorded pose where there is one, else the lidar's odometry.

    Raises CalibrationError when there is neither a pose nor a lidar, or too little of both.
    """
    return recorded_poses(recording, calibration, left_out) or lidar_odometry(recording, calibration, left_out)


def recorded_poses(
    recording: Recording, calibration: Calibration | None, left_out: LeftOut | None = None
) -> Trajectory | None:
    """The poses that the robot reported; None when it reported none, or none less than 1.5 s after another.

    Of several streams with poses the one with the most is taken: each may speak of a world of its own.
    """
    streams = recording.streams_of(NamedVector)
    found: dict[str, tuple[list[int], list[NDArray[np.float64]]]] = {}
    for recorded in on_one_clock(recording, calibration, streams, left_out=left_out) if streams else ():
        sample = recorded.sample
        pose = _pose_in(sample) if isinstance(sample, NamedVector) else None
        if pose is None:
            continue
        times, poses = found.setdefault(recorded.span.stream, ([], []))
        if not times or sample.t_ns > times[-1]:  # UDP may reorder
            times.append(sample.t_ns)
            poses.append(pose)
    if not found:
        return None
    taken = max(found, key=lambda stream: len(found[stream][0]))
    for stream in found.keys() - {taken}:
        if left_out is not None:
            left_out.add_poses(stream, taken)
    times, poses = found[taken]
    if len(times) < 2:
        return None
    path = Trajectory(np.array(times), np.array(poses), "recorded pose")
    return path if path.known_ns else None


def _pose_in(vector: NamedVector) -> NDArray[np.float64] | None:
    """(4, 4) world_from_rig; None where the vector has no pose, or one that a robot reports before it knows it: all zero."""
    if not set(_POSE) <= set(vector.names):
        return None
    x, y, z, *wxyz = (vector.values[vector.names.index(name)] for name in _POSE)
    if np.linalg.norm(wxyz) < 1e-6:
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation_from_wxyz(wxyz), (x, y, z)
    return pose


def lidar_odometry(recording: Recording, calibration: Calibration, left_out: LeftOut | None = None) -> Trajectory:
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
    for recorded in on_one_clock(recording, calibration, [stream], left_out=left_out):
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
