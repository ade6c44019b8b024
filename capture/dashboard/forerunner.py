"""The page of a recorder that was killed stays for a while and keeps its port; the next one waits for it, for phones know that port."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capture.workspace import Workspace


@contextlib.contextmanager
def word_left(workspace: Workspace, rig: str, port: int) -> Iterator[None]:
    """Says where this process listens, for as long as it does. A workspace that cannot be written to costs only the wait."""
    path = _file(workspace, rig)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"pid": os.getpid(), "port": port}), encoding="utf-8")
    try:
        yield
    finally:
        if _read(path).get("pid") == os.getpid():  # else a later page has left its own
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def forerunner_port(workspace: Workspace, rig: str) -> int | None:
    """Where an earlier page of this rig listens; None when it has ended."""
    import psutil

    said = _read(_file(workspace, rig))
    pid, port = said.get("pid"), said.get("port")
    is_alive = isinstance(pid, int) and pid != os.getpid() and psutil.pid_exists(pid)
    return port if is_alive and isinstance(port, int) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _file(workspace: Workspace, rig: str) -> Path:
    return workspace.recordings / f".page-{rig}.json"
