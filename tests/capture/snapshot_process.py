"""A recorder in a process of its own that is killed while it writes a snapshot: RIG.toml WORKSPACE SECONDS PACKETS_WRITTEN."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from capture.packet_queue import Queued
from capture.recorder import Recorder
from capture.session import Session
from capture.workspace import Workspace
from devices.rig import load_rig
from tests.capture.recordings import wait_for

if __name__ == "__main__":
    rig, workspace, seconds, packets = sys.argv[1:]
    left, take = [int(packets)], Session.take

    def take_some(session: Session, queued: Queued, stamp_ns: int) -> None:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        take(session, queued, stamp_ns)

    with Recorder(load_rig(Path(rig)), Workspace(Path(workspace)), snapshot_s=float(seconds)) as recorder:
        recorder.run()
        print("ready", flush=True)  # noqa: T201
        wait_for(lambda: recorder.state().kept_s > float(seconds) - 0.1)
        Session.take = take_some  # type: ignore[method-assign]
        recorder.snapshot()
