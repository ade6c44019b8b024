"""What is being worked on, told from what a process that died has left: locks that the system drops with their process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from capture.errors import CaptureError

if sys.platform != "win32":
    import fcntl


class FolderLock:
    """A recording's folder while it is recorded or repaired: from its making until released, or until the process ends.

    Raises CaptureError when somebody else has it. A folder that cannot be opened is nobody's: whoever reads it says what is wrong.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        if sys.platform != "win32":  # there a recording in progress is not protected from repair
            try:
                self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                return
            try:
                hold(self._descriptor, folder)
            except CaptureError:
                self.release()
                raise

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether somebody has the folder's lock."""
    try:
        FolderLock(folder).release()
    except CaptureError:
        return True
    return False


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process is within, of those that ask for the same folder."""
    with contextlib.ExitStack() as held:
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # whoever writes there says what is wrong with it
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def hold(descriptor: int, path: Path) -> None:
    """Locks what is open until it is closed or its process ends. Raises CaptureError when another process holds it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CaptureError(
                f"{path} is still being recorded, or is being repaired; wait for its end, or stop that recorder first"
            ) from None
        except OSError:  # a file system that knows no locks (some network ones, for folders) protects nothing
            return
