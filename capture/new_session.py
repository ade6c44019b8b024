"""A recording that is about to begin: its folder and its first bytes on the disk, or neither."""

from __future__ import annotations

from collections.abc import Sequence

from capture.details import Details
from capture.errors import CaptureError
from capture.limits import Limits
from capture.open_rig import OpenRig
from capture.recording_folder import RecordingFolder
from capture.session import Session
from capture.tally import Tally
from capture.workspace import Workspace
from devices.rig import Rig


def new_session(
    workspace: Workspace, rig: Rig, details: Details, limits: Limits, sensors: OpenRig, tallies: Sequence[Tally]
) -> Session:
    """Raises CaptureError when the disk refuses it; nothing is left behind then."""
    streams = [tally.inlet.stream for tally in tallies]
    try:
        folder = RecordingFolder(workspace, rig, streams, details)
        try:
            return Session(folder, tallies, sensors.clocks.clocks, sensors.intake.queue, limits)
        except BaseException:
            folder.abandon()
            raise
    except OSError as error:
        why = f"the disk refused the recording's first bytes: {error.strerror or error}"
        raise CaptureError(f"{why}; free some space, or record to another disk") from None
