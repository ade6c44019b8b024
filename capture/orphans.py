"""Recordings whose recorder was killed before it could finish them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from capture.errors import CaptureError
from capture.lock import hold
from capture.recording_info import NAME
from capture.workspace import Workspace


def orphans(workspace: Workspace) -> Iterator[Path]:
    """Folders in state ``recording`` that no recorder holds."""
    for path in sorted(workspace.recordings.glob(f"*/{NAME}")):
        if _is_unfinished(path) and not _is_being_recorded(path.parent):
            yield path.parent


def _is_unfinished(path: Path) -> bool:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # `fieldrig verify` says what is wrong with it
    return isinstance(said, dict) and said.get("state") == "recording"


def _is_being_recorded(folder: Path) -> bool:
    for path in folder.glob("*.mcap"):
        try:
            with path.open("ab") as file:
                hold(file.fileno(), path)
        except CaptureError:
            return True
        except OSError:
            continue  # who repairs it is told
    return False
