"""The folder of a recording that is being made: there with its recording.json, or not at all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.rigs import free_ports

ROOT = Path(__file__).parent.parent.parent
# A limit on files' sizes is one on a whole process: on each of its threads, and on whatever measures it.
STARTED_TWICE = """
import resource, sys
from pathlib import Path
from capture.errors import CaptureError
from capture.recorder import Recorder
from capture.workspace import Workspace
from tests.capture.rigs import robot_rig

place = Path(sys.argv[1])
with Recorder(robot_rig(int(sys.argv[2]), int(sys.argv[3])), Workspace(place)) as recorder:
    recorder.run()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))
    try:
        recorder.start()
    except CaptureError as error:
        refused = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    left = sorted(path.name for path in (place / "recordings").iterdir())
    folder = recorder.start()
    recorder.stop()
print(refused, left, folder, sep="\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on files' sizes")
def test_a_disk_that_takes_no_recording_json_leaves_nothing_and_the_next_start_succeeds(tmp_path: Path) -> None:
    ports = map(str, free_ports(2))
    done = subprocess.run(
        [sys.executable, "-c", STARTED_TWICE, tmp_path, *ports], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    refused, left, folder = done.stdout.splitlines()
    assert re.fullmatch(r"the disk refused the recording's first bytes: .*another disk", refused)
    assert left == "[]"
    assert (Path(folder) / "recording.json").is_file()
