"""Whether every byte of a dataset is still the one that was written.

The consumers open what is there. A bit that a copy or a disk has turned over makes another point or another number of it, and no
consumer can know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from capture.checksums import NAME, files_of, read_sums, sha256_of
from capture.errors import CaptureError


def wrong_files(folder: Path) -> Iterator[str]:
    """What is not as it was written, a line a file."""
    if not (folder / NAME).exists():
        yield f"{NAME} is missing: nothing tells whether the files are those that were written; export it anew"
        return
    try:
        sums = read_sums(folder)
    except CaptureError as error:
        yield f"{error}; export it anew"
        return
    present = set(files_of(folder))
    for name in sorted(sums.keys() | present):
        if name not in present:
            yield f"{name} is missing"
        elif name not in sums:
            yield f"{name} was not written by the export: it stands in no line of {NAME}"
        elif sha256_of(folder / name) != sums[name]:
            yield f"{name} is not the file that was written: its SHA-256 differs; copy it anew, or export anew"
