"""A recording in progress, told from one whose recorder has died: a lock that the system drops with its process."""

from __future__ import annotations

import sys
from pathlib import Path

from capture.errors import CaptureError

if sys.platform != "win32":
    import fcntl


def hold(descriptor: int, path: Path) -> None:
    """Locks an open file until it is closed or its process ends. Raises CaptureError when another process holds it."""
    if sys.platform != "win32":  # there a recording in progress is not protected from repair
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CaptureError(f"{path} is still being recorded; stop that recorder first") from None
