"""What a recorder says of its sensors: the same to everybody who asks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from capture.recorder import Recorder
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig


def test_a_rate_is_of_the_last_seconds_whoever_asks_and_how_often(tmp_path: Path) -> None:
    state, action = free_ports(2)
    seen: list[float] = []
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:

        def ask() -> None:
            while not over.wait(0.005):
                seen.append(recorder.state().streams[0].rate_hz)

        over = threading.Event()
        recorder.run()
        time.sleep(3)
        with Sender({"state": state, "action": action}, 100):
            time.sleep(2.6)
            assert 60 < recorder.state().streams[0].rate_hz < 140, "whoever asks first sees the past"
            crowd = [threading.Thread(target=ask) for _ in range(6)]
            for each in crowd:
                each.start()
            time.sleep(3)
            over.set()
            for each in crowd:
                each.join()
    assert len(seen) > 200
    assert 60 < min(seen) <= max(seen) < 140
