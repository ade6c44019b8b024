"""Versions of a dataset, and what a person is told when something is not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import FieldrigError
from export.check import check
from export.dataset import DatasetView
from export.drive import Drive as View
from export.errors import ExportError
from export.format import formats
from export.publish import export_recordings, publish
from export.sums import wrong_files
from tests.export.builders import PROJECT, Drive


def test_each_export_is_the_next_version_and_earlier_ones_stay_as_they_were(drive: Drive) -> None:
    def export() -> Path:
        return export_recordings(drive.workspace, [drive.recording.id], name="twice", formats=["lerobot"])[0].folder

    first = export()
    before = (first / "meta/info.json").stat().st_mtime_ns
    assert [first.parent.name, export().parent.name] == ["v1", "v2"]
    assert (first / "meta/info.json").stat().st_mtime_ns == before


def test_without_a_format_named_every_one_is_written(drive: Drive) -> None:
    written = export_recordings(drive.workspace, [drive.recording.id], name="all", project=PROJECT)
    assert (
        {report.format for report in written}
        == set(formats())
        == {path.name for path in written[0].folder.parent.iterdir()}
    )


def test_a_write_that_fails_leaves_nothing_behind(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.formats.lerobot.write.write_provenance", full)
    view = DatasetView("full", (View(drive.recording, drive.calibration),))
    with pytest.raises(ExportError, match="No space left on device"):
        publish(view, drive.workspace, ["lerobot"])
    assert not (drive.workspace.datasets / "full").exists()


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("yard", ["lerobo"], "no format called 'lerobo'; choose from: lerobot, nuscenes"),
        ("../yard", ["lerobot"], "'../yard' cannot name a dataset"),
        ("yard", ["lerobot", "lerobot"], "named twice"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_read(
    tmp_path: Path, name: str, chosen: list[str], message: str
) -> None:
    from capture.workspace import Workspace

    with pytest.raises(ExportError, match=message):
        export_recordings(Workspace.at(tmp_path), ["no such recording"], name=name, formats=chosen)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lerobot", "nuscenes"])
def test_a_check_without_its_consumer_is_no_pass_but_one_line_that_names_make_setup(
    name: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDRIG_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(FieldrigError, match="make setup") as caught:
        check(exported / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("environment", "name"), [("checkers", "lerobot"), ("nuscenes", "nuscenes")])
def test_an_environment_that_lost_its_program_is_no_pass_either(
    environment: str, name: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / environment / "bin").mkdir(parents=True)
    monkeypatch.setenv("FIELDRIG_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(ExportError, match="run `make setup`"):
        check(exported / name)


def test_a_folder_in_no_format_is_told_which_one_to_check(exported: Path) -> None:
    with pytest.raises(ExportError, match=f"check {exported / 'lerobot'}"):
        check(exported)


@pytest.mark.parametrize("name", ["lerobot", "nuscenes"])
def test_an_export_that_lost_its_fieldrig_json_cannot_be_checked(name: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(name)
    (folder / "fieldrig.json").unlink()
    with pytest.raises(ExportError, match=r"no fieldrig\.json in"):
        check(folder)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("nuscenes", "samples/LIDAR_TOP/*.bin"),
        ("nuscenes", "samples/CAM_*/*.jpg"),
        ("nuscenes", "fieldrig/calibration-*.json"),
        ("lerobot", "data/*/*.parquet"),
        ("lerobot", "videos/*/*/*.mp4"),
    ],
)
def test_one_bit_that_turned_over_in_any_file_is_told(name: str, pattern: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(name)
    assert list(wrong_files(folder)) == []
    spoilt = min(folder.glob(pattern))
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    (told,) = wrong_files(folder)
    assert told.startswith(f"{spoilt.relative_to(folder)} is not the file that was written")


def test_a_spoilt_file_fails_the_check_where_its_consumer_sees_nothing(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("nuscenes")
    sweep = min((folder / "samples/LIDAR_TOP").iterdir())
    content = bytearray(sweep.read_bytes())
    content[16] ^= 1  # the first point's ring
    sweep.write_bytes(content)
    assert check(folder).problems == list(wrong_files(folder))
    assert check(folder).verdict == "fail"


def test_both_formats_say_what_they_hold_in_one_way(exported: Path) -> None:
    for name in formats():
        table = json.loads((exported / name / "fieldrig.json").read_text())
        assert table["format"] == name
        assert (exported / name / table["sources"]).is_file()
        assert table.get("labels") == (None if name == "lerobot" else {"project": "boxes", "revision": 1})


def test_an_export_that_is_ended_by_the_system_leaves_nothing_behind(drive: Drive) -> None:
    home = drive.workspace.datasets / "ended"
    command = [sys.executable, "-m", "fieldrig", "export", drive.recording.id, "--name", "ended"]
    exporting = subprocess.Popen(
        [*command, "--project", PROJECT, "--workspace", str(drive.workspace.root)],
        cwd=Path(__file__).parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not list(home.glob(".draft-*")) and time.monotonic() < until:
        time.sleep(0.01)
    exporting.terminate()
    said = exporting.communicate(timeout=60)
    left = (
        "fieldrig: interrupted: an export that is not finished leaves nothing behind; the same command begins again\n"
    )
    assert said == ("", left)
    assert exporting.returncode in (130, -signal.SIGINT)  # a shell says 130 of both
    assert not home.exists()
