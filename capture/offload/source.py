"""A finished recording that is to be moved: its files, and what they must hash to."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capture import checksums
from capture.checksums import files_of, read_sums, sha256_of
from capture.errors import CaptureError
from capture.lock import hold
from capture.offload import journal
from capture.offload.destination import Append
from capture.recording import finished_info
from capture.recording_info import RecordingInfo

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """sums: of every file but SHA256SUMS itself and a journal; those that stand in no line of it were hashed now."""

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
                f"`fieldrig verify {shlex.quote(str(self.folder))}` says what is left"
            )

    def check_unchanged(self) -> None:
        """Raises CaptureError when the folder is no longer what it was when this began."""
        now = _stat(self.folder)
        if now != (self.sizes, self.changed_ns):
            raise CaptureError(f"{self.folder} was changed meanwhile; nothing was deleted, run the same command again")


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
    info = finished_info(folder)
    sums = read_sums(folder)
    with (folder / checksums.NAME).open("rb") as file:
        try:
            hold(file.fileno(), folder)
        except CaptureError:
            raise CaptureError(f"{folder} is being offloaded by another process") from None
        if missing := sorted(sums.keys() - set(files_of(folder))):
            raise CaptureError(
                f"{folder / missing[0]} is missing; `fieldrig verify {shlex.quote(str(folder))}` says what is left"
            )
        _check_segments(folder, info, sums)
        sums |= {name: sha256_of(folder / name) for name in files_of(folder) if name not in sums}
        sums.pop(journal.NAME, None)  # of a move to this place that was broken off: the one to the next has its own
        sizes, changed_ns = _stat(folder)
        yield Source(folder.absolute(), info, sums, sizes, changed_ns)


def _check_segments(folder: Path, info: RecordingInfo, sums: Mapping[str, str]) -> None:
    """Raises CaptureError where SHA256SUMS would prove another segment than recording.json names."""
    segments = (each for each in info.segments if not each.deleted)
    if other := [each.name for each in segments if sums.get(each.name) != each.sha256]:
        raise CaptureError(
            f"{folder / checksums.NAME} does not state the hash of {other[0]} that recording.json does, and nothing was copied; "
            f"`fieldrig verify {shlex.quote(str(folder))}` says which of the two is right"
        )


def _stat(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    stats = {name: (folder / name).stat() for name in files_of(folder)}
    return {name: each.st_size for name, each in stats.items()}, {
        name: each.st_mtime_ns for name, each in stats.items()
    }
