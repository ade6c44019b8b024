"""How much of a process's files is known to be on the disk: what a power cut leaves at least."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

SYNCED_LOG = "FIELDRIG_SYNCED_LOG"
_NAMED = "named"


def log_syncs(path: Path) -> None:
    """From now on every sync of this process is logged: the file, and how long it was when the sync began that has now succeeded.

    Of a folder, the names that it had then.
    """
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def logged(sync: object) -> object:
        def both(descriptor: int) -> None:
            path, status = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                lines = [f"{_NAMED}\t{each}\n" for each in path.iterdir()]
            else:
                lines = [f"{status.st_size}\t{path}\n"]
            sync(descriptor)  # type: ignore[operator]
            os.write(log, "".join(lines).encode())

        return both

    os.fdatasync, os.fsync = logged(os.fdatasync), logged(os.fsync)  # type: ignore[assignment]


def last_synced(log: Path) -> dict[str, int]:
    """File -> how many of its bytes are known to be on the disk."""
    synced: dict[str, int] = {}
    for size, name in _lines(log):
        if size != _NAMED:
            synced[name] = max(synced.get(name, 0), int(size))
    return synced


def last_named(log: Path) -> set[str]:
    """Files and folders whose names are known to be on the disk."""
    return {name for size, name in _lines(log) if size == _NAMED}


def _lines(log: Path) -> Iterator[tuple[str, str]]:
    for line in log.read_text(encoding="utf-8").splitlines():
        size, _, name = line.partition("\t")
        yield size, name
