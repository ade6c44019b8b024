"""The protocol that a dataset format fulfils, and the registry in which formats are found.

A format is one folder in export/formats/ and one line under ``fieldrig.formats`` in pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from devices.progress import Progress
from export.errors import ExportError
from export.report import Report

if TYPE_CHECKING:
    from export.dataset import DatasetView


class Format(Protocol):
    """One dataset format: how it is written, and how its real consumer is asked about it."""

    @property
    def name(self) -> str: ...

    def write(self, view: DatasetView, folder: Path, progress: Progress | None = None) -> Report:
        """Write the dataset into an empty folder; the same view gives the same bytes. Raises ExportError when it cannot."""
        ...

    def recognises(self, folder: Path) -> bool:
        """Whether a folder holds a dataset of this format, whole or damaged."""
        ...

    def check(self, folder: Path, progress: Progress | None = None) -> Report:
        """Open a dataset with its real consumer and reconcile it with fieldrig.json.

        What is wrong with the dataset stands in the report; FieldrigError means that it could not be checked.
        """
        ...


@cache
def formats() -> Mapping[str, Any]:
    """Name -> entry point of every installed format; nothing is imported yet."""
    return {point.name: point for point in entry_points(group="fieldrig.formats")}


def format_called(name: str) -> Format:
    """The format called ``name``. Raises ExportError naming the choices."""
    known = formats()
    if name not in known:
        raise ExportError(f"no format called '{name}'; choose from: {', '.join(sorted(known))}")
    loaded: Format = known[name].load()
    return loaded
