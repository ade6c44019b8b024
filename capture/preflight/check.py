"""The slot for checks of other stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from capture.preflight.finding import Finding
from capture.preflight.trial import Trial
from capture.workspace import Workspace
from devices.rig import Rig


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may look at. trial: all sensors heard together for some seconds. now_ns: UTC."""

    rig: Rig
    workspace: Workspace
    trial: Trial
    now_ns: int


class Check(Protocol):
    """A check that another stage brings, passed in by the command line: calibration's freshness, its drift."""

    @property
    def name(self) -> str: ...

    def run(self, context: Context) -> Sequence[Finding]: ...
