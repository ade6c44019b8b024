"""LeRobot v3.0 (the loader of lerobot 0.6.1): pictures as video, state and action at a constant rate, by episode and task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices.progress import Progress
from export.report import Report

if TYPE_CHECKING:
    from export.dataset import DatasetView


@dataclass(frozen=True, slots=True)
class LeRobot:
    """The format ``lerobot``."""

    name: str = "lerobot"

    def write(self, view: DatasetView, folder: Path, progress: Progress | None = None) -> Report:
        from export.formats.lerobot.write import write

        return write(view, folder, progress)

    def recognises(self, folder: Path) -> bool:
        return (folder / "meta" / "info.json").is_file()

    def check(self, folder: Path, progress: Progress | None = None) -> Report:
        from export.formats.lerobot.check import check

        return check(folder, progress)


FORMAT = LeRobot()
