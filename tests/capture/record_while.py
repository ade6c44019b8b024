"""A recording that lasts as long as what happens meanwhile, however long a busy machine takes for that."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from capture.attend import record
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from devices.rig import Rig
from tests.capture.recordings import wait_for


def record_while(rig: Rig, workspace: Workspace, happens: Callable[[Callable[[str], int]], None]) -> Path:
    """happens: what is given a function from a stream to how many packets of it have come."""
    stop, states = threading.Event(), deque[RecorderState](maxlen=1)
    with ThreadPoolExecutor() as crew:
        recording = crew.submit(record, rig, workspace, duration_s=None, stop=stop, progress=states.append)
        wait_for(lambda: bool(states) or recording.done())
        try:
            if not recording.done():
                happens(lambda stream: next(row.received for row in states[0].streams if row.name == stream))
        finally:
            stop.set()
        return recording.result()
