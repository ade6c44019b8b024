"""A rig's sensors, open; recordings begin and end while they are."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from capture.clock.follower import ClockFollower
from capture.clock.stamper import Stamper
from capture.details import Details
from capture.errors import CaptureError
from capture.intake import Intake
from capture.limits import Limits
from capture.memory import Memory
from capture.operator_desk import OperatorDesk
from capture.recorder_state import Mode, Outcome, RecorderState, Sound
from capture.recorder_watch import RecorderWatch
from capture.recording_info import Episode
from capture.session import Paused, Session
from capture.tally import Tally, begin_tallies
from capture.tap import Tap
from capture.workspace import Workspace
from capture.writer_thread import Nowhere, WriterThread
from devices.rig import Rig
from devices.samples import Packet

_TICK_S = 0.1


class Recorder:
    """Opens a rig's sensors and follows their clocks until closed; start() and stop() bound recordings.

    snapshot_s: with it, the last so many seconds are held in memory and snapshot() writes them.
    Raises DeviceError when a sensor cannot be reached, CaptureError when the disk is full already. Commands may come from any thread.
    """

    def __init__(
        self,
        rig: Rig,
        workspace: Workspace,
        limits: Limits | None = None,
        *,
        details: Details | None = None,
        snapshot_s: float | None = None,
        order_lines: Callable[[Details, Sequence[Episode]], Sequence[str]] = lambda _details, _episodes: (),
    ) -> None:
        self.limits = limits or Limits()
        self._rig = rig
        self._workspace = workspace
        self._details = details or Details()
        self._order_lines = order_lines
        self._desk = OperatorDesk()
        _check_space(workspace, self.limits)
        self._intake = Intake(rig, self.limits.queue_bytes, [self._desk])
        latencies_ns = [
            rig.sensors[inlet.stream.sensor].least_latency_ns if inlet.stream.sensor in rig.sensors else 0
            for inlet in self._intake.inlets
        ]
        self._clocks = ClockFollower(len(latencies_ns))
        self._stamper = Stamper(latencies_ns, self._clocks)
        self._tap = Tap([(inlet.stream.name, inlet.stream.encoding) for inlet in self._intake.inlets])
        self._memory = None if snapshot_s is None else Memory(snapshot_s, self.limits.memory_bytes, self._intake.inlets)
        self._writer = WriterThread(
            self._intake.queue, self._intake.inlets, self._stamper, self._tap, self._memory or Nowhere()
        )
        self._watch = RecorderWatch(self._intake, self._stamper, self.limits.silent_s)
        self._session: Session | None = None
        self._paused_ns: int | None = None
        self._sound = Sound()
        self._last_folder: Path | None = None
        self._last_trouble = ""
        self._is_running = self._is_closed = False
        self._commanding = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what a crew commands

    def start(self, details: Mapping[str, Any] | None = None) -> Path:
        """Begins a recording; returns its folder. Raises CaptureError while one is under way, or when the disk is full."""
        with self._commanding:
            if self._is_closed:
                raise CaptureError("this recorder has ended")
            if self._session is not None:
                raise CaptureError(f"{self._session.folder.name} is being recorded already; stop it first")
            _check_space(self._workspace, self.limits)
            self._details = self._details.with_(details or {})
            self._desk.begin()
            self._last_trouble = ""
            session = self._begun(begin_tallies(self._intake.inlets, self._intake.queue))
            session.begin(self._writer.switch(session, session.begin_tallies))
            self._session = session
            self._memory = None if self._memory is None else self._memory.emptied()
            self._sounds("start")
            return session.folder

    def stop(self) -> Path:
        """Ends the recording under way; returns its folder once it is complete: all that had arrived by now is in it."""
        with self._commanding:
            session = self._under_way()
            ended_ns = self._writer.switch(self._memory or Nowhere())
            if self._paused_ns is not None:
                session.take_down_pause(self._paused_ns, ended_ns)
            self._session, self._paused_ns = None, None
            self._finish(session, ended_ns)
            return session.folder

    def stop_if_recording(self) -> None:
        with self._commanding:
            if self._session is not None:
                self.stop()

    def tend(self) -> None:
        """Called several times a second by whoever stays with the recorder: what happens to sensors is written down at once."""
        session = self._session
        if session is not None:
            session.take_down_interruptions(self._intake.absences(session.started_ns))

    def pause(self) -> None:
        """What arrives from now on is not written, until resume()."""
        with self._commanding:
            session = self._under_way()
            if self._paused_ns is not None:
                raise CaptureError("the recording is paused already")
            self._paused_ns = self._writer.switch(Paused(session))
            self._sounds("pause")

    def resume(self) -> None:
        with self._commanding:
            session = self._under_way()
            if self._paused_ns is None:
                raise CaptureError("the recording is not paused")
            session.take_down_pause(self._paused_ns, self._writer.switch(session))
            self._paused_ns = None
            self._sounds("resume")

    def mark(self, kind: str, text: str) -> None:
        """Takes this instant down. The kinds ``episode_start`` and ``episode_stop`` have their own commands."""
        with self._commanding:
            self._under_way()
            self._desk.mark(kind, text)
            self._sounds("note" if kind == "note" else "mark")

    def episode_start(self, task: str) -> None:
        """task: what is being tried; empty: the recording's task."""
        with self._commanding:
            session = self._under_way()
            self._desk.episode_start(task or self._details.task)
            session.take_down_episodes(self._desk.episodes)
            self._sounds("episode_start")

    def episode_stop(self, outcome: Outcome) -> None:
        with self._commanding:
            session = self._under_way()
            self._desk.episode_stop(outcome)
            session.take_down_episodes(self._desk.episodes)
            self._sounds(outcome)

    def snapshot(self) -> Path:
        """Writes what the memory holds as a recording of its own; returns its folder once it is complete."""
        with self._commanding:
            if self._memory is None:
                raise CaptureError("this recorder keeps no memory; start it with --snapshot 30s")
            if self._session is not None:
                raise CaptureError("a recording is under way: what a snapshot would hold is in it")
            _check_space(self._workspace, self.limits, self._memory.size_bytes)
            memory, self._memory = self._memory, self._memory.emptied()
            ended_ns = self._writer.switch(self._memory)
            self._desk.begin()
            session = self._begun(memory.tallies())
            session.begin(memory.oldest_ns or ended_ns)
            self._writer.do(lambda: _write_oldest(memory, session))
            self._finish(session, ended_ns, "snapshot")
            return session.folder

    def describe(self, details: Mapping[str, Any]) -> None:
        with self._commanding:
            self._details = self._details.with_(details)
            if self._session is not None:
                self._session.describe(self._details)

    # what others ask

    def preview(self, stream: str) -> list[Packet]:
        return self._tap.look(stream)

    @property
    def rig_name(self) -> str:
        return self._rig.name

    @property
    def finished(self) -> bool:
        """Whether every sensor has said its last word: replays end."""
        return self._intake.finished

    @property
    def is_recording(self) -> bool:
        """Whether a recording is under way, paused or not."""
        return self._session is not None

    @property
    def trouble(self) -> str:
        """Why the recording under way cannot go on, in one line."""
        return "" if self._session is None else self._session.trouble

    @property
    def failures(self) -> list[str]:
        """Of sensors that are gone at the moment."""
        return list(dict.fromkeys(inlet.failure for inlet in self._intake.inlets if inlet.failure))

    def silent_sensors(self) -> list[str]:
        return [] if self._session is None else self._session.silent_sensors()

    def state(self) -> RecorderState:
        """At this instant; waits for no command that is being carried out."""
        session, queue, paused_ns = self._session, self._intake.queue, self._paused_ns
        streams = self._watch.streams(None if session is None else session.tallies)
        free_bytes = shutil.disk_usage(_existing(self._workspace.root)).free
        state = RecorderState(
            mode=self._mode(session, paused_ns),
            rig=self._rig.name,
            streams=streams,
            last_folder="" if self._last_folder is None else str(self._last_folder),
            **self._details.as_dict(),
            order_lines=tuple(self._order_lines(self._details, () if session is None else self._desk.episodes)),
            queue_bytes=queue.size_bytes,
            queue_bound_bytes=queue.bound_bytes,
            queue_age_ms=queue.age_s() * 1e3,
            free_bytes=free_bytes,
            disk_left_s=self._watch.disk_left_s(free_bytes - self.limits.free_bytes),
            kept_s=0.0 if self._memory is None else self._memory.reach_s,
            episode=self._desk.episode_state(),
            marks=self._desk.marks,
            sound=self._sound,
        )
        if session is not None:
            state = replace(
                state,
                recording_id=session.folder.name,
                folder=str(session.folder),
                elapsed_s=(time.time_ns() - session.started_ns) / 1e9,
                file_bytes=session.size_bytes,
                segment=session.segment,
                synced_s_ago=session.synced_s_ago,
            )
        trouble = [each for each in (self._last_trouble, self._writer.failure, self._clocks.failure) if each]
        trouble += [] if session is None else session.doubts
        return replace(state, alarms=(*trouble, *self._watch.alarms(state)))

    def run(self) -> None:
        """Begins to listen to the sensors."""
        if not self._is_running:
            self._is_running = True
            self._clocks.start()
            self._writer.start()
            self._intake.start()

    def close(self) -> None:
        """Ends the recording under way, if one is, and lets go of the sensors."""
        with self._commanding:
            self._is_closed = True
            try:
                self.stop_if_recording()
            finally:
                self._intake.close()
                if self._is_running:
                    self._writer.join()
                self._clocks.close()

    def _begun(self, tallies: Sequence[Tally]) -> Session:
        clocks, queue = self._clocks.clocks, self._intake.queue
        return Session(self._rig, self._workspace, tallies, clocks, queue, self._details, self.limits)

    def _finish(self, session: Session, ended_ns: int, sound: str = "stop") -> None:
        self._last_trouble = session.trouble
        session.take_down_episodes(self._desk.episodes)
        self._clocks.catch_up()
        for failure in (self._writer.failure, self._clocks.failure):
            if failure:
                session.doubt(failure)
        self._last_folder = session.folder
        try:
            info = session.finish(ended_ns, self._intake.absences(session.started_ns))
        except Exception as error:
            self._last_trouble = (
                f"{session.folder.name} could not be closed: {error}; run: fieldrig repair {session.folder}"
            )
            self._sounds("alarm")
            raise CaptureError(self._last_trouble) from error
        self._sounds(sound if info.verdict == "good" else "alarm")

    def _under_way(self) -> Session:
        if self._session is None:
            raise CaptureError("nothing is being recorded; start a recording first")
        return self._session

    def _mode(self, session: Session | None, paused_ns: int | None) -> Mode:
        if session is None:
            return "standby" if self._memory is None else "snapshot"
        return "recording" if paused_ns is None else "paused"

    def _sounds(self, name: str) -> None:
        self._sound = Sound(self._sound.count + 1, name)


