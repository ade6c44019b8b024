"""The road as it is walked: stages one after another, each timed, told, and kept from the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from annotate.label_studio.server import Server
from capture.workspace import Workspace
from devices.progress import Progress
from examples.demo.report import Stage, write_report
from examples.demo.seal import Seal


@dataclass(slots=True)
class Road:
    """What happened so far. folder: where report.html and scorecard.json go."""

    folder: Path
    workspace: Workspace
    server: Server
    console: Console
    seal: Seal
    notes: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    scorecard: dict[str, Any] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str, story: str) -> Iterator[Stage]:
        """A stage that is scored: nothing in it can open the truth."""
        with self.seal.closed(), self.knowing(name, story) as stage:
            yield stage

    @contextmanager
    def knowing(self, name: str, story: str) -> Iterator[Stage]:
        """A part that may look at the truth: the scripted annotator, who stands for a person, and the scorecard."""
        stage = Stage(name, story)
        started_s = time.monotonic()
        yield stage
        stage.seconds = time.monotonic() - started_s
        self.stages.append(stage)
        self.console.print(f"{name:<28} {stage.seconds:6.1f} s{' ' * 40}")

    def progress(self, name: str) -> Progress:
        """A callback for long work: one line that is written over, where somebody watches."""
        last_s = 0.0

        def show(what: str, share: float) -> None:
            nonlocal last_s
            if self.console.is_terminal and time.monotonic() - last_s > 0.2:
                last_s = time.monotonic()
                self.console.print(f"{name:<28} {share:6.0%}   {what:<36}", end="\r")

        return show

    def finish(self, title: str) -> Path:
        """Write scorecard.json and report.html; returns the report."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scorecard["road_s"] = round(time.monotonic() - self.started_s, 1)
        card = self.folder / "scorecard.json"
        card.write_text(json.dumps(self.scorecard, indent=2) + "\n", encoding="utf-8")
        report = self.folder / "report.html"
        write_report(report, title, self.notes, self.stages, self.scorecard)
        return report
