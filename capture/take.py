"""A take: a recording while it is made, and what it says of the sensors and of the crew, at once and at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from capture.details import Details
from capture.errors import CaptureError
from capture.limits import Limits
from capture.open_rig import OpenRig
from capture.operator_desk import OperatorDesk
from capture.recording_folder import RecordingFolder
from capture.recording_info import Interruption, RecordingInfo
from capture.session import Session
from capture.tally import Tally
from capture.workspace import Workspace
from devices.rig import Rig

_ADDING_SHARE = 0.05  # of the time, at most, for adding up who was gone


class Take:
    """``session`` gets the packets; what else stands in recording.json is taken down here."""

    def __init__(self, session: Session, sensors: OpenRig, desk: OperatorDesk) -> None:
        self.session = session
        self._sensors = sensors
        self._desk = desk
        self._rests_until_s = 0.0

    def tend(self) -> None:
        """Takes down what has happened by now: a recorder that is killed leaves it behind."""
        self._take_down_interruptions()
        self.session.take_down_clock()
        self._take_down_marks()

    def finish(self) -> RecordingInfo:
        """Closes the recording's folder. The writer thread must have let go of the session. Raises whatever it meets in that."""
        self._desk.end()
        self.session.take_down(episodes=self._desk.episodes)
        self._take_down_marks()
        self._sensors.clocks.catch_up()
        for trouble in self._sensors.troubles:
            self.session.doubt(trouble)
        self._sensors.forget_failures()
        return self.session.finish(self._interruptions())

    def _take_down_interruptions(self) -> None:
        """At once, but where there are thousands to be added up and written."""
        began_s = time.monotonic()
        if began_s >= self._rests_until_s:
            self.session.take_down_interruptions(self._interruptions())
            self._rests_until_s = began_s + (time.monotonic() - began_s) / _ADDING_SHARE

    def _take_down_marks(self) -> None:
        marks = self._desk.kept_marks(self.session.started_ns)
        if marks and marks != self.session.marks:
            self.session.take_down(marks=marks)

    def _interruptions(self) -> tuple[Interruption, ...]:
        session = self.session
        try:
            return self._sensors.intake.interruptions(session.started_ns, session.ended_ns or None, session.pauses)
        except Exception as error:  # a defect there must end no recording
            session.doubt(f"what its sensors' gaps add up to could not be told: {type(error).__name__}: {error}")
            return session.interruptions


def new_take(
    workspace: Workspace, rig: Rig, details: Details, limits: Limits, sensors: OpenRig, desk: OperatorDesk, tallies: Sequence[Tally]
) -> Take:  # fmt: skip
    """Its folder and its first bytes on the disk. Raises CaptureError when the disk refuses them; nothing is left behind then."""
    streams = [tally.inlet.stream for tally in tallies]
    try:
        folder = RecordingFolder(workspace, rig, streams, details)
        try:
            session = Session(folder, tallies, sensors.clocks.clocks, sensors.intake.queue, limits)
        except BaseException:
            folder.abandon()
            raise
    except OSError as error:
        why = f"the disk refused the recording's first bytes: {error.strerror or error}"
        raise CaptureError(f"{why}; free some space, or record to another disk") from None
    return Take(session, sensors, desk)
