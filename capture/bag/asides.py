"""What a repair takes off a file, set aside beside it: nothing that was on the disk is thrown away before its messages are safe.

``NAME.damaged-OFFSET`` holds bytes that could not be read, from that offset of the file on (0: the file as it was, whole); a second one of
the same offset ends in ``.2``. ``NAME.torn-OFFSET`` is there only while a repair is at work.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from capture.whole_file import sync_folder

_COPIED_BYTES = 64 << 20


def damaged_parts(path: Path) -> list[Path]:
    """What repairs have set aside of a file for good."""
    return sorted(aside for aside in path.parent.glob(f"{path.name}.damaged-*") if aside.suffix != ".tmp")


def set_aside(path: Path) -> Path:
    """Renames a file that will be made anew."""
    aside = _free(path, 0)
    path.rename(aside)
    return aside


def copy_aside(path: Path) -> Path:
    """Copies a file that will be written anew in one step."""
    with path.open("rb") as file:
        return set_aside_from(file, path, 0)


def set_aside_from(file: BinaryIO, path: Path, offset: int) -> Path:
    """Copies what lies from ``offset`` on."""
    return _copied(file, _free(path, offset), offset)


def lay_aside_torn(file: BinaryIO, path: Path, offset: int) -> Path:
    """The same until discard_torn(): a repair that is killed meanwhile is taken up again with put_back_torn()."""
    return _copied(file, path.with_name(f"{path.name}.torn-{offset}"), offset)


def put_back_torn(file: BinaryIO, path: Path) -> None:
    """After a repair that was itself killed: the file as it was before it."""
    for aside in torn_parts(path):
        offset = int(aside.name.rpartition("-")[2])
        file.truncate(offset)
        file.seek(offset)
        file.write(aside.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def torn_parts(path: Path) -> list[Path]:
    return [aside for aside in path.parent.glob(f"{path.name}.torn-*") if aside.suffix != ".tmp"]


def discard_torn(path: Path) -> None:
    for aside in torn_parts(path):
        aside.unlink()


def put_back_files(folder: Path) -> None:
    """The newest of what was set aside of each file that is not there: of a repair that was killed in between, or since its successor was lost."""
    asides = (aside for aside in folder.glob("*.mcap.damaged-0*") if aside.suffix != ".tmp")
    for aside in sorted(asides, key=_number, reverse=True):
        path = folder / aside.name.partition(".damaged-")[0]
        if not path.exists():
            aside.rename(path)


def _number(aside: Path) -> int:
    """Which one it is of those of the same offset: the greatest is the newest."""
    number = aside.name.rpartition(".")[2]
    return int(number) if number.isdigit() else 1


def _copied(file: BinaryIO, aside: Path, offset: int) -> Path:
    partial = aside.with_name(aside.name + ".tmp")
    with partial.open("wb") as kept:
        file.seek(offset)
        shutil.copyfileobj(file, kept, _COPIED_BYTES)
        kept.flush()
        os.fsync(kept.fileno())
    partial.replace(aside)
    sync_folder(aside.parent)
    return aside


def _free(path: Path, offset: int) -> Path:
    first = aside = path.with_name(f"{path.name}.damaged-{offset}")
    number = 2
    while aside.exists():
        aside, number = first.with_name(f"{first.name}.{number}"), number + 1
    return aside