def record(
    rig: Rig,
    workspace: Workspace,
    *,
    duration_s: float | None,
    stop: threading.Event | None = None,
    progress: Callable[[RecorderState], None] | None = None,
    details: Details | None = None,
    limits: Limits | None = None,
) -> Path:
    """Records until ``duration_s`` has passed, ``stop`` is set, or every sensor has said its last word; returns the recording's folder.

    Raises DeviceError when a sensor cannot be reached, CaptureError when one stays silent or fails at the start, or when the disk
    fills; in the latter cases what was recorded until then is finished and whole, and the message says where it lies.
    """
    try:
        with Recorder(rig, workspace, limits, details=details) as recorder:
            folder = recorder.start()
            recorder.run()
            trouble = attend(recorder, duration_s, stop or threading.Event(), progress)
    except OSError as error:
        raise CaptureError(
            f"the disk at {workspace.root} fails: {error}; free some space, then `fieldrig repair` what is in {workspace.recordings}"
        ) from None
    if trouble:
        raise CaptureError(f"{trouble}; what was recorded until then is complete in {folder}")
    return folder


def attend(
    recorder: Recorder,
    duration_s: float | None,
    stop: threading.Event,
    progress: Callable[[RecorderState], None] | None,
) -> str:
    """Stays with a recording until its end, however it comes; returns why it came too early, in one line, or nothing."""
    began_s, started_well = time.monotonic(), False
    while True:
        elapsed_s = time.monotonic() - began_s
        if progress is not None:
            progress(recorder.state())
        recorder.tend()
        if recorder.trouble:
            return f"recording stopped: {recorder.trouble}"
        if not started_well and (recorder.finished or elapsed_s >= recorder.limits.silent_s):
            if trouble := _start_trouble(recorder, elapsed_s):
                return trouble
            started_well = True
        left_s = _TICK_S if duration_s is None else min(_TICK_S, duration_s - elapsed_s)
        if left_s <= 0 or recorder.finished or not recorder.is_recording or stop.wait(left_s):
            return ""


