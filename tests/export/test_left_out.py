"""Frames and samples that have no place or no time: the rest is exported, and the dataset says what is missing and why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from calibration.motion import Trajectory
from capture.clock.filter import ClockFit
from capture.recording_info import load_info
from export.check import check
from export.dataset import DatasetView
from export.drive import Drive as View
from export.errors import ExportError
from export.formats.lerobot import FORMAT as LEROBOT
from export.formats.nuscenes import FORMAT as NUSCENES
from export.publish import export_recordings
from export.report import Report
from tests.export.builders import PROJECT, START_NS, Drive, Shape, label, record_drive, world_from_rig

SECOND_NS = 1_000_000_000


def scene(made: Drive) -> tuple[Report, dict[str, list[dict[str, Any]]]]:
    """The drive's labels as nuScenes: the report and the tables."""
    label(made)
    (report,) = export_recordings(made.workspace, [made.recording.id], name="d", formats=["nuscenes"], project=PROJECT)
    folder = report.folder / "v1.0-fieldrig"
    return report, {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def seconds(tables: dict[str, list[dict[str, Any]]], name: str) -> list[float]:
    return sorted(round((record["timestamp"] - START_NS // 1000) / 1e6, 3) for record in tables[name])


def test_a_pose_that_ends_before_the_lidar_costs_the_frames_behind_it_and_no_other(
    tmp_path: Path, environment: Callable[[str], Path]
) -> None:
    """The state's last pose is of 3.981 s; keyframes are labelled every 0.5 s until 5.5 s."""
    report, tables = scene(record_drive(tmp_path, Shape(silent=(("robot/state", 4.0, 6.0),))))
    assert seconds(tables, "sample") == [0.5 * i for i in range(9)]
    assert max(seconds(tables, "ego_pose")) < 4.1
    (note,) = (note for note in report.notes if "left out" in note)
    assert "3 labelled keyframes, 4.5 s to 5.5 s after the recording's start: no pose within 0.5 s" in note
    assert note in json.loads((report.folder / "fieldrig.json").read_text())["notes"]
    environment("nuscenes")
    assert check(report.folder).verdict == "pass"


def test_a_pose_that_begins_after_the_lidar_costs_the_frames_before_it(tmp_path: Path) -> None:
    _, tables = scene(record_drive(tmp_path, Shape(silent=(("robot/state", 0.0, 2.0),))))
    assert seconds(tables, "sample") == [0.5 * i for i in range(4, 12)]  # the first pose is of 2.001 s


def test_a_hole_in_the_pose_is_not_bridged_by_a_straight_line(tmp_path: Path) -> None:
    report, tables = scene(record_drive(tmp_path, Shape(silent=(("robot/state", 2.0, 4.0),))))
    assert seconds(tables, "sample") == [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 4.5, 5.0, 5.5]
    assert not [t_s for t_s in seconds(tables, "ego_pose") if 2.49 < t_s < 3.49]
    (note,) = (note for note in report.notes if "left out" in note)
    assert "3 labelled keyframes, 8 sweeps between keyframes, 2.5 s to 3.5 s" in note


def test_labels_none_of_which_has_a_place_are_refused_with_the_reason(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(silent=(("robot/state", 1.0, 6.0),)))
    view = View(made.recording, made.calibration, {START_NS + 3 * SECOND_NS: ()})
    with pytest.raises(ExportError, match="no pose tells where the rig was at any of its labelled keyframes"):
        NUSCENES.write(DatasetView("d", (view,)), tmp_path / "out")


def drive_whose_state_is_its_motion(root: Path, times_s: np.ndarray) -> View:
    """Three seconds of pictures at 10 Hz; poses at these times are all that is known of the motion."""
    made = record_drive(root, Shape(seconds=3, marks=False, states=False, actions=False))
    times_ns = START_NS + np.round(times_s * 1e9).astype(np.int64)
    poses = np.array([world_from_rig(int(t_ns)).matrix for t_ns in times_ns])
    return View(made.recording, made.calibration, motion=Trajectory(times_ns, poses, "recorded pose"))


@pytest.mark.parametrize(
    ("times_s", "first_s", "last_s", "lost_s"),
    [
        (np.arange(0, 1.501, 0.1), 0.0, 1.9, "1.0"),
        (np.arange(1.5, 3.0, 0.1), 1.0, 2.9, "1.0"),
        (np.append(np.arange(0, 0.1, 0.02), np.arange(2.0, 3.0, 0.02)), 1.5, 2.9, "1.5"),
    ],
    ids=["ends early", "begins late", "has a hole"],
)
def test_rows_whose_state_is_the_motion_are_those_at_which_it_is_known(
    tmp_path: Path, times_s: np.ndarray, first_s: float, last_s: float, lost_s: str
) -> None:
    view = drive_whose_state_is_its_motion(tmp_path, times_s)
    (tmp_path / "out").mkdir()
    report = LEROBOT.write(DatasetView("d", (view,)), tmp_path / "out")
    table = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")
    at_s = (np.array(table["time_ns.camera_left"].to_pylist()) - START_NS) / 1e9
    assert abs(at_s[0] - first_s) < 0.011
    assert abs(at_s[-1] - last_s) < 0.011
    truth = [world_from_rig(START_NS + int(t_s * 1e9)).translation_m[0] for t_s in at_s]
    assert np.abs(np.array(table["observation.state"].to_pylist())[:, 0] - truth).max() < 0.02
    (note,) = (note for note in report.notes if "left out" in note)
    assert f"{lost_s} s of the episode 'patrol' are left out" in note


def test_a_motion_that_is_known_throughout_costs_no_row_and_no_word(tmp_path: Path) -> None:
    view = drive_whose_state_is_its_motion(tmp_path, np.arange(0.1, 3.0, 0.1))
    (tmp_path / "out").mkdir()
    report = LEROBOT.write(DatasetView("d", (view,)), tmp_path / "out")
    assert report.figures["frames"] == 30
    assert not [note for note in report.notes if "left out" in note]


def test_samples_that_no_clock_brings_to_a_time_are_counted_in_the_dataset_and_told_by_the_command(
    tmp_path: Path,
) -> None:
    """A clock that is said to run 5 % fast is 50 ms ahead of the arrivals one second behind its reference."""
    made = record_drive(tmp_path, Shape(seconds=4))
    clock = ClockFit(START_NS + 2 * SECOND_NS, 0, 50_000.0, 1000.0, 100)
    info = load_info(made.recording.folder)
    info.model_copy(update={"clocks": {"camera_right/image": (clock,)}}).save(made.recording.folder)
    words = ["export", made.recording.id, "--name", "d", "--format", "lerobot", "--workspace", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "fieldrig", *words], capture_output=True, text=True, check=True, timeout=120
    )
    (line,) = (line for line in ended.stdout.splitlines() if "left out" in line)
    # The pictures of 3.1 s to 3.9 s; those of the other stretches arrive within 50 ms of their time.
    assert f"note: {made.recording.id}: left out: 9 samples of camera_right/image: no fit of the sensor's clock" in line
    assert f"fieldrig verify {made.recording.id}" in line
    table = json.loads((tmp_path / "datasets/d/v1/lerobot/fieldrig.json").read_text())
    assert line.removeprefix("note: ") in table["notes"]
