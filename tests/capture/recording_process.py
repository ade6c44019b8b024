"""A recorder in a process of its own, to be killed: RIG.toml WORKSPACE."""

from __future__ import annotations

import sys
from pathlib import Path

from capture.recorder import record
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import load_rig

if __name__ == "__main__":

    def say(now: RecorderState) -> None:
        print(sum(row.received for row in now.streams), flush=True)  # noqa: T201

    record(load_rig(Path(sys.argv[1])), Workspace(Path(sys.argv[2])), duration_s=None, progress=say)
