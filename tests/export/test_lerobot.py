"""What the LeRobot writer puts down, against what was recorded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from calibration.calibration import save
from calibration.errors import CalibrationError
from export.dataset import build
from export.errors import ExportError
from export.formats.lerobot import FORMAT
from export.formats.lerobot.video import VideoWriter, frames_of, thumbnail
from export.publish import export_recordings
from tests.export.builders import (
    CAMERA,
    SPEED_M_S,
    START_NS,
    TASKS,
    Drive,
    Shape,
    picture,
    record_drive,
    world_from_rig,
)


def export(drive: Drive) -> Path:
    """Export a drive to LeRobot; the folder."""
    return export_recordings(drive.workspace, [drive.recording.id], name="d", formats=["lerobot"])[0].folder


def columns(folder: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(folder / "data/chunk-000/file-000.parquet")
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def info(folder: Path) -> dict:
    return json.loads((folder / "meta/info.json").read_text())


def test_every_picture_between_the_marks_is_a_row_with_its_true_time_and_the_state_nearest_to_it(
    exported: Path,
) -> None:
    found = columns(exported / "lerobot")
    assert found["episode_index"].tolist() == [0] * 25 + [1] * 25
    assert found["index"].tolist() == list(range(50))
    # Episode 0 starts 0.25 s into the drive, between the pictures 2 and 3, which come every 0.1 s.
    nominal = START_NS + np.concatenate([np.arange(3, 28), np.arange(33, 58)]) * 100_000_000
    assert (np.abs(found["time_ns.camera_left"] - nominal - 7_000_000) <= 500_000).all()
    assert (np.abs(found["time_ns.camera_right"] - nominal - 14_000_000) <= 500_000).all()
    assert (np.abs(found["time_ns.robot.state"] - nominal - 7_000_000) <= 10_500_000).all()
    seconds = (found["time_ns.robot.state"] - START_NS) / 1e9
    assert np.allclose(found["observation.state"][:, 0], SPEED_M_S * seconds, atol=1e-5)
    assert np.allclose(found["timestamp"], np.tile(np.arange(25) / 10, 2), atol=1e-7)
    assert found["action"].shape == (50, 2)


def test_the_videos_show_each_row_what_its_camera_saw(exported: Path) -> None:
    for number, camera in enumerate(("camera_left", "camera_right")):
        path = exported / f"lerobot/videos/observation.images.{camera}/chunk-000/file-000.mp4"
        found = list(frames_of(path))
        assert [round(t_s, 6) for t_s, _ in found] == [i / 10 for i in range(50)]
        for row, frame in zip(range(50), [*range(3, 28), *range(33, 58)], strict=True):
            truth = cv2.imdecode(np.frombuffer(picture(frame, number), np.uint8), cv2.IMREAD_COLOR_RGB)
            difference = np.abs(found[row][1].astype(float) - thumbnail(truth[:48]))
            assert difference.mean() < 3


def test_a_video_keeps_its_colours(tmp_path: Path) -> None:
    import av

    colours = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)], np.uint8)
    pixels = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, axis=0), 32, axis=1)
    video = VideoWriter(tmp_path / "a.mp4", 10, 64, 64)
    for _ in range(3):
        video.add(pixels)
    video.close()
    with av.open(str(tmp_path / "a.mp4")) as file:
        decoded = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(decoded[8:24, 8:24] - pixels[8:24, 8:24]).max() <= 6
    assert np.abs(decoded - pixels).mean() < 4


def test_pictures_of_odd_height_lose_their_last_row_and_nothing_else(exported: Path) -> None:
    shape = info(exported / "lerobot")["features"]["observation.images.camera_left"]["shape"]
    assert (CAMERA.height_px, shape) == (49, [48, 64, 3])


def test_the_tasks_are_what_the_operator_marked_and_every_episode_has_one(exported: Path) -> None:
    episodes = pq.read_table(exported / "lerobot/meta/episodes/chunk-000/file-000.parquet")
    assert episodes["tasks"].to_pylist() == [[task] for task in TASKS]
    assert pq.read_table(exported / "lerobot/meta/tasks.parquet").to_pylist() == [
        {"task_index": index, "task": task} for index, task in enumerate(TASKS)
    ]


def test_fieldrig_json_leads_every_row_back_to_a_recorded_message_and_its_hash(drive: Drive, exported: Path) -> None:
    provenance = json.loads((exported / "lerobot/fieldrig.json").read_text())
    rows = pq.read_table(exported / "lerobot" / provenance["sources"]).to_pylist()
    assert len(rows) == 50 * 4
    sent = {
        (packet.packet.stream, packet.sequence): hashlib.sha256(packet.packet.data).hexdigest()
        for packet in drive.recording.packets()
    }
    for row in rows:
        (span,) = row["spans"]
        assert sent[span["stream"], span["first_sequence"]] == span["sha256"]
        assert row["calibration_id"] == drive.calibration.id
    assert (exported / "lerobot" / provenance["calibrations"][drive.calibration.id]).is_file()


def test_two_writes_of_one_view_are_the_same_bytes(drive: Drive, exported: Path) -> None:
    again = export(drive)
    assert contents(again) == contents(exported / "lerobot")


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file; fieldrig.json names the dataset and its labels, which the two writes do not share."""
    but = ("fieldrig.json", "SHA256SUMS")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_drive_without_actions_gets_no_action_feature(tmp_path: Path) -> None:
    folder = export(record_drive(tmp_path, Shape(seconds=3, actions=False)))
    assert not [name for name in info(folder)["features"] if name.startswith("action")]
    assert json.loads((folder / "fieldrig.json").read_text())["features"]["action"] is None


