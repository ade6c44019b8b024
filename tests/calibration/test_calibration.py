"""The calibration file: immutable, named by its content, refused where it must be."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from calibration.calibration import Calibration, load, refuse, save
from calibration.errors import CalibrationError
from calibration.lookup import latest
from capture.workspace import Workspace
from tests.calibration.builders import CAMERA_FROM_LIDAR, known_calibration


def _remade(calibration: Calibration, made_ns: int) -> Calibration:
    parts = (calibration.recordings, calibration.cameras, calibration.mounts, calibration.time_offsets)
    return Calibration(calibration.rig, made_ns, *parts, calibration.verdict, calibration.reasons)


def test_a_calibration_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    written = known_calibration(latencies_ns={"lidar": 2_000_000})
    path = save(written, Workspace(tmp_path))
    read = load(path)
    assert path == tmp_path / "calibrations" / "made-up" / f"{written.id}.json"
    assert read.id == written.id
    assert read.camera("camera_left") == written.camera("camera_left")
    assert read.time_offsets == written.time_offsets
    np.testing.assert_array_equal(read.rig_from("camera_left").matrix, written.rig_from("camera_left").matrix)
    np.testing.assert_array_equal(read.mounts["camera_left"].covariance, written.mounts["camera_left"].covariance)


def test_saving_twice_writes_one_file_and_no_other(tmp_path: Path) -> None:
    first, second = (save(known_calibration(), Workspace(tmp_path)) for _ in range(2))
    assert first == second
    assert list(first.parent.iterdir()) == [first]


def test_any_other_content_has_another_id() -> None:
    assert known_calibration().id == known_calibration().id
    assert known_calibration().id != known_calibration(latencies_ns={"lidar": 1}).id


def test_a_file_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    path = save(known_calibration(), Workspace(tmp_path))
    table = json.loads(path.read_text())
    table["cameras"]["camera_left"]["fx"] += 0.001
    path.write_text(json.dumps(table))
    with pytest.raises(CalibrationError, match="was edited"):
        load(path)


def test_the_mark_that_windows_editors_put_before_a_file_edits_nothing(tmp_path: Path) -> None:
    path = save(known_calibration(), Workspace(tmp_path))
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert load(path).id == known_calibration().id


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "another"}'])
def test_what_is_no_calibration_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r"some\.json"):
        load(path)


def test_the_latest_calibration_is_the_one_made_last(tmp_path: Path) -> None:
    old = known_calibration()
    new = _remade(old, old.made_ns + 1)
    for calibration in (new, old):
        save(calibration, Workspace(tmp_path))
    assert latest(Workspace(tmp_path), "made-up").id == new.id
    with pytest.raises(CalibrationError, match="'other' has no calibration"):
        latest(Workspace(tmp_path), "other")


def test_a_refused_calibration_is_refused_with_its_reason() -> None:
    refuse(known_calibration("good"))
    refuse(known_calibration("doubtful"))
    with pytest.raises(CalibrationError, match="all boards stand nearly parallel"):
        refuse(known_calibration("refused"))


def test_between_takes_the_lidar_to_the_camera_whatever_the_rig_frame() -> None:
    between = known_calibration().between("camera_left", "lidar")
    assert (between.to, between.from_) == ("camera_left", "lidar")
    np.testing.assert_allclose(between.matrix, CAMERA_FROM_LIDAR, atol=1e-12)


def test_an_unknown_sensor_is_named_with_the_known_ones() -> None:
    with pytest.raises(CalibrationError, match=r"'radar'.*camera_left, lidar"):
        known_calibration().rig_from("radar")
    with pytest.raises(CalibrationError, match="no camera 'lidar'"):
        known_calibration().camera("lidar")


def test_a_damaged_calibration_is_in_nobodys_way_once_a_newer_one_was_made(tmp_path: Path) -> None:
    workspace, old = Workspace(tmp_path), known_calibration()
    damaged = save(_remade(old, old.made_ns + 5), workspace)
    save(old, workspace)
    damaged.write_text(damaged.read_text().replace('"views": 24', '"views": 99'))
    os.utime(damaged, ns=(old.made_ns + 6, old.made_ns + 6))
    with pytest.raises(CalibrationError, match=r"was edited.*move it away, or name another one: --calibration"):
        latest(workspace, "made-up")
    new = _remade(old, old.made_ns + 7)
    save(new, workspace)
    assert latest(workspace, "made-up").id == new.id
