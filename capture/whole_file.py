"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step: at any time there is the old one or the new one, whole and on the disk. Raises OSError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Brings a folder's list of names to the disk: without it a power cut may take a synced file away. Windows needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