def test_a_drive_without_marks_is_one_episode_of_the_recordings_task(tmp_path: Path) -> None:
    folder = export(record_drive(tmp_path, Shape(seconds=2, marks=False)))
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet")
    assert (episodes["tasks"].to_pylist(), episodes["length"].to_pylist()) == ([["patrol"]], [20])


def test_rows_that_repeat_a_lost_picture_are_counted_and_said(tmp_path: Path) -> None:
    shape = Shape(seconds=4, lost=frozenset({("camera_right", 8), ("camera_right", 9)}))
    made = record_drive(tmp_path, shape)
    report = export_recordings(made.workspace, [made.recording.id], name="d", formats=["lerobot"])[0]
    assert any(
        "2 rows of episode 0 repeat the picture before, by time_ns.camera_right" in note for note in report.notes
    )
    episode = json.loads((report.folder / "fieldrig.json").read_text())["episodes"][0]
    assert episode["rows_outside_tolerance"]["time_ns.camera_right"] == 2
    assert episode["rows_repeated"]["time_ns.camera_right"] == 2
    assert episode["rows_repeated"]["time_ns.camera_left"] == 0
    assert report.figures["frames"] == 30


def test_an_episode_that_lacks_a_stream_is_left_out_and_said_while_the_others_go_on(tmp_path: Path) -> None:
    gone = frozenset(("camera_right", frame) for frame in range(35))
    made = record_drive(tmp_path, Shape(lost=gone))
    report = export_recordings(made.workspace, [made.recording.id], name="d", formats=["lerobot"])[0]
    assert report.figures["episodes"] == 1
    assert any("holds no two whole rows; left out" in note for note in report.notes)
    assert columns(report.folder)["task_index"].tolist() == [0] * int(report.figures["frames"])


def test_without_a_recorded_state_the_state_is_the_rigs_motion_and_its_source_is_named(tmp_path: Path) -> None:
    from export.dataset import DatasetView
    from export.drive import Drive as View

    made = record_drive(tmp_path, Shape(seconds=3, marks=False))
    recorded = View(made.recording, made.calibration)
    silent = record_drive(tmp_path / "silent", Shape(seconds=3, marks=False, states=False, actions=False))
    view = DatasetView("d", (View(silent.recording, silent.calibration, motion=recorded.trajectory),))
    (tmp_path / "out").mkdir()
    FORMAT.write(view, tmp_path / "out")
    found = columns(tmp_path / "out")
    truth = [world_from_rig(t_ns).translation_m[0] for t_ns in found["time_ns.camera_left"]]
    assert np.abs(found["observation.state"][:, 0] - truth).max() < 0.01
    assert np.allclose(found["observation.state"][:, 7], SPEED_M_S, atol=0.01)
    assert np.allclose(found["observation.state"][:, 8], np.radians(2), atol=0.001)
    features = json.loads((tmp_path / "out/fieldrig.json").read_text())["features"]
    assert features["observation.state"] == "the rig's motion (recorded pose)"


def test_drives_that_differ_are_refused_naming_both_and_what_differs(tmp_path: Path) -> None:
    one = record_drive(tmp_path, Shape(seconds=2))
    other = record_drive(tmp_path, Shape(seconds=2, rate_hz=20), identity="20250616T000000Z-cart-oooo")
    with pytest.raises(ExportError, match=r"oooo differs from 20250615.* in rate hz \(20, not 10\)"):
        export_recordings(one.workspace, [one.recording.id, other.recording.id], name="d", formats=["lerobot"])


def test_a_refused_calibration_stops_the_export(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2))
    worse = replace(
        made.calibration, verdict="refused", reasons=("too few views",), made_ns=made.calibration.made_ns + 1
    )
    save(worse, made.workspace)
    with pytest.raises(CalibrationError, match="refused: too few views"):
        build(made.workspace, [made.recording.id], name="d")
