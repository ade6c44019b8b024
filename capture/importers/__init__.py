"""Raw logs that somebody else recorded, taken in with their bytes and stamps as they are. Found through ``fieldrig.importers``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from capture.errors import CaptureError
from capture.workspace import Workspace
from devices.rig import Rig


class Progress(Protocol):
    """Gets how many are done, and how many there are: messages, in the end megabytes of the log's files that are hashed."""

    def __call__(self, done: int, total: int, unit: str = "messages", /) -> object: ...


class Importer(Protocol):
    """One kind of raw log. An importer is one file here and one line under ``fieldrig.importers`` in pyproject.toml."""

    @property
    def line(self) -> str:
        """What it brings in, in one line of help."""
        ...

    @property
    def example(self) -> str:
        """A path, and options, as somebody would type them."""
        ...

    @property
    def needs_rig(self) -> bool:
        """Whether the log does not say which sensors it holds, so that a rig.toml must."""
        ...

    def recognises(self, path: Path) -> bool:
        """Whether this is such a log, judged by its names only."""
        ...

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """Makes a finished recording of it and returns its folder. Raises CaptureError or DeviceError; nothing is left behind then."""
        ...


@cache
def importers() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed importer; nothing is imported yet."""
    return {point.name: point for point in sorted(entry_points(group="fieldrig.importers"), key=lambda each: each.name)}


def importer(name: str) -> Importer:
    """The importer called ``name``. Raises CaptureError naming the choices."""
    known = importers()
    if name not in known:
        raise CaptureError(f"no importer called '{name}'; choose one of: {', '.join(known)}")
    loaded: Importer = known[name].load()
    return loaded


def check_is_file(path: Path, what: str) -> None:
    """Raises CaptureError, in which the log is called ``what``, when the path is no file."""
    if path.is_dir():
        raise CaptureError(f"{path} is a folder; give the {what} itself, which is one file")
    _check_is_there(path, what, "file")
    if not path.is_file():
        raise CaptureError(f"{path} is a device, no file; give the {what} itself")


def check_is_folder(path: Path, what: str) -> None:
    """The same of a log that is a folder."""
    _check_is_there(path, what, "folder")
    if not path.is_dir():
        raise CaptureError(f"{path} is no folder; give the {what}'s")


def _check_is_there(path: Path, what: str, kind: str) -> None:
    if path.is_symlink() and not path.exists():
        raise CaptureError(f"{path} is a link to {path.readlink()}, which is not there")
    if not path.exists():
        raise CaptureError(f"no {what} at {path}: there is no such {kind}")
