"""nuScenes (devkit 1.2.0): labelled keyframes with everything that was seen between them, in one world frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices.progress import Progress
from export.report import Report

if TYPE_CHECKING:
    from export.dataset import DatasetView


@dataclass(frozen=True, slots=True)
class NuScenes:
    """The format ``nuscenes``."""

    name: str = "nuscenes"

    def write(self, view: DatasetView, folder: Path, progress: Progress | None = None) -> Report:
        from export.formats.nuscenes.write import write

        return write(view, folder, progress)

    def recognises(self, folder: Path) -> bool:
        from export.formats.nuscenes.layout import VERSION

        return (folder / VERSION).is_dir()

    def check(self, folder: Path, progress: Progress | None = None) -> Report:
        from export.formats.nuscenes.check import check

        return check(folder, progress)


FORMAT = NuScenes()
