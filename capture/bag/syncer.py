"""Brings a growing file to the disk every half second, from a thread of its own: a power cut then costs little, and nobody waits.

What is on the disk, and needed no more, is let go from memory: a day's recording must not push everything else out of it, and a system
that has to look for free pages under 170 MB/s makes packets wait for seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from capture.whole_file import sync_folder

SYNC_S = 0.5
_FIRST_S = 0.1  # a file's first chunk names its streams: without it nothing of the file can be read


class Syncer:
    """Syncs until stopped, and once more then. A disk that refuses shows in ``synced_s_ago``, which grows until a sync succeeds.

    folder: in which the file stands. They may be new, and so may be the two folders around it: their names are brought to the disk, too.
    needed_from: the bytes before it nobody will read again soon.
    """

    def __init__(self, descriptor: int, folder: Path, needed_from: Callable[[], int]) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._needed_from = needed_from
        self.failure: OSError | None = None
        self._synced_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldrig-sync", daemon=True)
        self._thread.start()

    @property
    def synced_s_ago(self) -> float:
        """How old what would survive a power cut is."""
        return time.monotonic() - self._synced_at

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._stop.wait(_FIRST_S)
        self._sync()
        self._sync_names()
        while not self._stop.wait(SYNC_S):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        started = time.monotonic()
        try:
            _sync_data(self._descriptor)
        except OSError as error:
            self.failure = self.failure or error  # told once only: the next sync may succeed without what was lost
            return
        self._synced_at = started
        _let_go(self._descriptor, self._needed_from())

    def _sync_names(self) -> None:
        for folder in (self._folder, *self._folder.parents[:2]):
            with contextlib.suppress(OSError):
                sync_folder(folder)


def _sync_data(descriptor: int) -> None:
    """The file's content and size; macOS and Windows know no sync without the rest."""
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def _let_go(descriptor: int, end: int) -> None:
    """Of the file's pages in memory, those before ``end`` that are on the disk; the system decides, and what it keeps is no harm."""
    if sys.platform == "linux" and end > 0:  # a length of 0 would mean: all
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, end, os.POSIX_FADV_DONTNEED)
