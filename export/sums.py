"""SHA256SUMS of a dataset's folder: whether every byte of it is still the one that was written.

The consumers open what is there. A bit that a copy or a disk has turned over makes another point or another number of it, and no
consumer can know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capture.checksums import NAME, sha256_of


def write_sums(folder: Path) -> None:
    """A line a file, as `sha256sum -c` reads it."""
    (folder / NAME).write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in _files(folder)), "utf-8")


def wrong_files(folder: Path) -> Iterator[str]:
    """What is not as it was written, a line a file."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{NAME} cannot be read ({error}): nothing tells whether the files are those that were written; export it anew"
        return
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    present = set(_files(folder))
    for name in sorted(sums.keys() | present):
        if name not in present:
            yield f"{name} is missing"
        elif name not in sums:
            yield f"{name} was not written by the export: it stands in no line of {NAME}"
        elif sha256_of(folder / name) != sums[name]:
            yield f"{name} is not the file that was written: its SHA-256 differs; copy it anew, or export anew"


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != NAME)
