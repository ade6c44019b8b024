"""The page of a recorder that was killed stays for a while and keeps its port; the next one waits for it, for phones know that port."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from capture.workspace import Workspace


def leave_word(workspace: Workspace, rig: str, port: int) -> None:
    """Where this process listens. A workspace that cannot be written to costs only the wait."""
    path = _file(workspace, rig)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"pid": os.getpid(), "port": port}), encoding="utf-8")


def forerunner_port(workspace: Workspace, rig: str) -> int | None:
    """Where an earlier page of this rig listens; None when it has ended."""
    import psutil

    try:
        said = json.loads(_file(workspace, rig).read_text(encoding="utf-8"))
        pid, port = int(said["pid"]), int(said["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if pid != os.getpid() and psutil.pid_exists(pid) else None


def _file(workspace: Workspace, rig: str) -> Path:
    return workspace.recordings / f".page-{rig}.json"
