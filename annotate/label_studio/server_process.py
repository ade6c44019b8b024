"""The server's process, which may be another's: known again, and ended with all that it has started."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

_STOP_LIMIT_S = 10.0


def process_of(state: Mapping[str, Any]) -> psutil.Process | None:
    """The process of this ``pid``, if its ``command`` is this one: another may bear the number by now, and setting the clock moves starts."""
    try:
        found, command = psutil.Process(int(state["pid"])), list(state["command"])
        return found if found.cmdline()[-len(command) :] == command else None
    except (KeyError, TypeError, ValueError, psutil.Error):  # of a dead one that nobody has buried there is no command
        return None


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def end(process: psutil.Process) -> None:
    try:
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    try:
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        psutil.wait_procs(family, timeout=_STOP_LIMIT_S)
    finally:  # whoever does not wait for it leaves nothing behind either
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=_STOP_LIMIT_S)
