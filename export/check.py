"""`fieldrig check`: open a dataset with its real consumer, and reconcile it with what it should hold."""

from __future__ import annotations

from pathlib import Path

from export.errors import ExportError
from export.format import Format, format_called, formats
from export.report import Report
from export.sums import wrong_files


def check(folder: Path) -> Report:
    """Check a dataset in whatever format it is. Raises ExportError when it is in none, or its consumer is not there."""
    if not folder.is_dir():
        raise ExportError(
            f"no folder {folder} to check; give the folder of one format, such as datasets/NAME/v1/lerobot"
        )
    report = format_of(folder).check(folder)
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
