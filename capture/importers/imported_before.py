"""Whether a log was taken in before: told by the sizes and hashes of its files, which go with every import, whatever their names are now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path

from capture.checksums import parse_sums, sha256_of
from capture.errors import CaptureError
from capture.importers.origin import ORIGIN, SIZES
from capture.importers.source_files import log_files, size_of
from capture.recording_info import load_info
from capture.workspace import Workspace
from devices.rig import Rig


def check_is_new(path: Path, workspace: Workspace, rig: Rig | None = None) -> None:
    """Raises CaptureError, naming the recording, when the workspace holds this log already."""
    if (folder := imported_before(path, workspace, rig)) is not None:
        raise CaptureError(f"{path} was imported before, as {folder}; say --again to have it twice")


def imported_before(path: Path, workspace: Workspace, rig: Rig | None = None) -> Path | None:
    """The recording that was made of these very files, or of more, or of some of them; bytes are read only where sizes agree.

    rig: of a log that does not name its sensors; with another rig it becomes another recording.
    """
    files = {file: size for file in log_files(path, [workspace.recordings]) if (size := size_of(file))}
    hash_of = cache(_hash_of)
    for origin in sorted(workspace.recordings.glob(f"[!.]*/{ORIGIN}")):
        try:
            taken = _taken(origin.parent)
            same_rig = rig is None or load_info(origin.parent).rig == rig
        except (CaptureError, OSError, ValueError):
            continue  # of that recording nothing is known
        if same_rig and (_are_among(files, taken, hash_of) or _hold(files, taken, hash_of)):
            return origin.parent
    return None


def _taken(recording: Path) -> Mapping[str, int | None]:
    """SHA-256 of each file of its log -> bytes; None where an older import did not write them down."""
    text = (recording / ORIGIN).read_text(encoding="utf-8", errors="surrogateescape")
    sums = parse_sums(text, str(recording / ORIGIN))
    lines = _lines(recording / SIZES) if (recording / SIZES).exists() else []
    sizes = {name: int(size) for size, _, name in (line.partition("  ") for line in lines)}
    return {sha256: sizes.get(name) for name, sha256 in sums.items() if sizes.get(name) != 0}


def _lines(file: Path) -> Collection[str]:
    return file.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n").split("\n")


def _are_among(files: Mapping[Path, int], taken: Mapping[str, int | None], hash_of: Callable[[Path], str]) -> bool:
    sizes = set(taken.values())
    if not files or not (None in sizes or sizes.issuperset(files.values())):
        return False
    return all(hash_of(file) in taken for file in sorted(files, key=lambda file: files[file]))


def _hold(files: Mapping[Path, int], taken: Mapping[str, int | None], hash_of: Callable[[Path], str]) -> bool:
    of_size: dict[int, list[Path]] = {}
    for file, size in files.items():
        of_size.setdefault(size, []).append(file)
    if not taken or not all(size is None or size in of_size for size in taken.values()):
        return False
    smallest_first = sorted(taken.items(), key=lambda each: each[1] or 0)
    return all(
        any(hash_of(file) == sha256 for file in (files if size is None else of_size[size]))
        for sha256, size in smallest_first
    )


def _hash_of(file: Path) -> str:
    """Empty of a file that cannot be read."""
    try:
        return sha256_of(file)
    except OSError:
        return ""
