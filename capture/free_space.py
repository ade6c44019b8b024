"""What is left on the disk that recordings go to."""

from __future__ import annotations

import shutil
from pathlib import Path

from capture.errors import CaptureError
from capture.workspace import Workspace


def free_bytes(workspace: Workspace) -> int:
    """Raises CaptureError when the disk does not say."""
    try:
        return shutil.disk_usage(_existing(workspace.root)).free
    except OSError as error:
        why = f"the disk at {workspace.root} does not say how much is free on it: {error.strerror or error}"
        raise CaptureError(f"{why}; check its cable and mount, or give another --workspace") from None


def check_space(workspace: Workspace, kept_back_bytes: int, to_write_bytes: int = 0) -> None:
    """Raises CaptureError when so much cannot be written without touching what is kept back, or nobody knows."""
    left_bytes = free_bytes(workspace)
    if left_bytes - to_write_bytes < kept_back_bytes:
        raise CaptureError(
            f"only {left_bytes / 1e6:.0f} MB are free at {_existing(workspace.root)}, and {kept_back_bytes / 1e6:.0f} MB are "
            "kept back; free some space, or give another --workspace"
        )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
