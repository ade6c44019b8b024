"""A recorder in a process of its own, to be killed: RIG.toml WORKSPACE [BYTES_A_FILE [BYTES_KEPT]]. It says how many packets have come."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from capture.attend import record
from capture.bag.segments import Split
from capture.limits import Limits
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import load_rig
from tests.capture.synced import SYNCED_LOG, log_syncs

if __name__ == "__main__":

    def say(now: RecorderState) -> None:
        print(sum(row.received for row in now.streams), flush=True)  # noqa: T201

    if log := os.environ.get(SYNCED_LOG):
        log_syncs(Path(log))
    rig, workspace, *sizes = sys.argv[1:]
    limits = Limits()
    if sizes:
        limits = Limits(split=Split(bytes_max=int(sizes[0])), keep_bytes=int(sizes[1]) if sizes[1:] else None)
    record(load_rig(Path(rig)), Workspace(Path(workspace)), duration_s=None, progress=say, limits=limits)
