"""A finished recording that is to be moved: its files, what they must hash to, and its removal once it is safe elsewhere."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capture import checksums
from capture.checksums import files_of, read_sums, sha256_of
from capture.errors import CaptureError
from capture.lock import FolderLock, hold
from capture.offload import ledger
from capture.offload.destination import Append
from capture.recording_info import RecordingInfo, load_info

_BLOCK_BYTES = 1 << 20
# What the folder of a recording that is being deleted is called, in this order.
_BEING_CHECKED, _GIVEN_UP = ".offload-check", ".offload-done"


@dataclass(frozen=True, slots=True)
class Source:
    """sums: of every file but SHA256SUMS itself; those that stand in no line of it were hashed now."""

    folder: Path
    info: RecordingInfo
    sums: dict[str, str]
    sizes: dict[str, int]
    changed_ns: dict[str, int]

    def send(self, name: str, append: Append, *, start: int, progress: Callable[[int], None]) -> None:
        """The bytes of a file from ``start`` on; all of it is read and hashed. Raises CaptureError when it is not what was recorded."""
        sha256, at = hashlib.sha256(), 0
        try:
            with (self.folder / name).open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    sha256.update(block)
                    rest = block if at >= start else block[start - at :]
                    at += len(block)
                    if rest:
                        _appended(append, rest)
                    progress(at)
        except _DestinationError as error:
            raise error.cause from None
        except OSError as error:
            raise CaptureError(
                f"cannot read {self.folder / name}: {error.strerror or error}; see whether its disk is well"
            ) from None
        if sha256.hexdigest() != self.sums[name]:
            raise CaptureError(
                f"{self.folder / name} is not the file that was recorded: its SHA-256 differs; "
                f"`fieldrig verify {self.folder}` says what is left"
            )

    def check_unchanged(self) -> None:
        """Raises CaptureError when the folder is no longer what it was when this began."""
        now = _stat(self.folder)
        if now != (self.sizes, self.changed_ns):
            raise CaptureError(f"{self.folder} was changed meanwhile; nothing was deleted, run the same command again")

    def remove(self, is_safe: Callable[[], bool], where: str) -> None:
        """Deletes the recording; the ledger says ``where`` it went.

        ``is_safe`` is asked again when it no longer lies where it was: the copy may have been the original.
        """
        self.check_unchanged()
        aside = _aside(self.folder, _BEING_CHECKED)
        self.folder.rename(aside)
        try:
            safe = is_safe()
            if safe:
                ledger.enter(self.folder, aside, self.info, where)
        except BaseException:
            aside.rename(self.folder)
            raise
        if not safe:
            aside.rename(self.folder)
            raise CaptureError(f"{self.folder} is itself the destination under another name; nothing was deleted")
        shutil.rmtree(aside.rename(_aside(self.folder, _GIVEN_UP)))


def finish_removals(recordings: Path) -> None:
    """Where a deletion was interrupted: recordings that had been found safe elsewhere go, the others are put back."""
    for aside in recordings.glob(f".*{_GIVEN_UP}"):
        shutil.rmtree(aside, ignore_errors=True)
    for aside in recordings.glob(f".*{_BEING_CHECKED}"):
        folder = recordings / aside.name[1 : -len(_BEING_CHECKED)]
        if not folder.exists() and not _is_held(aside):
            aside.rename(folder)


def _aside(folder: Path, state: str) -> Path:
    return folder.with_name(f".{folder.name}{state}")


def _is_held(folder: Path) -> bool:
    try:
        with (folder / checksums.NAME).open("rb") as file:
            hold(file.fileno(), folder)
    except CaptureError:
        return True
    except OSError:
        return False
    return False


class _DestinationError(Exception):
    """Carries what the destination raised past the clause that catches what the source's disk raises."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


def _appended(append: Append, data: bytes) -> None:
    try:
        append(data)
    except Exception as error:
        raise _DestinationError(error) from error


@contextmanager
def opened_source(folder: Path) -> Iterator[Source]:
    """A recording that nobody else moves meanwhile. Raises CaptureError when it is not finished, or a file is missing."""
    info = load_info(folder)
    if info.state == "recording":
        FolderLock(folder).release()
        raise CaptureError(f"{folder} was not finished by its recorder; run: fieldrig repair {folder}")
    sums = read_sums(folder)
    if missing := sorted(sums.keys() - set(files_of(folder))):
        raise CaptureError(f"{folder / missing[0]} is missing; `fieldrig verify {folder}` says what is left")
    with (folder / checksums.NAME).open("rb") as file:
        try:
            hold(file.fileno(), folder)
        except CaptureError:
            raise CaptureError(f"{folder} is being offloaded by another process") from None
        extra = {name: sha256_of(folder / name) for name in files_of(folder) if name not in sums}
        sizes, changed_ns = _stat(folder)
        yield Source(folder.absolute(), info, sums | extra, sizes, changed_ns)


def _stat(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    stats = {name: (folder / name).stat() for name in files_of(folder)}
    return {name: each.st_size for name, each in stats.items()}, {
        name: each.st_mtime_ns for name, each in stats.items()
    }
