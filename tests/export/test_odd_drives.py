"""What is odd about a drive is put right or told; nothing of it passes for what it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from calibration.calibration import save
from export.check import check
from export.errors import ExportError
from export.formats.lerobot.episodes import LONGEST_NS
from export.formats.lerobot.layout import VIDEO_FILE_LONGEST_S
from export.formats.lerobot.video_check import refused_frames
from export.publish import export_recordings
from export.report import Report
from tests.export.builders import CAMERA, PROJECT, START_NS, TASKS, Drive, Shape, label, record_drive


def export(drive: Drive, name: str) -> Report:
    project = PROJECT if name == "nuscenes" else None
    return export_recordings(drive.workspace, [drive.recording.id], name="d", formats=[name], project=project)[0]


def table(report: Report, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((report.folder / f"v1.0-fieldrig/{name}.json").read_text())
    return rows


def episodes(report: Report) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((report.folder / "fieldrig.json").read_text())["episodes"]
    return rows


def test_a_picture_that_is_the_nearest_of_two_keyframes_belongs_to_each(
    tmp_path: Path, environment: Callable[[str], Path]
) -> None:
    environment("nuscenes")
    every_second = frozenset(("camera_left", frame) for frame in range(1, 40, 2))
    made = record_drive(tmp_path, Shape(seconds=2, rate_hz=20, lost=every_second))
    label(made, every=1)
    report = export(made, "nuscenes")
    pictures = [
        row for row in table(report, "sample_data") if "CAM_LEFT" in str(row["filename"]) and row["is_key_frame"]
    ]
    assert len(table(report, "sample")) == len(pictures) == len({row["sample_token"] for row in pictures}) == 40
    assert len({row["timestamp"] for row in pictures}) == 20
    assert check(report.folder).problems == []


def test_what_a_crew_discarded_is_in_no_scene_either_and_is_counted(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(outcomes=("discard", "success")))
    label(made)
    report = export(made, "nuscenes")
    times = np.array([int(str(row["timestamp"])) for row in table(report, "sample_data")])
    seconds = times / 1e6 - START_NS / 1e9
    assert not ((seconds >= 0.25) & (seconds < 2.75)).any(), "the discarded episode"
    assert len(table(report, "sample")) == 7
    (told,) = [note for note in report.notes if "discarded" in note]
    assert "1 episode was discarded by its crew and is left out, 5 labelled keyframes in it" in told


def test_a_drive_of_which_all_is_discarded_says_so_where_it_cannot_be_written(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2, outcomes=("discard", "discard")))
    with pytest.raises(ExportError, match="2 episodes were discarded by their crew"):
        export(made, "lerobot")


def test_a_failed_episode_is_told_from_one_that_succeeded(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(outcomes=("failure", "success")))
    report = export(made, "lerobot")
    assert [episode["outcome"] for episode in episodes(report)] == ["failure", "success"]
    assert any(note.startswith("1 of 2 episodes ended as a failure") for note in report.notes)


@pytest.mark.parametrize("name", ["lerobot", "nuscenes"])
@pytest.mark.parametrize("size", [(60, 48), (80, 60)], ids=["larger than calibrated", "smaller than calibrated"])
def test_pictures_of_another_size_than_calibrated_are_refused(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2))
    known = made.calibration.cameras["camera_left"]
    other = replace(known, model=replace(CAMERA, width_px=size[0], height_px=size[1], distortion=()))
    calibration = replace(
        made.calibration, made_ns=START_NS + 1, cameras={**made.calibration.cameras, "camera_left": other}
    )
    save(calibration, made.workspace)
    made = replace(made, calibration=calibration)
    label(made)
    with pytest.raises(ExportError, match=rf"camera_left.* 64 x 49 px.*calibration.* {size[0]} x {size[1]} px"):
        export(made, name)


def test_an_episode_whose_first_camera_dies_says_how_much_of_it_is_missing(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(lost=frozenset(("camera_left", frame) for frame in range(10, 60))))
    report = export(made, "lerobot")
    assert report.figures["episodes"] == 1
    (told,) = [note for note in report.notes if " ends " in note]
    assert f"the episode '{TASKS[0]}' ends 1.7 s before its end: camera_left/image holds nothing there" in told


def test_a_state_that_stands_still_since_nothing_came_is_told_with_how_long(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(silent=(("robot/state", 1.0, 2.0),)))
    report = export(made, "lerobot")
    (told,) = [note for note in report.notes if "robot/state" in note]
    assert re.fullmatch(
        r"9 of 50 rows, in 1 episodes, have no sample of robot/state within 50 ms: they hold the nearest one, "
        r"which is up to 49\d ms away",
        told,
    )
    whole = export(record_drive(tmp_path / "whole"), "lerobot")
    assert not [note for note in whole.notes if "rows" in note]


def test_two_cameras_whose_names_are_one_channel_are_refused(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2, cameras=("camera_left", "cam_left")))
    label(made)
    with pytest.raises(ExportError, match="cameras 'camera_left' and 'cam_left' would both be nuScenes' CAM_LEFT"):
        export(made, "nuscenes")


def test_a_doubtful_recordings_reasons_are_in_the_dataset(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=3))
    info = made.recording.folder / "recording.json"
    reasons = ["camera_left/image lost 12 packets"]
    info.write_text(json.dumps({**json.loads(info.read_text()), "verdict": "doubtful", "reasons": reasons}))
    report = export(made, "lerobot")
    assert any("the recording is doubtful: camera_left/image lost 12 packets" in note for note in report.notes)
    assert any(reasons[0] in note for note in json.loads((report.folder / "fieldrig.json").read_text())["notes"])


def test_a_second_lidar_and_a_vector_that_no_format_takes_are_named(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=3, lidars=("lidar", "lidar_rear"), gripper=True))
    label(made)
    assert any(": lidar_rear/points is left out" in note for note in export(made, "nuscenes").notes)
    assert any(
        "neither SENSOR/state nor SENSOR/action by its name: robot/gripper" in note
        for note in export(made, "lerobot").notes
    )


@pytest.mark.parametrize("rate_hz", [1, 7, 10, 15, 25, 30, 50, 60, 120])
def test_the_loader_finds_every_frame_of_the_longest_episode_and_of_the_longest_video_and_not_of_two_in_one(
    rate_hz: int,
) -> None:
    longest, video = LONGEST_NS // 10**9 * rate_hz, VIDEO_FILE_LONGEST_S * rate_hz
    assert refused(rate_hz, longest) == []
    for first in (1, 7 * rate_hz + 3, video // 2, video - 1):
        assert refused(rate_hz, first, video - first) == []
    if rate_hz in (15, 30, 60):  # else the times are the same few fractions, and none is rounded otherwise
        (line,) = refused(rate_hz, longest, longest)
        assert "LeRobot's loader would not find frame" in line


def refused(rate_hz: int, *lengths: int) -> list[str]:
    """Of a video that holds episodes of so many rows."""
    starts = np.cumsum([0, *lengths[:-1]]) / rate_hz
    episodes = [(float(start_s), rows) for start_s, rows in zip(starts, lengths, strict=True)]
    return list(refused_frames("a.mp4", np.arange(sum(lengths)) / rate_hz, rate_hz, episodes))


def test_a_video_that_would_grow_too_long_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Callable[[str], Path]
) -> None:
    environment("checkers")
    monkeypatch.setattr("export.formats.lerobot.files.VIDEO_FILE_LONGEST_S", 4)
    report = export(record_drive(tmp_path), "lerobot")
    videos = sorted((report.folder / "videos").rglob("*.mp4"))
    assert [path.name for path in videos] == ["file-000.mp4", "file-001.mp4"] * 2
    assert check(report.folder).problems == []


def test_an_episode_that_is_too_long_becomes_several_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Callable[[str], Path]
) -> None:
    environment("checkers")
    made = record_drive(tmp_path, Shape(marks=False))
    whole, known = export(made, "lerobot"), "export.formats.lerobot.episodes.LONGEST_NS"
    monkeypatch.setattr(known, 2_000_000_000)
    cut = export(made, "lerobot")
    assert (whole.figures["episodes"], cut.figures["episodes"]) == (1, 4)
    assert (pictures := times(whole)) == times(cut)
    assert len(pictures) == len(set(pictures)) == 60
    (told,) = [note for note in cut.notes if "float32" in note]
    assert "the episode 'patrol' is 4 here" in told
    assert check(cut.folder).problems == []


def times(report: Report) -> list[int]:
    found: list[int] = pq.read_table(report.folder / "data/chunk-000/file-000.parquet")[
        "time_ns.camera_left"
    ].to_pylist()
    return found


def test_an_outcome_that_nobody_marked_is_none(tmp_path: Path) -> None:
    report = export(record_drive(tmp_path, Shape(seconds=3, marks=False)), "lerobot")
    assert [episode["outcome"] for episode in episodes(report)] == [None]
