"""Raw logs that somebody else recorded, taken in with their bytes and stamps as they are. Found through ``fieldrig.importers``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from capture.workspace import Workspace


class Importer(Protocol):
    """One kind of raw log. An importer is one file here and one line under ``fieldrig.importers`` in pyproject.toml."""

    def recognises(self, path: Path) -> bool:
        """Whether this is such a log, judged by its names only."""
        ...

    def import_into(self, path: Path, workspace: Workspace, progress: Callable[[int, int], None] | None = None) -> Path:
        """Makes a finished recording of it and returns its folder; progress gets (messages done, messages in all)."""
        ...
