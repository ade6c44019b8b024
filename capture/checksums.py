"""SHA256SUMS, as `sha256sum -c` reads it: a line a file, over every file of a recording's folder but itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from capture.errors import CaptureError
from capture.whole_file import write_whole

NAME = "SHA256SUMS"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, known: Mapping[str, str]) -> None:
    """Hashes the folder's files, but those whose hash is ``known`` already, by name."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != NAME)
    lines = [f"{known.get(name) or sha256_of(folder / name)}  {name}\n" for name in names]
    write_whole(folder / NAME, "".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> hash. Raises CaptureError when there is no such file or it is broken."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CaptureError(f"{folder} has no {NAME}; run: fieldrig repair {folder}") from None
    sums = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise CaptureError(f"{folder / NAME}: not a line of sha256sum: {line!r}")
        sums[name] = digest
    return sums
