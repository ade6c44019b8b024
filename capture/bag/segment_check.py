"""Checks one closed file of a recording, also while the next one is being recorded: before it may be deleted."""

from __future__ import annotations

from pathlib import Path

from capture.bag.file_pass import FilePass
from capture.errors import CaptureError


def damage_in(path: Path, sha256: str) -> list[str]:
    """Why a closed file must not be relied on, a line each: every byte is read once, for its hash, CRCs, indexes and statistics.

    sha256: what it was when it was written. Raises CaptureError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            whole = FilePass(file, path.stat().st_size)
            for _ in whole:
                pass
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}; see whether its disk is well") from None
    is_other = [] if whole.sha256 == sha256 else [f"{path.name} is not the file that was recorded: its SHA-256 differs"]
    return [*is_other, *(f"{path.name}: {line}" for line in whole.damage)]
