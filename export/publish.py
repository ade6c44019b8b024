"""Versions of datasets in a workspace: datasets/NAME/vN/FORMAT, there whole or not at all, and never changed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from capture.checksums import write_sums
from devices.progress import Progress
from export.dataset import DatasetView, build
from export.errors import ExportError
from export.format import format_called
from export.format import formats as known_formats
from export.report import Report

if TYPE_CHECKING:
    from capture.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"v(\d+)")


def export_recordings(
    workspace: Workspace,
    recordings: Sequence[str | Path],
    *,
    name: str,
    formats: Sequence[str] = (),
    project: str | None = None,
    calibration: str | None = None,
    progress: Progress | None = None,
) -> list[Report]:
    """Build the view of some recordings and publish it, in every format when none is named: what `fieldrig export` does."""
    chosen = tuple(formats) or tuple(sorted(known_formats()))
    _require(name, chosen)
    view = build(workspace, recordings, name=name, project=project, calibration=calibration)
    return publish(view, workspace, chosen, progress)


def publish(
    view: DatasetView, workspace: Workspace, formats: Sequence[str], progress: Progress | None = None
) -> list[Report]:
    """Write a view as the next version of its dataset, in every format asked for; a report each, with its final folder.

    All formats appear at once, by one rename. Raises ExportError, and leaves nothing behind, when one cannot be written.
    """
    _require(view.name, formats)
    home = workspace.datasets / view.name
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
    try:
        reports = []
        for name in formats:
            (draft / name).mkdir()
            reports.append(format_called(name).write(view, draft / name, progress))
            write_sums(draft / name)
        draft.chmod(0o755)
        final = _take_version(draft, home)
    except OSError as error:
        raise ExportError(f"cannot write to {home}: {error}; run it again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # another version stands there
            home.rmdir()
    for report in reports:
        report.folder = final / report.folder.relative_to(draft)
    return reports


def _require(name: str, formats: Sequence[str]) -> None:
    if not _NAME.fullmatch(name):
        raise ExportError(f"'{name}' cannot name a dataset; use letters, digits, dot, dash and underscore")
    if len(set(formats)) != len(formats):
        raise ExportError(f"a format was named twice: {', '.join(formats)}")
    for one in formats:
        format_called(one)


def _take_version(draft: Path, home: Path) -> Path:
    """Rename the draft to the first free version after all that are there."""
    while True:
        taken = [int(match[1]) for entry in home.iterdir() if (match := _VERSION.fullmatch(entry.name))]
        final = home / f"v{max(taken, default=0) + 1}"
        try:
            os.rename(draft, final)  # noqa: PTH104 - Path.rename would say nothing else; an occupied folder makes it fail
        except OSError:
            if not final.exists():
                raise
            continue
        return final
