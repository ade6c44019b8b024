"""Which streams speak all the time, so that their silence means something: the same to everybody who judges it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from capture.cut_off import last_health
from capture.health import OK, STALE
from capture.limits import Limits
from capture.preflight.trial import run_trial
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.steady import is_steady
from capture.workspace import Workspace
from devices.device import Stream
from devices.rig import Rig, rig_from_dict
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig


def velodyne_rig(port: int, position_port: int) -> Rig:
    lidar = {"driver": "velodyne", "model": "VLP-16", "host": "127.0.0.1", "port": port, "position_port": position_port}
    return rig_from_dict({"name": "bench", "sensors": {"lidar": lidar, "operator": {"driver": "marks", "port": 1}}})


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (Stream("lidar/points", "velodyne"), True),
        (Stream("lidar/position", "velodyne.position"), False),
        (Stream("operator/marks", "mark.json"), False),
        (Stream("fieldrig/marks", "mark.json"), False),
        (Stream("elsewhere/points", "velodyne"), False),
    ],
)
def test_what_speaks_when_something_happens_or_holds_no_samples_is_not_steady(stream: Stream, expected: bool) -> None:
    assert is_steady(velodyne_rig(2, 3), stream) is expected


def test_a_velodyne_whose_position_stream_says_nothing_is_well_to_whoever_asks(tmp_path: Path) -> None:
    port, position_port = free_ports(2)
    rig = velodyne_rig(port, position_port)
    with Sender({"state": port}, 50):
        trial = run_trial(rig, 0.3)
        with Recorder(rig, Workspace(tmp_path), Limits(silent_s=1.5)) as recorder:
            recorder.run()
            recorder.start()
            time.sleep(2.2)
            alarms, streams = recorder.state().alarms, recorder.state().streams
            recording = open_recording(recorder.stop())
    assert {each.stream.name: each.is_steady for each in trial.streams} == {
        each.name: each.is_steady for each in streams if each.name != "fieldrig/marks"
    }
    assert [each.name for each in streams if each.is_steady] == ["lidar/points"]
    assert not any("nothing from" in alarm for alarm in alarms)
    levels = {status.name: status.level for status in last_health(recording.files[-1])}
    assert (levels["lidar/position"], levels["operator/marks"], levels["fieldrig/marks"]) == (OK, OK, OK)
    assert (recording.info.interruptions, [note for note in recording.info.notes if "nothing came" in note]) == ((), [])


def test_a_stream_that_has_never_spoken_alarms_nobody_while_others_of_its_sensor_do(tmp_path: Path) -> None:
    """It is a note of the recording: an output that is switched off."""
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(silent_s=1.2)) as recorder:
        recorder.run()
        wait_for(lambda: any(alarm.startswith("nothing from robot for ") for alarm in recorder.state().alarms))
        with Sender({"state": state}, 100):
            wait_for(lambda: recorder.sensors.inlets[0].received > 50)
            wait_for(lambda: not any("nothing from" in alarm for alarm in recorder.state().alarms))
            recorder.start()
            time.sleep(1.5)
            recording = open_recording(recorder.stop())
        wait_for(lambda: any("nothing from robot for " in alarm for alarm in recorder.state().alarms))
    assert "nothing came on robot/action" in recording.info.notes
    assert {status.name: status.level for status in last_health(recording.files[-1])}["robot/action"] == STALE
