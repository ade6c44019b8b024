"""One clock for all sensors, and what belongs to one instant.

    capture time (UTC) = clock.host_from_device(t on the sensor's clock) - least latency

A recording has a fit for each stretch in which no clock was set; a sample is translated by that of its packets' arrival. The least latency of a sensor cannot be seen in a recording of it alone: it is the calibration's figure, or else
rig.toml's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from calibration.calibration import Calibration
from calibration.left_out import LeftOut
from capture.clock.filter import fit_at
from devices.samples import Image, Sweep

if TYPE_CHECKING:
    from capture.clock.filter import ClockFit
    from capture.recording import Recorded, Recording, Span

# How long after an instant, by the newest capture time seen, its last picture may still be on its way to the recorder.
_PATIENCE_NS = 1_000_000_000
# A sample speaks of an instant before its last packet came, and not long before its first: what a packet may wait at the most.
_AHEAD_NS, _LONGEST_WAIT_NS = 50_000_000, 10_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SyncedFrame:
    """What belongs to one instant, and by how much it misses it.

    t_ns: the middle of the sweep (without a lidar: the time of the first camera's picture), UTC.
    residual_ns: per camera in ``images``, its picture's time minus t_ns. A camera without a picture near enough is
    absent.
    """

    t_ns: int
    images: Mapping[str, Recorded]
    sweep: Recorded | None
    residual_ns: Mapping[str, int]


def latency_ns(recording: Recording, calibration: Calibration | None, sensor: str) -> int:
    """From the instant measured to arrival, at best: the calibration's figure, or else rig.toml's."""
    if calibration is not None and sensor in calibration.time_offsets:
        return calibration.time_offsets[sensor].latency_ns
    known = recording.rig.sensors.get(sensor)
    return known.least_latency_ns if known is not None else 0


def on_one_clock(
    recording: Recording,
    calibration: Calibration | None,
    streams: Collection[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    left_out: LeftOut | None = None,
) -> Iterator[Recorded]:
    """A recording's samples with t_ns turned into UTC capture time, in the order of arrival.

    start_ns, end_ns: half-open range of host arrival, as Recording.samples has it. Without a calibration rig.toml's
    stated least latencies stand in. A sample whose stamp no fit brings near its packets' arrival (a broken packet's) is
    left out; ``left_out`` takes it down.
    """
    latencies = {name: latency_ns(recording, calibration, stream.sensor) for name, stream in recording.streams.items()}
    for recorded in recording.samples(streams, start_ns, end_ns):
        name = recorded.span.stream
        fits = recording.clocks.get(name)
        # A packet without a stamp of its own (a camera's, before its first report) bears its arrival, which no fit must move.
        has_own = recorded.sample.t_ns != recorded.span.last_host_ns
        host_ns = _host_ns(recorded.sample.t_ns, recorded.span, fits) if fits and has_own else recorded.sample.t_ns
        if host_ns is None:
            if left_out is not None:
                left_out.add_mistimed(recorded)
            continue
        yield replace(recorded, sample=replace(recorded.sample, t_ns=host_ns - latencies.get(name, 0)))


def _host_ns(t_ns: int, span: Span, fits: Sequence[ClockFit]) -> int | None:
    """By the fit of its packets' arrival, or of a neighbouring stretch: where a clock was set is known to a packet or two."""
    for host_ns in (span.last_host_ns, span.first_host_ns):
        fit = fit_at(fits, host_ns)
        if fit is not None and _is_plausible(fit.host_from_device(t_ns), span, fit):
            return fit.host_from_device(t_ns)
    translated = ((fit.host_from_device(t_ns), fit) for fit in fits)
    near = [host_ns for host_ns, fit in translated if _is_plausible(host_ns, span, fit)]
    return min(near, key=lambda host_ns: abs(host_ns - span.last_host_ns), default=None)


def _is_plausible(host_ns: int, span: Span, fit: ClockFit) -> bool:
    latest_ns = span.last_host_ns + _AHEAD_NS + round(5 * fit.sigma_ns)
    return span.first_host_ns - _LONGEST_WAIT_NS <= host_ns <= latest_ns


