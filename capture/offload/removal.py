"""A recording's removal once it is safe elsewhere. Its folder is called by how far that came: a run that was killed is finished by the next.

.ID.offload-check             does the copy still stand while the recording does not lie in its place?
.ID.offload-to-BYTES-WHERE    it does, but the disk is too full for the ledger's entry: files go until there is room for it
.ID.offload-done              the ledger has it: all of it goes
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from capture import checksums, recording_info
from capture.errors import CaptureError
from capture.offload import ledger
from capture.offload.aside import BEING_CHECKED, aside_of, is_held, put_back
from capture.offload.ledger import LedgerEntry, LedgerFullError
from capture.recording_info import RecordingInfo, load_info

_MAKING_ROOM, _GIVEN_UP = ".offload-to-", ".offload-done"
_KEPT_LAST = (recording_info.NAME, checksums.NAME)  # what the entry is made of, and what is locked


def remove(folder: Path, info: RecordingInfo, is_safe: Callable[[], bool], where: str) -> None:
    """Deletes the recording; the ledger says ``where`` it went.

    ``is_safe`` is asked when it no longer lies where it was: the copy may have been the original. Raises CaptureError.
    """
    try:
        _remove(folder, info, is_safe, where)
    except OSError as error:
        raise CaptureError(
            f"{folder} is whole at {where}, but cannot be deleted here: {error.strerror or error}"
        ) from None


def _remove(folder: Path, info: RecordingInfo, is_safe: Callable[[], bool], where: str) -> None:
    aside = folder.rename(aside_of(folder, BEING_CHECKED))
    try:
        if not is_safe():
            raise CaptureError(f"{folder} is itself the destination under another name; nothing was deleted")
        entry = ledger.entry_of(aside, info, where)
        try:
            ledger.enter(folder, entry)
        except LedgerFullError:
            aside = _named_by_entry(aside, folder, entry)
    except BaseException:
        aside.rename(folder)
        raise
    if _MAKING_ROOM in aside.name:
        _enter_making_room(aside, folder, entry)
    _delete(aside.rename(aside_of(folder, _GIVEN_UP)))


def _delete(given_up: Path) -> None:
    """Other processes that find it may be at it, too."""
    while given_up.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(given_up)


def finish_removals(recordings: Path) -> None:
    """Where a removal was interrupted: recordings that had been found safe elsewhere go, the others are put back."""
    for aside in recordings.glob(f".*{_MAKING_ROOM}*"):
        with suppress(CaptureError, OSError):  # the disk is as full as before: what is offloaded next makes room
            _finish_making_room(aside)
    for aside in recordings.glob(f".*{_GIVEN_UP}"):
        shutil.rmtree(aside, ignore_errors=True)
    put_back(recordings)


def _named_by_entry(aside: Path, folder: Path, entry: LedgerEntry) -> Path:
    """From here on the entry can be made of the folder's name and recording.json. Raises LedgerFullError when it cannot."""
    full = LedgerFullError(f"{folder} cannot be deleted: there is no room to note where it went; free some space first")
    if not entry.rests_on_info:
        raise full
    try:
        return aside.rename(aside_of(folder, f"{_MAKING_ROOM}{entry.size_bytes}-{quote(entry.where, safe='')}"))
    except OSError:  # the name is too long, or has no room either
        raise full from None


def _finish_making_room(aside: Path) -> None:
    recording, _, told = aside.name[1:].partition(_MAKING_ROOM)
    size_bytes, _, where = told.partition("-")
    folder = aside.with_name(recording)
    if is_held(aside):
        return
    entry = ledger.entry_of_info(load_info(aside), unquote(where), int(size_bytes))
    _enter_making_room(aside, folder, entry)
    aside.rename(aside_of(folder, _GIVEN_UP))


def _enter_making_room(aside: Path, folder: Path, entry: LedgerEntry) -> None:
    """The largest files go first. Raises LedgerFullError when somebody else filled the disk each time."""
    files = [path for path in aside.rglob("*") if path.is_file() and path.name not in _KEPT_LAST]
    files.sort(key=lambda path: path.stat().st_size)
    while True:
        try:
            ledger.enter(folder, entry)
            return
        except LedgerFullError:
            if not files:
                raise
            files.pop().unlink()
