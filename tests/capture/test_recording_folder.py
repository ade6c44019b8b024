"""The folder of a recording that is being made: there with its recording.json, or not at all."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from capture.errors import CaptureError
from capture.recorder import Recorder
from capture.workspace import Workspace
from tests.capture.rigs import free_ports, robot_rig


def test_a_disk_that_takes_no_recording_json_leaves_nothing_and_the_next_start_succeeds(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:
        recorder.run()
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))
        try:
            with pytest.raises(
                CaptureError, match=r"^the disk refused the recording's first bytes: [^\n]*another disk$"
            ):
                recorder.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert list((tmp_path / "recordings").iterdir()) == []
        folder = recorder.start()
        recorder.stop()
    assert folder.is_dir()
