"""Whether a log was taken in before: told by the hashes of its files, which go with every import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from capture.checksums import parse_sums, sha256_of
from capture.errors import CaptureError
from capture.importers.origin import ORIGIN
from capture.recording_info import load_info
from capture.workspace import Workspace
from devices.rig import Rig


def check_is_new(path: Path, workspace: Workspace, rig: Rig | None = None) -> None:
    """Raises CaptureError, naming the recording, when the workspace holds this log already."""
    if (folder := imported_before(path, workspace, rig)) is not None:
        raise CaptureError(f"{path} was imported before, as {folder}; say --again to have it twice")


def imported_before(path: Path, workspace: Workspace, rig: Rig | None = None) -> Path | None:
    """The recording that was made of these very files; their bytes are read only where their names agree.

    rig: of a log that does not name its sensors; with another rig it becomes another recording.
    """
    hash_of = cache(sha256_of)
    for origin in sorted(workspace.recordings.glob(f"*/{ORIGIN}")):
        try:
            sums = parse_sums(origin.read_text(encoding="utf-8", errors="surrogateescape"), str(origin))
            same_rig = rig is None or load_info(origin.parent).rig == rig
        except (CaptureError, OSError):
            continue  # of that recording nothing is known
        if same_rig and _are_those(path, sums, hash_of):
            return origin.parent
    return None


def _are_those(path: Path, sums: Mapping[str, str], hash_of: Callable[[Path], str]) -> bool:
    root = path.parent if path.is_file() else path
    files = {root / name: sha256 for name, sha256 in sums.items()}
    if not all(file.is_file() for file in files) or (path.is_file() and path not in files):
        return False
    smallest_first = sorted(files, key=lambda file: file.stat().st_size)
    return all(hash_of(file) == files[file] for file in smallest_first)
