"""A rig's sensors, open; recordings begin and end while they are."""

from __future__ import annotations

import math
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from capture.anchor import Anchor
from capture.details import Details
from capture.errors import CaptureError
from capture.free_space import check_space
from capture.health import silent_sensors
from capture.limits import Limits
from capture.memory import Memory
from capture.open_rig import OpenRig
from capture.operator_desk import OperatorDesk
from capture.orders.orders import check_order
from capture.paused import Paused
from capture.recorder_state import Outcome, RecorderState, Sound
from capture.reporter import Reporter, TellOrders
from capture.session import Session
from capture.take import Take, new_take
from capture.tally import Tally
from capture.workspace import Workspace
from capture.writer_thread import Nowhere
from devices.host_clock import HOST_CLOCK, since_boot_ns
from devices.rig import Rig
from devices.samples import Packet


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
        order_lines: TellOrders = lambda _details, _episodes: (),
    ) -> None:
        self.limits = limits or Limits()
        self._rig = rig
        self._workspace = workspace
        self._details = details or Details()
        check_space(workspace, self.limits.free_bytes)
        HOST_CLOCK.anchor_anew()
        self._desk = OperatorDesk()
        self.sensors = OpenRig(rig, self.limits, [self._desk])
        self._anchor = Anchor(self.sensors.clocks)
        self._reporter = Reporter(workspace, self.limits, self.sensors, self._desk, order_lines)
        self._memory = None if snapshot_s is None else Memory(snapshot_s, self.limits.memory_bytes, self.sensors.inlets)
        self.sensors.writer.switch(self._memory or Nowhere())
        self._take: Take | None = None  # until its folder is closed
        self._sound = Sound()
        self._last_folder = ""
        self._last_trouble = ""
        self._is_closed = False
        self._commanding = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what a crew commands

    def start(self, details: Mapping[str, Any] | None = None) -> Path:
        """Begins a recording; returns its folder. Raises CaptureError while one is under way, or when the disk is full or refuses it."""
        with self._commanding:
            if self._is_closed:
                raise CaptureError("this recorder has ended")
            if self._take is not None:
                raise CaptureError(f"{self._take.session.folder.name} is being recorded already; stop it first")
            if self.sensors.writer.trouble:
                raise CaptureError(self.sensors.writer.trouble)
            check_space(self._workspace, self.limits.free_bytes)
            self._details = self._said(details or {})
            self._anchor.follow()
            if self._anchor.settle():
                self._forget_what_is_held()
            take = self._opened([Tally(inlet) for inlet in self.sensors.inlets])
            session = take.session
            self.sensors.forget_failures()
            try:
                self.sensors.writer.switch(session, session.begin)
            except CaptureError:
                session.discard()
                raise
            self._desk.begin()
            self._last_trouble = ""
            session.take_down()
            self._take = take
            HOST_CLOCK.hold()
            self._memory = None if self._memory is None else self._memory.emptied()
            self._sounds("start")
            return session.folder

    def stop(self) -> Path:
        """Ends the recording under way; returns its folder once it is complete: all that had arrived by now is in it."""
        with self._commanding:
            take, writer = self._under_way(), self.sensors.writer
            if writer.trouble:
                writer.leave(take.session.end)
            else:
                writer.switch(self._memory or Nowhere(), take.session.end)
            self._finish(take)
            return take.session.folder

    def stop_if_recording(self) -> None:
        with self._commanding:
            if self._take is not None:
                self.stop()

    def pause(self) -> None:
        """What arrives from now on is not written, until resume()."""
        with self._commanding:
            session = self._under_way().session
            if session.is_paused:
                raise CaptureError("the recording is paused already")
            self.sensors.writer.switch(Paused(session), session.pause)
            session.take_down()
            self._sounds("pause")

    def resume(self) -> None:
        with self._commanding:
            session = self._under_way().session
            if not session.is_paused:
                raise CaptureError("the recording is not paused")
            self.sensors.writer.switch(session, session.resume)
            session.take_down()
            self._sounds("resume")

    def mark(self, kind: str, text: str, boot_ns: int | None = None) -> None:
        """Takes this instant down, for the recording under way or for a snapshot. Episodes have commands of their own.

        boot_ns: since_boot_ns() of the instant that is meant, some seconds ago at most; also of an episode's start and end.
        """
        with self._commanding:
            if self._memory is None:
                self._under_way()
            self._desk.mark(kind, text, boot_ns)
            self._sounds("note" if kind == "note" else "mark")

    def episode_start(self, task: str, boot_ns: int | None = None) -> None:
        """task: what is being tried; empty: the recording's task. Raises CaptureError in a pause, where nothing of it would be recorded."""
        with self._commanding:
            session = self._under_way().session
            if session.is_paused:
                self._sounds("refused")
                raise CaptureError("the recording is paused, and nothing of an episode would be in it; resume it first")
            self._desk.episode_start(task or self._details.task, boot_ns)
            session.take_down(episodes=self._desk.episodes)
            self._sounds("episode_start")

    def episode_stop(self, outcome: Outcome, boot_ns: int | None = None) -> None:
        with self._commanding:
            session = self._under_way().session
            self._desk.episode_stop(outcome, boot_ns)
            session.take_down(episodes=self._desk.episodes)
            self._sounds(outcome)

    def snapshot(self) -> Path:
        """Writes what the memory holds as a recording of its own; returns its folder once it is complete."""
        with self._commanding:
            if self._memory is None:
                raise CaptureError("this recorder keeps no memory; start it with --snapshot 30s")
            if self._take is not None:
                raise CaptureError("a recording is under way: what a snapshot would hold is in it")
            if not self._memory.size_bytes:
                raise CaptureError(f"nothing came in the last {self._memory.asked_s:g} s: there is nothing to write")
            check_space(self._workspace, self.limits.free_bytes, self._memory.size_bytes)
            memory, newer = self._memory, self._memory.emptied()
            ended_ns = self.sensors.writer.switch(newer)
            self._memory = newer
            try:
                self._take = take = self._opened(memory.tallies())
                HOST_CLOCK.hold()
            except BaseException:
                self.sensors.writer.do(lambda: newer.take_back(memory))
                raise
            session, started_ns = take.session, memory.oldest_ns or ended_ns
            marks = self._desk.kept_marks(started_ns)
            self._desk.begin()
            session.end(ended_ns)
            session.take_down(started_ns=started_ns, notes=memory.notes, marks=marks)
            self.sensors.writer.do(lambda: memory.hand_over_oldest(session))
            self._finish(take, "snapshot")
            return session.folder

    def describe(self, details: Mapping[str, Any]) -> None:
        """Raises CaptureError for what is no detail, and for an order that there is not."""
        with self._commanding:
            self._details = self._said(details)
            if self._take is not None:
                self._take.session.take_down(**self._details.as_dict())

    def _said(self, details: Mapping[str, Any]) -> Details:
        """What is known now. An order is looked for only when it is another one: the file of an old one may go meanwhile."""
        said = self._details.with_(details)
        if said.order != self._details.order:
            check_order(self._workspace, said.order)
        return said

    # what others ask

    def preview(self, stream: str) -> list[Packet]:
        return self.sensors.tap.look(stream)

    @property
    def rig_name(self) -> str:
        return self._rig.name

    @property
    def is_recording(self) -> bool:
        """Whether a recording is under way, paused or not; one that is being closed is not."""
        session = self._session
        return session is not None and not session.ended_ns

    @property
    def trouble(self) -> str:
        """Why the recording under way cannot go on, in one line."""
        session = self._session
        return "" if session is None else session.trouble or self.sensors.writer.trouble

    def silent_sensors(self, lasted_s: float = math.inf) -> list[str]:
        """That have said nothing at all, though they speak several times in so long."""
        session = self._session
        return [] if session is None else silent_sensors(session.tallies, self._rig, lasted_s * 1e9)

    def state(self) -> RecorderState:
        """At this instant; waits for no command that is being carried out."""
        boot_ns = since_boot_ns()
        state = self._reporter.state(
            self._rig.name,
            self._details,
            self._session,
            self._memory,
            self._sound,
            self._last_folder,
            self._last_trouble,
        )
        return replace(state, boot_ns=boot_ns)

    # its own life

    def run(self) -> None:
        """Begins to listen to the sensors."""
        self.sensors.run()

    def tend(self) -> None:
        """Called several times a second by whoever stays with the recorder: what happens to sensors and clocks is written down at once.

        Waits for no command that is being carried out, and changes nothing meanwhile.
        """
        if not self._commanding.acquire(blocking=False):
            return
        try:
            if self._take is not None:
                self._take.tend()
            elif self._memory is None:
                self._anchor.follow()
        finally:
            self._commanding.release()

    def close(self) -> None:
        """Ends the recording under way, if one is, and lets go of the sensors."""
        with self._commanding:
            self._is_closed = True
            try:
                self.stop_if_recording()
            finally:
                self.sensors.close()

    def _opened(self, tallies: Sequence[Tally]) -> Take:
        return new_take(self._workspace, self._rig, self._details, self.limits, self.sensors, self._desk, tallies)

    def _forget_what_is_held(self) -> None:
        """In memory, and marked meanwhile: it bears a time by an earlier anchor."""
        if self._memory is not None:
            newer = self._memory.emptied()
            self.sensors.writer.switch(newer)
            self._memory = newer
            self._desk.begin()

    def _finish(self, take: Take, sound: str = "stop") -> None:
        folder, self._last_trouble = take.session.folder, take.session.trouble
        try:
            info = take.finish()
        except Exception as error:
            self._last_trouble = (
                f"{folder.name} could not be closed: {error}; run: fieldrig repair {shlex.quote(str(folder))}"
            )
            self._sounds("alarm")
            raise CaptureError(self._last_trouble) from error
        finally:
            self._last_folder, self._take = str(folder), None
            HOST_CLOCK.let_go()
        self._sounds(sound if info.verdict == "good" else "alarm")

    def _under_way(self) -> Take:
        if self._take is None:
            raise CaptureError("nothing is being recorded; start a recording first")
        return self._take

    @property
    def _session(self) -> Session | None:
        take = self._take
        return None if take is None else take.session

    def _sounds(self, name: str) -> None:
        self._sound = Sound(self._sound.count + 1, name)
