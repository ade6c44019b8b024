"""Recordings whose recorder was killed before it could finish them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from capture.lock import is_held
from capture.recording_info import NAME
from capture.workspace import Workspace


def orphans(workspace: Workspace) -> Iterator[Path]:
    """Folders in state ``recording`` that nobody is at work on."""
    for path in sorted(workspace.recordings.glob(f"*/{NAME}")):
        if not is_held(path.parent) and _is_unfinished(path):  # in this order: it may just be being finished
            yield path.parent


def _is_unfinished(path: Path) -> bool:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # `fieldrig verify` says what is wrong with it
    return isinstance(said, dict) and said.get("state") == "recording"
