"""The page's slot for what other stages know: an order's progress, a calibration's freshness, coverage, drift.

Whoever composes names what makes a panel as ``module:name`` (``python -m capture.dashboard --panel calibration.freshness_panel:panel``);
the page's process imports it and asks it for a panel of its rig and workspace. Panels run there, once a second, on a thread of their own: a slow one is late, a broken one says so, and neither holds
up the page.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol

from capture.errors import CaptureError
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import Rig

Level = Literal["plain", "good", "warning", "bad"]
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a panel. level: how it is coloured and signed."""

    text: str
    level: Level = "plain"


class Panel(Protocol):
    @property
    def title(self) -> str: ...

    def lines(self, state: RecorderState) -> Sequence[Line]:
        """What to show now; nothing hides the panel."""
        ...


MakePanel = Callable[[Rig, Workspace], Panel]


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel as the page shows it."""

    title: str
    lines: tuple[Line, ...]


def load_panel(reference: str, rig: Rig, workspace: Workspace) -> Panel:
    """The panel that ``module:name`` makes. Raises CaptureError when there is no such thing."""
    module, _, name = reference.partition(":")
    try:
        make: MakePanel = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CaptureError(
            f"no panel '{reference}': {error}; name what makes it as MODULE:NAME, e.g. calibration.freshness_panel:panel"
        ) from None
    return make(rig, workspace)


class PanelBoard:
    """Keeps the panels' lines fresh until closed."""

    def __init__(self, panels: Sequence[Panel], state: Callable[[], RecorderState | None]) -> None:
        self.shown: tuple[Shown, ...] = ()
        self._panels = panels
        self._state = state
        self._stop = threading.Event()
        if panels:
            threading.Thread(target=self._run, name="fieldrig-panels", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            state = self._state()
            if state is not None:
                self.shown = tuple(_shown(panel, state) for panel in self._panels)
            self._stop.wait(EVERY_S)


def _shown(panel: Panel, state: RecorderState) -> Shown:
    try:
        return Shown(panel.title, tuple(panel.lines(state)))
    except Exception as error:  # another stage's defect must not take the page away from the crew
        return Shown(type(panel).__name__, (Line(f"this panel failed: {type(error).__name__}: {error}", "bad"),))