def stand_by(recorder: Recorder, stop: threading.Event, progress: Callable[[RecorderState], None] | None) -> None:
    """Lets a crew start and stop recordings until ``stop`` is set; one that cannot go on is closed, and the page says why."""
    while not stop.wait(_TICK_S):
        if progress is not None:
            progress(recorder.state())
        recorder.tend()
        if recorder.trouble:
            with contextlib.suppress(CaptureError):  # the state's alarms say what it was
                recorder.stop_if_recording()


def _start_trouble(recorder: Recorder, elapsed_s: float) -> str:
    if recorder.failures:
        return recorder.failures[0]
    silent = recorder.silent_sensors()
    if not silent:
        return ""
    return (
        f"nothing came from {', '.join(silent)} in {elapsed_s:.1f} s; check power, cable and the address that "
        "it sends to (rig.toml says where we listen), or take it out of rig.toml"
    )


def _write_oldest(memory: Memory, session: Session) -> bool:
    """Whether there may be more."""
    oldest = memory.pop()
    if oldest is not None:
        session.take(*oldest)
    return oldest is not None


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _check_space(workspace: Workspace, limits: Limits, to_write_bytes: int = 0) -> None:
    existing = _existing(workspace.root)
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes - to_write_bytes < limits.free_bytes:
        raise CaptureError(
            f"only {free_bytes / 1e6:.0f} MB are free at {existing}, and {limits.free_bytes / 1e6:.0f} MB are kept back; "
            "free some space, or give another --workspace"
        )
