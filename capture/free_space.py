"""What is left on the disk that recordings go to."""

from __future__ import annotations

import shutil
from pathlib import Path

from capture.errors import CaptureError
from capture.workspace import Workspace


def free_bytes(workspace: Workspace) -> int:
    return shutil.disk_usage(_existing(workspace.root)).free


def check_space(workspace: Workspace, kept_back_bytes: int, to_write_bytes: int = 0) -> None:
    """Raises CaptureError when so much cannot be written without touching what is kept back."""
    left_bytes = free_bytes(workspace)
    if left_bytes - to_write_bytes < kept_back_bytes:
        raise CaptureError(
            f"only {left_bytes / 1e6:.0f} MB are free at {_existing(workspace.root)}, and {kept_back_bytes / 1e6:.0f} MB are "
            "kept back; free some space, or give another --workspace"
        )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
