"""A real drive from its files to both formats, and each format's consumer on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from annotate.labels import Cuboid, Provenance
from annotate.store import LabelledFrame, LabelStore
from calibration.calibration import save
from calibration.files import import_kitti_calibration
from calibration.sync import synced_frames
from capture.importers.kitti import import_kitti
from capture.recording import open_recording
from capture.workspace import Workspace
from export.check import check
from export.publish import export_recordings

# Where the black car ahead is in the first frames, in the lidar's frame. The drive's points are given in whole millimetres: no face
# of the box passes through one.
CENTER_M, SIZE_M, YAW_RAD = np.array([8.6, -0.3, -1.00037]), np.array([4.2, 1.9, 1.5]), 0.02


@dataclass(frozen=True, slots=True)
class Road:
    """What came out, and the drive that went in."""

    folder: Path
    source: Path


@pytest.fixture(scope="module")
def road(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Road:
    """24 frames imported, a keyframe labelled every half second, exported to both formats."""
    source = test_data / "kitti_drive"
    workspace = Workspace.at(tmp_path_factory.mktemp("kitti"))
    recording = open_recording(import_kitti(source, workspace))
    calibration = import_kitti_calibration(source)
    save(calibration, workspace)
    frames, cuboids = [], []
    for frame in synced_frames(recording, calibration, every_ns=500_000_000):
        uid, made = f"{recording.id}@{frame.t_ns}", {"annotator": "ann@example.org", "made_ns": 1}
        spans = () if frame.sweep is None else (frame.sweep.span,)
        frames.append(
            LabelledFrame(
                uid=uid, t_ns=frame.t_ns, recording_id=recording.id, calibration_id=calibration.id, spans=spans, **made
            )
        )
        origin = Provenance(spans=spans, calibration_id=calibration.id, task=uid, guideline="1", origin="human", **made)
        cuboids.append(
            Cuboid(
                id="ahead",
                track="ahead",
                category="car",
                t_ns=frame.t_ns,
                center_m=CENTER_M,
                size_m=SIZE_M,
                yaw_rad=YAW_RAD,
                num_points=0,
                provenance=origin,
            )
        )
    LabelStore(workspace, "boxes").save_revision(cuboids, frames)
    reports = export_recordings(
        workspace, [recording.id], name="kitti", formats=["lerobot", "nuscenes"], project="boxes"
    )
    return Road(reports[0].folder.parent, source)


@pytest.mark.parametrize(("name", "programs"), [("lerobot", "checkers"), ("nuscenes", "nuscenes")])
def test_the_consumer_passes_it(name: str, programs: str, road: Road, environment: Callable[[str], Path]) -> None:
    environment(programs)
    report = check(road.folder / name)
    assert report.problems == []
    expected = {"lerobot": {"frames": 24, "video_frames": 24}, "nuscenes": {"sample": 5, "sample_annotation": 5}}
    assert expected[name].items() <= report.figures.items()


def test_the_points_in_a_box_are_those_of_the_drives_own_files(road: Road) -> None:
    annotations = json.loads((road.folder / "nuscenes/v1.0-fieldrig/sample_annotation.json").read_text())
    for index, record in enumerate(annotations):
        path = road.source / f"velodyne_points/data/{5 * index:010d}.bin"
        offset = np.fromfile(path, "<f4").reshape(-1, 4)[:, :3] - CENTER_M
        cos, sin = np.cos(YAW_RAD), np.sin(YAW_RAD)
        turned = offset @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        assert record["num_lidar_pts"] == (np.abs(turned) <= SIZE_M / 2).all(axis=1).sum() > 500


def test_what_nobody_recorded_is_not_made_up_and_what_stands_in_is_named(road: Road) -> None:
    provenance = json.loads((road.folder / "lerobot/fieldrig.json").read_text())
    assert provenance["features"]["action"] is None
    assert provenance["features"]["observation.state"] == "the rig's motion (kiss-icp)"
    assert any("no timestamps" in note for note in provenance["notes"])
    table = pq.read_table(road.folder / "lerobot/data/chunk-000/file-000.parquet")
    moved = np.array(table["observation.state"].to_pylist())[:, :3]
    assert 0.5 < np.linalg.norm(moved[-1] - moved[0]) < 30  # 2.3 s of town traffic
