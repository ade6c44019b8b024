"""One recording as formats see it: pictures, clouds, vectors, labels and episodes on one clock and in place.

A writer gets them from here alone, so whatever must not leave can be held back here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calibration.calibration import Calibration
from calibration.left_out import LeftOut
from calibration.motion import Trajectory, trajectory
from calibration.sync import SyncedFrame, camera_streams, lidar_stream, on_one_clock, synced_frames
from capture.episodes import Episode, marked_episodes
from capture.recorder_state import Outcome
from capture.recording import Recorded, Recording, Span
from devices.camera_model import CameraModel
from devices.samples import Image, Mark, NamedVector, Sweep
from devices.transform import Transform
from export.errors import ExportError
from export.grid import PATIENCE_NS, GridRow, on_grid

if TYPE_CHECKING:
    from annotate.labels import Cuboid

EGO_NAMES = (
    *("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz"),
    *("velocity.forward_m_s", "velocity.yaw_rad_s"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """A sweep brought to one instant.

    points_m: (N, 3) float32 in the lidar's frame at that instant. intensity: (N,) float32, the sensor's unit.
    ring: (N,) float32, the beam; zeros where the source does not say.
    """

    lidar: str
    points_m: NDArray[np.float32]
    intensity: NDArray[np.float32]
    ring: NDArray[np.float32]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One instant of a drive. pictures: by camera. cuboids: None where nobody has labelled it, () where nothing is there."""

    t_ns: int
    pictures: Mapping[str, Recorded]
    cloud: Cloud
    cuboids: tuple[Cuboid, ...] | None


