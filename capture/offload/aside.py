"""Where a recording lies while its removal is under way: beside its place, hidden, and held by the process that removes it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from capture import checksums
from capture.errors import CaptureError
from capture.lock import hold

BEING_CHECKED = ".offload-check"


def aside_of(folder: Path, state: str) -> Path:
    return folder.with_name(f".{folder.name}{state}")


def put_back(recordings: Path) -> None:
    """Recordings whose removal was killed before they had been found safe elsewhere are in their place again."""
    for aside in recordings.glob(f".*{BEING_CHECKED}"):
        folder = recordings / aside.name[1 : -len(BEING_CHECKED)]
        with suppress(OSError):  # a disk that takes nothing; or its process has just gone on with it
            if not folder.exists() and not is_held(aside):
                aside.rename(folder)


def is_held(folder: Path) -> bool:
    """Whether the process that removes it is still at it."""
    try:
        with (folder / checksums.NAME).open("rb") as file:
            hold(file.fileno(), folder)
    except CaptureError:
        return True
    except OSError:
        return False
    return False
