"""The instants that people label: a sweep brought to one instant, and the pictures nearest to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from calibration.calibration import Calibration
    from calibration.left_out import LeftOut
    from calibration.motion import Trajectory
    from calibration.sync import SyncedFrame
    from capture.recording import Recording, Span


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """One instant to label.

    t_ns: UTC. uid: recording and instant, the same whenever it is made again. lidar: the sensor whose frame labels stand in.
    points_m: (N, 3) float32, every return as it would have been seen at t_ns, lidar frame. intensity: (N,) float32.
    """

    uid: str
    t_ns: int
    recording_id: str
    lidar: str
    frame: SyncedFrame
    points_m: NDArray[np.float32]
    intensity: NDArray[np.float32]

    def __post_init__(self) -> None:
        self.points_m.setflags(write=False)
        self.intensity.setflags(write=False)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The messages that it was made from: the sweep's, then each picture's by camera."""
        sweep = () if self.frame.sweep is None else (self.frame.sweep.span,)
        return (*sweep, *(self.frame.images[camera].span for camera in sorted(self.frame.images)))


def keyframes(
    recording: Recording,
    calibration: Calibration,
    every_ns: int | None = None,
    trajectory: Trajectory | None = None,
    only: Collection[str] | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Keyframe]:
    """The recording's keyframes, every_ns apart (each sweep when None), oldest first, in bounded memory.

    Frames without a sweep hold nothing to place a cuboid in and are left out; so is, and ``left_out`` takes it down, what
    has no time, or an instant at which the rig's motion is unknown. The trajectory is worked out when not given.
    only: the uids wanted, all when None.
    """
    from calibration.deskew import deskew
    from calibration.motion import trajectory as work_out
    from calibration.sync import synced_frames
    from devices.samples import Sweep

    path = trajectory or work_out(recording, calibration, left_out)
    for frame in synced_frames(recording, calibration, every_ns=every_ns, left_out=left_out):
        sweep = None if frame.sweep is None else frame.sweep.sample
        uid = f"{recording.id}@{frame.t_ns}"
        if not isinstance(sweep, Sweep) or (only is not None and uid not in only):
            continue
        if not path.knows(frame.t_ns):
            if left_out is not None:
                left_out.add_unplaced("frames", frame.t_ns)
            continue
        yield Keyframe(
            uid=uid,
            t_ns=frame.t_ns,
            recording_id=recording.id,
            lidar=sweep.sensor,
            frame=frame,
            points_m=np.asarray(deskew(sweep, calibration, path, frame.t_ns), dtype=np.float32),
            intensity=np.array(sweep.intensity),
        )
