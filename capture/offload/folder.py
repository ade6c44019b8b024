"""A recording's folder on another disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from capture.errors import CaptureError
from capture.offload.destination import GO_ON, Fill
from capture.whole_file import sync_folder


class FolderDestination:
    """A folder that exists: a mount point whose disk is not mounted must not be taken for one."""

    def __init__(self, parent: Path, recording_id: str) -> None:
        if not parent.is_dir():
            raise CaptureError(f"no folder {parent}; mount its disk, or make it with mkdir")
        self.folder = parent.absolute() / recording_id
        self._device = parent.stat().st_dev
        with self._trouble():
            self.folder.mkdir(exist_ok=True)

    @property
    def where(self) -> str:
        return str(self.folder)

    def shares_disk_with(self, path: Path) -> bool:
        return path.stat().st_dev == self._device

    def holds(self, path: Path) -> bool:
        return self.folder.samefile(path) or path.resolve() in self.folder.resolve().parents

    def free_bytes(self) -> int | None:
        with self._trouble():
            return shutil.disk_usage(self.folder).free

    def size_of(self, name: str) -> int | None:
        with self._trouble():
            self._check_present()
            path = self.folder / name
            return path.stat().st_size if path.is_file() else None

    def unfinished_bytes(self, name: str) -> int:
        part = self._part(name)
        return part.stat().st_size if part.is_file() else 0

    def write(self, name: str, fill: Fill, start: int) -> None:
        with self._trouble():
            self._check_present()
            part = self._part(name)
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if start else "wb") as file:
                file.truncate(start)
                file.seek(start)
                fill(file.write)
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        with self._trouble(), (self.folder / name).open("rb") as file:
            _forget_cached(file)
            yield file

    @contextmanager
    def read_unfinished(self, name: str) -> Iterator[BinaryIO]:
        with self._trouble(), self._part(name).open("rb") as file:
            _forget_cached(file)
            yield file

    def commit(self, name: str) -> None:
        with self._trouble():
            self._check_present()
            self._part(name).replace(self.folder / name)
            _sync_folder((self.folder / name).parent)

    def discard(self, name: str) -> None:
        with self._trouble():
            self._part(name).unlink(missing_ok=True)

    def put(self, name: str, content: bytes) -> None:
        self.write(name, lambda append: append(content), 0)
        self.commit(name)

    def remove(self, name: str) -> None:
        with self._trouble():
            (self.folder / name).unlink(missing_ok=True)
            _sync_folder(self.folder)

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.part"

    def _check_present(self) -> None:
        """A disk that was pulled out leaves its mount point behind, which is a folder on another disk."""
        if not self.folder.is_dir() or self.folder.stat().st_dev != self._device:
            raise FileNotFoundError(0, "it has gone; is its disk still there?")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CaptureError(f"{self.folder}: {error.strerror or error}; {GO_ON}") from None


def _forget_cached(file: BinaryIO) -> None:
    """What is read back shall come from the disk."""
    if sys.platform == "linux":
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system that is plugged in can
        sync_folder(folder)