def middle_ns(sweep: Sweep) -> int:
    """The instant half way between a sweep's first and its last point."""
    return sweep.t_ns + (int(sweep.offset_ns.max()) // 2 if len(sweep) else 0)


def synced_frames(
    recording: Recording,
    calibration: Calibration | None,
    *,
    every_ns: int | None = None,
    tolerance_ns: int = 60_000_000,
    start_ns: int | None = None,
    end_ns: int | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[SyncedFrame]:
    """The instants of a recording, oldest first: every sweep's middle and the nearest picture of each camera.

    With several lidars the first one's sweeps set the instants; with none the first camera's pictures do.

    every_ns: leave out sweeps until this long has passed since the last one taken (on a fixed grid, so that it never
    drifts).
    tolerance_ns: pictures further away than this are left out. At most about a second of pictures is held.
    start_ns, end_ns: half-open range of host arrival. left_out: as on_one_clock() has it.
    """
    lidar = lidar_stream(recording)
    pictures = camera_streams(recording)
    cameras = [recording.streams[name].sensor for name in pictures]
    waiting = _Waiting(cameras, tolerance_ns)
    grid = _Grid(every_ns)
    streams = [*pictures, *([lidar] if lidar else [])]
    for recorded in on_one_clock(recording, calibration, streams, start_ns, end_ns, left_out=left_out):
        sample = recorded.sample
        if isinstance(sample, Sweep):
            if grid.takes(middle_ns(sample)):
                waiting.instants.append((middle_ns(sample), recorded))
        elif isinstance(sample, Image):
            waiting.pictures[sample.sensor].append(recorded)
            if lidar is None and sample.sensor == cameras[0] and grid.takes(sample.t_ns):
                waiting.instants.append((sample.t_ns, None))
        waiting.newest_ns = max(waiting.newest_ns, sample.t_ns)
        yield from waiting.complete()
    yield from waiting.rest()


def lidar_stream(recording: Recording) -> str | None:
    """The stream that holds sweeps; the first where there are several."""
    return next(iter(recording.streams_of(Sweep)), None)


def camera_streams(recording: Recording) -> list[str]:
    """The streams that hold pictures."""
    return recording.streams_of(Image)


@dataclass(slots=True)
class _Grid:
    """Which instants are taken: all of them, or the first one at or after each tick since the first."""

    every_ns: int | None
    next_ns: int | None = None

    def takes(self, t_ns: int) -> bool:
        if self.every_ns is None:
            return True
        # A sweep that comes a moment before its tick (its first and last returns vary) is that tick's sweep.
        early_ns = min(self.every_ns // 4, 20_000_000)
        if self.next_ns is None:
            self.next_ns = t_ns
        if t_ns < self.next_ns - early_ns:
            return False
        while self.next_ns <= t_ns + early_ns:
            self.next_ns += self.every_ns
        return True


@dataclass(slots=True)
class _Waiting:
    """Instants whose pictures may not all have come, and the pictures that they may need."""

    cameras: list[str]
    tolerance_ns: int
    newest_ns: int = 0
    instants: deque[tuple[int, Recorded | None]] = field(default_factory=deque)
    pictures: dict[str, deque[Recorded]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pictures = {camera: deque() for camera in self.cameras}

    def complete(self) -> Iterator[SyncedFrame]:
        """The instants that no later picture could change; pictures that no instant can need any more are let go."""
        while self.instants and self._settled(self.instants[0][0]):
            yield self._frame(*self.instants.popleft())
        oldest_ns = self.instants[0][0] if self.instants else self.newest_ns - _PATIENCE_NS
        for pictures in self.pictures.values():
            while pictures and pictures[0].sample.t_ns < oldest_ns - self.tolerance_ns:
                pictures.popleft()

    def rest(self) -> Iterator[SyncedFrame]:
        while self.instants:
            yield self._frame(*self.instants.popleft())

    def _settled(self, t_ns: int) -> bool:
        if self.newest_ns > t_ns + _PATIENCE_NS:
            return True
        return all(pictures and pictures[-1].sample.t_ns >= t_ns for pictures in self.pictures.values())

    def _frame(self, t_ns: int, sweep: Recorded | None) -> SyncedFrame:
        images = {}
        for camera, pictures in self.pictures.items():
            nearest = min(pictures, key=lambda picture: abs(picture.sample.t_ns - t_ns), default=None)
            if nearest is not None and abs(nearest.sample.t_ns - t_ns) <= self.tolerance_ns:
                images[camera] = nearest
        return SyncedFrame(t_ns, images, sweep, {name: image.sample.t_ns - t_ns for name, image in images.items()})
