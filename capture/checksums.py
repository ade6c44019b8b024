"""SHA256SUMS, as `sha256sum -c` reads it: a line a file, over every file below a recording's or a dataset's folder but itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from capture.errors import CaptureError
from capture.whole_file import write_whole

NAME = "SHA256SUMS"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> list[str]:
    """The files that have a sum, by their path below the folder, in order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted({path.relative_to(folder).as_posix() for path in files} - {NAME})


def write_sums(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> None:
    """Hashes the folder's files, but those whose hash is ``known`` already, by name."""
    sums = {name: known.get(name) or sha256_of(folder / name) for name in files_of(folder)}
    write_whole(folder / NAME, sums_text(sums))


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> hash. Raises CaptureError when there is no SHA256SUMS, or it is damaged."""
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CaptureError(f"{folder} has no {NAME}; run: fieldrig repair {folder}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(
            f"cannot read {folder / NAME}: {error}; nothing else tells whether the files are whole"
        ) from None
    return parse_sums(text, str(folder / NAME))


def parse_sums(text: str, where: str) -> dict[str, str]:
    """File name -> hash. Raises CaptureError, naming ``where`` it stands, at a line that is none of sha256sum's."""
    sums = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise CaptureError(f"{where}: not a line of sha256sum: {line!r}")
        sums[name] = digest
    return sums


def sums_text(sums: Mapping[str, str]) -> str:
    """The lines for files and their hashes, in the order of their names."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
