"""Frames at which nobody knows the rig's motion are not given out; all others are, and the push says how many are missing."""

import subprocess
import sys

import numpy as np
import pytest

from annotate.keyframes import keyframes
from annotate.label_studio.client import Client
from annotate.label_studio.push import push
from calibration.left_out import LeftOut
from calibration.motion import Trajectory
from capture.workspace import Workspace

MS = 1_000_000


@pytest.fixture
def instants(street) -> list[int]:
    """When the street's four sweeps were."""
    return [keyframe.t_ns for keyframe in keyframes(street.recording, street.calibration)]


def standing(from_ns: int, to_ns: int) -> Trajectory:
    """A rig that stood still, and reported so until half a second before what is known of it."""
    times_ns = np.array([from_ns, to_ns - 500 * MS])
    return Trajectory(times_ns, np.tile(np.eye(4), (2, 1, 1)), "recorded pose")


def test_frames_behind_the_end_of_the_trajectory_are_left_out_and_counted(street, instants):
    path, left_out = standing(instants[0] - 1000 * MS, instants[1] + 10 * MS), LeftOut()
    found = list(keyframes(street.recording, street.calibration, trajectory=path, left_out=left_out))
    assert [keyframe.t_ns for keyframe in found] == instants[:2]
    assert left_out.unplaced == {"frames": 2}
    wanted = {f"{street.recording.id}@{instants[k]}" for k in (0, 3)}
    only = list(keyframes(street.recording, street.calibration, trajectory=path, only=wanted))
    assert [keyframe.t_ns for keyframe in only] == instants[:1]


def test_a_push_sends_what_has_a_place_and_says_what_was_left_out(server, street, instants):
    path = standing(instants[0] - 1000 * MS, instants[1] + 10 * MS)
    report = push(server, street.workspace, "half", street.recording, street.calibration, None, trajectory=path)
    assert report.sent == 2
    (line,) = report.left_out
    assert "2 frames" in line
    assert "no pose within 0.5 s" in line
    client = Client(server)
    assert len(client.tasks(client.project("half"))) == 2


def test_a_calibration_that_came_from_elsewhere_stays_with_the_labels(server, street, tmp_path):
    """The labels name it by its ID; whoever exports them finds it in the workspace."""
    other = Workspace(tmp_path / "other")
    report = push(server, other, "elsewhere", street.recording, street.calibration, None)
    assert report.sent == 4
    assert list(other.calibrations.glob("*/*.json")) == [other.calibrations / "kitti" / f"{street.calibration.id}.json"]


def test_push_says_in_one_line_when_what_was_named_is_no_calibration(street):
    words = [
        "label",
        "push",
        street.recording.id,
        "--calibration",
        "nothing",
        "--workspace",
        str(street.workspace.root),
    ]
    ended = subprocess.run([sys.executable, "-m", "fieldrig", *words], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("fieldrig: no calibration 'nothing', neither a file nor an ID in ")
