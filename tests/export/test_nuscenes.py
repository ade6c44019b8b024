"""What the nuScenes writer puts down, against what is true."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.calibration import save
from devices.transform import Transform
from export.dataset import build
from export.errors import ExportError
from export.formats.nuscenes import FORMAT
from export.formats.nuscenes.layout import camera_channel, lidar_channel
from export.publish import export_recordings, publish
from tests.export.builders import (
    CAMERA,
    PROJECT,
    SIZES_M,
    START_NS,
    Drive,
    Shape,
    box_center_m,
    label,
    record_drive,
    world_from_rig,
)


@pytest.fixture(scope="module")
def tables(exported: Path) -> dict[str, dict[str, Any]]:
    folder = exported / "nuscenes/v1.0-fieldrig"
    return {path.stem: {r["token"]: r for r in json.loads(path.read_text())} for path in folder.glob("*.json")}


def sources(exported: Path) -> dict[str, dict[str, Any]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(exported / "nuscenes/fieldrig/sources.parquet").to_pylist()
    return {row["token"]: row for row in rows}


def test_a_sample_is_a_labelled_keyframe_and_everything_between_two_of_them_is_a_sweep(tables: dict[str, Any]) -> None:
    samples = sorted(record["timestamp"] for record in tables["sample"].values())
    assert samples == [(START_NS + 500_000_000 * i) // 1000 for i in range(12)]
    lidar = [r for r in tables["sample_data"].values() if "LIDAR_TOP" in r["filename"]]
    assert (sum(r["is_key_frame"] for r in lidar), sum(not r["is_key_frame"] for r in lidar)) == (12, 44)
    for record in tables["sample_data"].values():
        owner = tables["sample"][record["sample_token"]]
        assert record["is_key_frame"] or record["timestamp"] < owner["timestamp"]


def test_a_box_stands_in_the_world_where_the_thing_stood(exported: Path, tables: dict[str, Any]) -> None:
    origin = sources(exported)
    assert len(tables["sample_annotation"]) == 22
    for token, record in tables["sample_annotation"].items():
        kind = tables["category"][tables["instance"][record["instance_token"]]["category_token"]]["name"]
        box = Transform.from_quaternion("world", "box", record["rotation"], record["translation"])
        assert np.allclose(box.translation_m, box_center_m(kind, origin[token]["t_ns"]), atol=1e-6)
        # The label stands upright in a lidar that leans by 2 degrees, so its heading in the world is right to about that.
        assert box.angle_to_deg(Transform.identity("world", "box")) < 3
        length, width, height = SIZES_M[kind]
        assert record["size"] == [width, length, height]


def test_the_points_counted_are_those_that_fell_into_the_box(tables: dict[str, Any]) -> None:
    """Of 300 points strewn over 1.2 times each edge (1/1.2)^3 = 58 % fall inside a box that stands straight."""
    counts = [record["num_lidar_pts"] for record in tables["sample_annotation"].values()]
    assert 150 < min(counts) < max(counts) < 220


def test_every_file_has_the_ego_pose_of_its_own_capture_time(exported: Path, tables: dict[str, Any]) -> None:
    origin = sources(exported)
    for token, record in tables["sample_data"].items():
        pose = tables["ego_pose"][record["ego_pose_token"]]
        truth = world_from_rig(origin[token]["t_ns"])
        found = Transform.from_quaternion("world", "rig", pose["rotation"], pose["translation"])
        assert found.distance_to_m(truth) < 1e-4
        assert pose["timestamp"] == record["timestamp"] == origin[token]["t_ns"] // 1000


def test_cameras_are_told_as_without_distortion_and_their_pictures_are_undistorted(
    drive: Drive, exported: Path, tables: dict[str, Any]
) -> None:
    from PIL import Image as Picture

    camera = next(r for r in tables["calibrated_sensor"].values() if r["camera_intrinsic"])
    assert np.allclose(camera["camera_intrinsic"], CAMERA.matrix)
    record = next(r for r in tables["sample_data"].values() if "CAM_LEFT" in r["filename"])
    recorded = next(iter(drive.recording.samples(["camera_left/image"]))).sample.pixels
    with Picture.open(exported / "nuscenes" / record["filename"]) as picture:
        found = np.asarray(picture).astype(float)
    assert found.shape[:2] == (record["height"], record["width"]) == recorded.shape[:2]
    assert np.abs(found - CAMERA.undistort(recorded)).mean() < 3 < np.abs(found - recorded).mean()


def test_one_thing_is_one_instance_chained_through_time(tables: dict[str, Any]) -> None:
    assert len(tables["instance"]) == 2
    for instance in tables["instance"].values():
        token, times = instance["first_annotation_token"], []
        while token:
            record = tables["sample_annotation"][token]
            times.append(tables["sample"][record["sample_token"]]["timestamp"])
            token = record["next"]
        assert len(times) == instance["nbr_annotations"] == 11
        assert all(before < after for before, after in pairwise(times))


def test_a_visibility_that_nobody_judged_is_left_empty(tables: dict[str, Any]) -> None:
    levels = {record["visibility_token"] for record in tables["sample_annotation"].values()}
    assert levels == {"", "4"}
    assert {record["name"] for record in tables["attribute"].values()} == {"motion.parked", "motion.moving"}


@pytest.mark.parametrize(
    ("sensor", "channel"), [("camera_left", "CAM_LEFT"), ("camera_02", "CAM_02"), ("cam_front", "CAM_FRONT")]
)
def test_a_cameras_channel_follows_from_its_name(sensor: str, channel: str) -> None:
    assert camera_channel(sensor) == channel


def test_the_lidar_that_is_just_called_so_is_the_top_one() -> None:
    assert (lidar_channel("lidar"), lidar_channel("lidar_rear")) == ("LIDAR_TOP", "LIDAR_REAR")


def test_two_writes_of_one_view_are_the_same_bytes(drive: Drive, exported: Path, tmp_path: Path) -> None:
    view = build(drive.workspace, [drive.recording.id], name="yard", project=PROJECT)
    (again,) = publish(view, drive.workspace, ["nuscenes"])
    assert contents(again.folder) == contents(exported / "nuscenes")


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_keyframe_without_a_cameras_picture_is_said(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2, lost=frozenset({("camera_right", 5)})))
    label(made)
    report = export_recordings(made.workspace, [made.recording.id], name="d", formats=["nuscenes"], project=PROJECT)[0]
    assert any("1 keyframes have no picture of camera_right" in note for note in report.notes)


def test_a_dataset_without_labels_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2))
    with pytest.raises(ExportError, match="none is labelled"):
        export_recordings(made.workspace, [made.recording.id], name="d", formats=["lerobot", "nuscenes"])
    assert not (made.workspace.datasets / "d").exists()


def test_labels_of_another_calibration_are_refused(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2))
    label(made)
    other = replace(made.calibration, made_ns=made.calibration.made_ns + 1)
    save(other, made.workspace)
    with pytest.raises(ExportError, match=f"were made with calibration {made.calibration.id}, not with {other.id}"):
        build(made.workspace, [made.recording.id], name="d", project=PROJECT, calibration=other.id)


def test_a_keyframe_that_the_recording_does_not_hold_stops_the_export(drive: Drive, tmp_path: Path) -> None:
    from export.dataset import DatasetView
    from export.drive import Drive as View

    view = View(drive.recording, drive.calibration, {START_NS + 50_000_000: ()})
    with pytest.raises(ExportError, match=f"has no frame at {START_NS + 50_000_000} ns"):
        FORMAT.write(DatasetView("d", (view,)), tmp_path)
