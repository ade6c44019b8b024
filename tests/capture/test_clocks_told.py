"""What `fieldrig info`, and the end of `fieldrig record`, say of a sensor's clock: what its samples show, and nothing where they show nothing."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from typer.testing import CliRunner

import fieldrig
from capture.clock.fit import ClockFit
from capture.recorder import Recorder
from capture.recording_info import load_info
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK
from tests.capture.recordings import START_NS, wait_for, write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig

UNKNOWN = "not known: too few samples"
LINE = ClockFit(START_NS, 0, 1.25, 40_000.0, 900, START_NS, 0, 0.1)
GUESS = ClockFit(START_NS, 5_000_000_000, 0.0, 1_000_000.0, 3, START_NS + 1_000_000_000, 1)
OLD = ClockFit(START_NS, 0, 1.25, 40_000.0, 900)  # of a recording that does not say yet how well its rate is known


def clock_of(stream: str, folder: Path) -> str:
    """Its cell in the table."""
    words = ["info", str(folder)]
    done = CliRunner().invoke(fieldrig.command_line(words), words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.output.splitlines() if stream in line and "│" in line]
    return row.split("│")[5].strip()


def send_mark(port: int) -> None:
    said = {"t_ns": HOST_CLOCK.now_ns() - 7_000_000_000, "kind": "mark", "text": "door closed"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(json.dumps(said).encode() + b"\n", ("127.0.0.1", port))


def test_one_mark_tells_no_clock_and_one_from_before_the_recording_none_either(tmp_path: Path) -> None:
    state, action, marks = free_ports(3)
    folders = []
    with (
        Sender({"state": state, "action": action}, 100),
        Recorder(robot_rig(state, action, marks), Workspace(tmp_path)) as recorder,
    ):
        recorder.run()
        for seen in (1, 0):
            folders.append(recorder.start())
            if seen:
                send_mark(marks)
                wait_for(lambda: any(s.name == "operator/marks" and s.received for s in recorder.state().streams))
            time.sleep(1.0)
            recorder.stop()
    for folder, seen in zip(folders, (1, 0), strict=True):
        assert load_info(folder).counts.get("operator/marks", 0) == seen
        assert clock_of("operator/marks", folder) == UNKNOWN
        assert " ppm, sigma " in clock_of("robot/state", folder)


def test_a_clock_that_was_set_just_before_the_end_is_told_as_it_was_known_before(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path))
    for fits, told in (
        ((LINE, GUESS), "+1.25 ppm, sigma 0.040 ms, set 1 times"),
        ((OLD,), "+1.25 ppm, sigma 0.040 ms"),
        ((GUESS,), UNKNOWN),
        ((), ""),
    ):
        load_info(folder).model_copy(update={"clocks": {"robot/state": fits}}).save(folder)
        assert clock_of("robot/state", folder) == told