class Drive:
    """One recording with everything that places and names what it holds."""

    def __init__(
        self,
        recording: Recording,
        calibration: Calibration,
        labelled: Mapping[int, tuple[Cuboid, ...]] | None = None,
        motion: Trajectory | None = None,
    ) -> None:
        """labelled: the cuboids of every labelled keyframe by its t_ns. motion: worked out at first use when not given."""
        self._recording = recording
        self._motion = motion
        self._left_out_of_motion = LeftOut()
        self.calibration = calibration
        self._labelled = dict(labelled or {})
        self.cameras = {recording.streams[name].sensor: name for name in camera_streams(recording)}
        lidar = lidar_stream(recording)
        self.lidar = None if lidar is None else recording.streams[lidar].sensor
        self.states = self._vectors("state")
        self.actions = self._vectors("action")

    @property
    def id(self) -> str:
        return self._recording.id

    @property
    def rig(self) -> str:
        return self._recording.rig.name

    @property
    def vehicle(self) -> str:
        return self._recording.rig.vehicle or self._recording.rig.name

    @property
    def site(self) -> str:
        return self._recording.info.site

    @property
    def start_ns(self) -> int:
        return self._recording.start_ns

    @property
    def end_ns(self) -> int:
        return self._recording.end_ns

    @property
    def notes(self) -> Sequence[str]:
        """What was put down about the recording when it was made."""
        return self._recording.info.notes

    @cached_property
    def _marked(self) -> tuple[list[Episode], list[str], set[int]]:
        streams, left_out = self._recording.streams_of(Mark), LeftOut()
        samples = (recorded.sample for recorded in self._on_one_clock(streams, left_out)) if streams else ()
        marks = sorted((sample for sample in samples if isinstance(sample, Mark)), key=lambda mark: mark.t_ns)
        found, odd = marked_episodes(
            self.id, marks, self.start_ns - PATIENCE_NS, self.end_ns, self._recording.info.task
        )
        return found, [*odd, *self.told(left_out)], {mark.t_ns for mark in marks if mark.kind == "episode_stop"}

    @property
    def episodes(self) -> list[Episode]:
        """All that were not marked as to be discarded."""
        return [episode for episode in self._marked[0] if episode.outcome != "discard"]

    @property
    def discarded(self) -> list[Episode]:
        """The others, of which nothing is delivered."""
        return [episode for episode in self._marked[0] if episode.outcome == "discard"]

    def outcome_of(self, episode: Episode) -> Outcome | None:
        """As the mark of its end says; None where there is none."""
        return episode.outcome if episode.stop_ns in self._marked[2] else None

    @cached_property
    def labelled(self) -> Mapping[int, tuple[Cuboid, ...]]:
        """The cuboids of every labelled keyframe by its t_ns, but of those that lie in what was discarded."""
        return {t_ns: found for t_ns, found in self._labelled.items() if not self._is_discarded(t_ns)}

    @property
    def labelled_in_vain(self) -> int:
        """How many labelled keyframes lie in what was discarded."""
        return len(self._labelled) - len(self.labelled)

    @property
    def other_lidars(self) -> list[str]:
        """The streams of sweeps that make no frames: the first lidar's do."""
        return self._recording.streams_of(Sweep)[1:]

    @property
    def other_vectors(self) -> list[str]:
        """The streams of vectors that are neither a state nor an action by their names."""
        return [name for name in self._recording.streams_of(NamedVector) if name not in (*self.states, *self.actions)]

    @property
    def doubt(self) -> str:
        """Why the recording is not good; empty where it is."""
        info = self._recording.info
        return "" if info.verdict in (None, "good") else f"the recording is {info.verdict}: {'; '.join(info.reasons)}"

    @property
    def oddities(self) -> list[str]:
        """What was odd about the episode marks."""
        return self._marked[1]

    @cached_property
    def trajectory(self) -> Trajectory:
        """Where the rig was. Raises CalibrationError when the recording does not tell."""
        return self._motion or trajectory(self._recording, self.calibration, self._left_out_of_motion)

    @cached_property
    def placed(self) -> Mapping[int, tuple[Cuboid, ...]]:
        """Of ``labelled`` those at which the rig's motion is known."""
        return {t_ns: found for t_ns, found in self.labelled.items() if self.trajectory.knows(t_ns)}

    def camera(self, sensor: str) -> CameraModel:
        return self.calibration.camera(sensor)

    def rig_from(self, sensor: str) -> Transform:
        return self.calibration.rig_from(sensor)

    def world_from_rig(self, t_ns: int) -> Transform:
        return self.trajectory.at(t_ns)

    def rate_hz(self, stream: str) -> int:
        """How often a stream came, to the nearest whole number: the median over its first 500 messages."""
        stamps = np.array([packet.stamp_ns for packet in islice(self._recording.packets([stream]), 500)])
        if len(stamps) < 2:
            raise ExportError(f"{self.id}: stream '{stream}' holds {len(stamps)} messages; a rate needs at least two")
        return max(1, round(1e9 / float(np.median(np.diff(stamps)))))

    def vector_names(self, streams: Sequence[str]) -> tuple[str, ...]:
        """The names of some vector streams' values, one stream after another. Raises ExportError when one is empty."""
        names: list[str] = []
        for stream in streams:
            first = next(self._on_one_clock([stream], LeftOut()), None)
            if first is None or not isinstance(first.sample, NamedVector):
                raise ExportError(f"{self.id}: stream '{stream}' holds no vector")
            names += first.sample.names
        return tuple(names)

    def ego_state(self, t_ns: int) -> NDArray[np.float64]:
        """(9,) of EGO_NAMES: the rig's pose in the world and its velocity, from the trajectory."""
        world_from_rig = self.world_from_rig(t_ns)
        velocity = self.trajectory.velocity_at(t_ns)
        return np.concatenate([world_from_rig.translation_m, world_from_rig.wxyz, velocity[[0, 5]]])

    def known_part(self, episode: Episode, margin_ns: int, left_out: LeftOut) -> Episode:
        """The longest part of an episode in which the rig's motion is known, until margin_ns before it ends; without any, an empty one."""
        known_ns = self.trajectory.known_ns
        left_out.take(self._left_out_of_motion)
        parts = [
            (max(from_ns, episode.start_ns), min(to_ns - margin_ns, episode.stop_ns)) for from_ns, to_ns in known_ns
        ]
        start_ns, stop_ns = max(parts, key=lambda part: part[1] - part[0], default=(0, 0))
        return replace(episode, start_ns=start_ns, stop_ns=max(start_ns, stop_ns))

    def recorded_ns(self, episode: Episode) -> int:
        """How much of an episode lies in the recording."""
        return max(0, min(episode.stop_ns, self.end_ns) - max(episode.start_ns, self.start_ns))

    def rows(self, episode: Episode, reference: str, rate_hz: int, left_out: LeftOut) -> Iterator[GridRow]:
        """An episode's rows at a constant rate, each with the nearest sample of every camera, state and action stream."""
        streams = [*self.cameras.values(), *self.states, *self.actions]
        samples = self._on_one_clock(streams, left_out, episode.start_ns - PATIENCE_NS, episode.stop_ns + PATIENCE_NS)
        return on_grid(samples, reference, streams, rate_hz, episode.start_ns, episode.stop_ns)

    def frames(self, left_out: LeftOut) -> Iterator[Frame]:
        """Every sweep from the first placed keyframe to the last, brought to its middle, with the pictures nearest to it.

        What lies where the rig's motion is unknown, or in an episode that was discarded, is left out.

        Raises ExportError when a labelled keyframe is not among the recording's frames: it was labelled under another clock.
        """
        missing = dict(self.placed)
        left_out.take(self._left_out_of_motion)
        for t_ns in self.labelled.keys() - missing.keys():
            left_out.add_unplaced("labelled keyframes", t_ns)
        first_ns, last_ns = min(missing, default=0), max(missing, default=-1)
        for frame in synced_frames(self._recording, self.calibration, left_out=left_out):
            if frame.sweep is None or not first_ns <= frame.t_ns <= last_ns or self._is_discarded(frame.t_ns):
                continue
            if not self.trajectory.knows(frame.t_ns):
                if frame.t_ns not in self.labelled:
                    left_out.add_unplaced("sweeps between keyframes", frame.t_ns)
                continue
            cuboids = missing.pop(frame.t_ns, None)
            cloud = self._cloud(frame.sweep, frame.t_ns)
            yield Frame(frame.t_ns, self._placed_pictures(frame, left_out), cloud, cuboids)
        if missing:
            raise ExportError(
                f"{self.id} has no frame at {min(missing)} ns, which is labelled ({len(missing)} such keyframes): the labels "
                f"were made with another calibration or clock than {self.calibration.id}; label them anew"
            )

    def _placed_pictures(self, frame: SyncedFrame, left_out: LeftOut) -> dict[str, Recorded]:
        pictures = {}
        for name, recorded in sorted(frame.images.items()):
            if self.trajectory.knows(recorded.sample.t_ns):
                pictures[name] = recorded
            else:
                left_out.add_unplaced(f"pictures of {name}", recorded.sample.t_ns)
        return pictures

    def _cloud(self, recorded: Recorded, t_ns: int) -> Cloud:
        from calibration.deskew import deskew

        sweep = recorded.sample
        if not isinstance(sweep, Sweep):
            raise ExportError(
                f"{self.id}: '{recorded.span.stream}' holds a {type(sweep).__name__} where a sweep belongs"
            )
        points = deskew(sweep, self.calibration, self.trajectory, t_ns)
        ring = np.zeros(len(sweep), np.float32) if sweep.ring is None else sweep.ring.astype(np.float32)
        return Cloud(sweep.sensor, points, sweep.intensity, ring, recorded.span)

    def told(self, left_out: LeftOut) -> list[str]:
        """What was left out of it, in words."""
        return [f"{self.id}: {line}" for line in left_out.lines(self._recording)]

    def pixels(self, sensor: str, recorded: Recorded) -> NDArray[np.uint8]:
        """A picture of a camera. Raises ExportError where it is not as large as its calibration says: what that says is then of another picture."""
        pixels = recorded.sample.pixels if isinstance(recorded.sample, Image) else np.zeros((0, 0, 3), np.uint8)
        model = self.camera(sensor)
        if pixels.shape[:2] != (model.height_px, model.width_px):
            raise ExportError(
                f"{self.id}: '{recorded.span.stream}' holds a picture of {pixels.shape[1]} x {pixels.shape[0]} px, and calibration "
                f"{self.calibration.id} is of pictures of {model.width_px} x {model.height_px} px; name one that was made with the "
                "camera set as it was here (--calibration)"
            )
        return pixels

    def _is_discarded(self, t_ns: int) -> bool:
        return any(episode.start_ns <= t_ns < episode.stop_ns for episode in self.discarded)

    def _vectors(self, what: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._recording.streams_of(NamedVector) if name.partition("/")[2] == what))

    def _on_one_clock(
        self, streams: Sequence[str], left_out: LeftOut, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Recorded]:
        return on_one_clock(self._recording, self.calibration, streams, start_ns, end_ns, left_out=left_out)
