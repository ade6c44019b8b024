"""Panels as another stage would give them."""

from capture.dashboard.panel import Line
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import Rig


class Progress:
    title = "Progress"

    def lines(self, state: RecorderState) -> list[Line]:
        return [Line(f"{state.episode.done.get('success', 0)} episodes", "good")]


class Broken:
    title = "Broken"

    def lines(self, state: RecorderState) -> list[Line]:
        return [Line(str(1 // 0))]


def progress(rig: Rig, workspace: Workspace) -> Progress:
    return Progress()


def broken(rig: Rig, workspace: Workspace) -> Broken:
    return Broken()
