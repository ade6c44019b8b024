"""`fieldrig check`: open a dataset with its real consumer, and reconcile it with what it should hold."""

from __future__ import annotations

from pathlib import Path

from devices.progress import Progress
from export.errors import ExportError
from export.format import Format, format_called, formats
from export.report import Report
from export.sums import wrong_files


def check(folder: Path, progress: Progress | None = None) -> Report:
    """Check a dataset in whatever format it is. Raises ExportError when it is in none, or its consumer is not there."""
    if not folder.is_dir():
        raise ExportError(
            f"no folder {folder} to check; give the folder of one format, such as datasets/NAME/v1/lerobot"
        )
    found = format_of(folder)
    tell = progress or (lambda _what, _share: None)
    tell(f"reading the {found.name} dataset", 0.0)
    report = found.check(folder, progress)
    tell("comparing every file with its SHA-256", 0.9)
    report.require_none(wrong_files(folder))
    return report


def format_of(folder: Path) -> Format:
    """The format that a folder's dataset is in. Raises ExportError when no format knows it."""
    for name in sorted(formats()):
        candidate = format_called(name)
        if candidate.recognises(folder):
            return candidate
    inside = [path.name for path in sorted(folder.iterdir()) if path.name in formats()]
    hint = f"; check {folder / inside[0]}" if inside else ""
    raise ExportError(f"{folder} holds no dataset in a format of: {', '.join(sorted(formats()))}{hint}")
