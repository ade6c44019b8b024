"""The crew's page shows what preflight says of the rig's calibration, for as long as the recorder runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from calibration.freshness import Freshness
from capture.dashboard.panel import Level, Line, Panel
from capture.preflight.check import Context
from capture.preflight.finding import Colour
from capture.preflight.trial import Trial
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import Rig

_EVERY_S = 30.0  # a calibration is made of megabytes, and seldom
_LEVELS: dict[Colour, Level] = {Colour.GREEN: "good", Colour.AMBER: "warning", Colour.RED: "bad"}


class FreshnessPanel:
    title = "Calibration"

    def __init__(self, rig: Rig, workspace: Workspace) -> None:
        self._rig = rig
        self._workspace = workspace
        self._lines: Sequence[Line] = ()
        self._next_s = float("-inf")

    def lines(self, state: RecorderState) -> Sequence[Line]:  # noqa: ARG002
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _EVERY_S
            self._lines = self._looked_up()
        return self._lines

    def _looked_up(self) -> list[Line]:
        """Freshness looks at files only: it is given a trial in which nothing was listened to."""
        now_ns = time.time_ns()
        found = Freshness().run(Context(self._rig, self._workspace, Trial(0.0, now_ns, ()), now_ns))
        return [
            Line(f"{each.measured}; {each.advice}" if each.advice else each.measured, _LEVELS[each.colour])
            for each in found
        ]


def panel(rig: Rig, workspace: Workspace) -> Panel:
    return FreshnessPanel(rig, workspace)
