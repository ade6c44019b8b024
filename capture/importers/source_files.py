"""The files of a log: all of them, and which of those that hold no message are small texts, worth keeping as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from capture.errors import CaptureError

_TEXT_BYTES_MAX = 1 << 20
_NO_TEXT = bytes(set(range(32)) - set(b"\t\n\r\f"))
_NAMED_MAX = 8


def log_files(source: Path, but: Iterable[Path] = ()) -> list[Path]:
    """All files of a log, in order: the one that it is, or those below its folder. but: folders in it that are not the log's.

    Raises CaptureError when one has a name that no list of hashes can hold.
    """
    others = [folder.absolute() for folder in but]
    below = (path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    files = sorted(path for path in below if not any(path.absolute().is_relative_to(each) for each in others))
    root = source if source.is_dir() else source.parent
    if broken := [str(path) for path in files if "\n" in str(path.relative_to(root))]:
        raise CaptureError(f"{broken[0]!r} has a line break in its name, which no list of hashes can hold; rename it")
    return files


def small_text(file: Path) -> bytes | None:
    """The content of a calibration, a description, a note: at most 1 MB, without control characters; None of other files. Raises OSError."""
    if file.stat().st_size > _TEXT_BYTES_MAX:
        return None
    content = file.read_bytes()
    return content if len(content.translate(None, _NO_TEXT)) == len(content) else None


def size_of(file: Path) -> int:
    """Bytes, as far as one can tell: 0 of a file that can no longer be looked at."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def in_words(names: Sequence[str]) -> str:
    """Files by their folders and suffixes: ``mav0/pointcloud0 (3 .ply), body.bin``."""
    kinds = Counter((str(PurePosixPath(name).parent), PurePosixPath(name).suffix) for name in names)
    words = []
    for (folder, suffix), count in kinds.most_common(_NAMED_MAX):
        alone = (name for name in names if PurePosixPath(name).suffix == suffix)
        in_it = (name for name in alone if str(PurePosixPath(name).parent) == folder)
        kind = f"{count} {suffix or 'files'}"
        words.append(next(in_it) if count == 1 else kind if folder == "." else f"{folder} ({kind})")
    more = len(kinds) - len(words)
    text = ", ".join(words) + (f" and files of {more} more folders or kinds" if more else "")
    return text.encode(errors="replace").decode()  # a name in no known letters
