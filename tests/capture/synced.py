"""How much of a process's files is known to be on the disk: what a power cut leaves at least."""

from __future__ import annotations

import os
from pathlib import Path

SYNCED_LOG = "FIELDRIG_SYNCED_LOG"


def log_syncs(path: Path) -> None:
    """From now on every sync of this process is logged: the file, and how long it was when the sync began that has now succeeded."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def logged(sync: object) -> object:
        def both(descriptor: int) -> None:
            size = os.fstat(descriptor).st_size
            sync(descriptor)  # type: ignore[operator]
            os.write(log, f"{size}\t{Path(f'/proc/self/fd/{descriptor}').readlink()}\n".encode())

        return both

    os.fdatasync, os.fsync = logged(os.fdatasync), logged(os.fsync)  # type: ignore[assignment]


def last_synced(log: Path) -> dict[str, int]:
    """File -> how many of its bytes are known to be on the disk."""
    synced: dict[str, int] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        size, _, name = line.partition("\t")
        synced[name] = max(synced.get(name, 0), int(size))
    return synced
