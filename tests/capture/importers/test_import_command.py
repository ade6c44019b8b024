"""`fieldrig import`, as a person meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fieldrig
from capture.checksums import sha256_of
from capture.errors import CaptureError
from capture.importers import importer, importers
from capture.importers.imported_before import imported_before
from capture.recording import open_recording
from capture.workspace import Workspace
from tests.capture.importers.bags import ros1_bag
from tests.capture.importers.test_euroc import a_folder
from tests.capture.importers.test_pcap import a_rig, an_ouster, capture, turn
from tests.devices.test_kitti import a_drive

ROOT = Path(__file__).parents[3]
every_importer = pytest.mark.parametrize("kind", importers())


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", *words], capture_output=True, text=True, cwd=cwd, timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "300"},
    )  # fmt: skip


@every_importer
def test_every_importer_has_its_help_with_an_example_and_its_row_in_the_readme(kind: str) -> None:
    words = ["import", kind, "--help"]
    shown = CliRunner().invoke(fieldrig.command_line(words), words)
    assert shown.exit_code == 0, shown.output
    text = " ".join(re.sub(r"[│╭╰─╮╯]", " ", shown.output).split())
    assert f"Example: fieldrig import {kind}" in text
    assert f"| `{kind}` |" in (ROOT / "README.md").read_text(encoding="utf-8").partition("## Logs of others")[2]
    assert importer(kind).line.endswith(".")


@every_importer
def test_what_is_not_there_is_one_line_that_names_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rig.toml").write_text('name = "van"\n[sensors.marks]\ndriver = "marks"\nport = 9000\n')
    rig = ["--rig", "rig.toml"] if importer(kind).needs_rig else []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fieldrig", "import", kind, "no-such-log", *rig])
    with pytest.raises(SystemExit) as ended:
        fieldrig.main()
    assert ended.value.code == 1
    assert re.fullmatch(r"fieldrig: .*no-such-log.*\n", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]


@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [
        ("kitti", "nowhere", "no KITTI drive at nowhere: there is no such folder"),
        ("kitti", "/dev/null", "/dev/null is no folder; give the KITTI drive's"),
        ("kitti", "empty", "empty is no KITTI drive: it has neither image_NN/data nor velodyne_points/data; give the drive's own folder"),
        ("kitti", "MH_01_easy", "MH_01_easy is not of this kind; run: fieldrig import euroc MH_01_easy"),
        ("kitti", "bare", "no KITTI calibration in bare or above it"),
        ("euroc", "nowhere", "no EuRoC folder at nowhere: there is no such folder"),
        ("euroc", "/dev/null", "/dev/null is no folder; give the EuRoC folder's"),
        ("gopro", "/dev/null", "/dev/null is a device, no file; give the video itself"),
        ("ros1", "/dev/null", "/dev/null is a device, no file; give the ROS 1 bag itself"),
        ("ros1", "clip.avi", "clip.avi is no ROS 1 bag: it does not begin with #ROSBAG V; nothing was imported"),
        ("gopro", "dangling.mp4", "dangling.mp4 is a link to gone.mp4, which is not there"),
        ("gopro", "empty", "empty is a folder; give the video itself, which is one file"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_told_by_its_true_cause(
    kind: str, path: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.avi").write_bytes(b"RIFF\xc0\x12\0\0AVI LIST")
    (tmp_path / "dangling.mp4").symlink_to("gone.mp4")
    a_folder(tmp_path / "MH_01_easy")
    a_drive(tmp_path / "bare")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fieldrig", "import", kind, path])
    with pytest.raises(SystemExit) as ended:
        fieldrig.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("fieldrig: ")
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "recordings").exists()


def test_a_kitti_drive_says_what_it_held_what_was_doubted_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], test_data: Path
) -> None:
    drive = a_drive(tmp_path / "drive")
    (drive / "calib.txt").write_bytes((test_data / "kitti_drive/calib_2011_09_26.txt").read_bytes())
    (drive / "clip.bin").write_bytes(bytes(9))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fieldrig", "import", "kitti", "drive"])
    with pytest.raises(SystemExit) as ended:
        fieldrig.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for words in (
        "  lidar/points: 3 messages",
        "1 files of drive were left out",
        "left out: clip.bin",
        "a clock of 10 Hz was assigned",
        "verdict: doubtful",
        "calibration ",
    ):
        assert words in said


def test_a_log_becomes_a_recording_of_the_workspace_and_what_it_holds_is_shown(tmp_path: Path) -> None:
    ros1_bag(tmp_path / "drive.bag", "lz4")
    ended = run("import", "ros1", "drive.bag", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "recordings").iterdir()
    assert f"recording {folder}" in ended.stdout
    assert "camera/front/image_raw: 5 messages" in ended.stdout
    assert "verdict: good" in ended.stdout
    assert sum(open_recording(folder).counts.values()) == 50


def test_a_log_of_another_kind_is_answered_with_the_command_that_takes_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "MH_01_easy")
    for kind, path, other in (("ros2", ros1_bag(tmp_path / "drive.bag", None), "ros1"), ("kitti", folder, "euroc")):
        if kind == "kitti":
            assert not importer(kind).recognises(path)
            assert importer(other).recognises(path)
            continue
        ended = run("import", kind, str(path))
        assert ended.returncode == 1
        assert f"run: fieldrig import {other} {path}" in ended.stderr


def test_an_unknown_importer_is_answered_with_the_choices() -> None:
    with pytest.raises(
        CaptureError, match=r"no importer called 'tape'; choose one of: euroc, gopro, kitti, pcap, ros1, ros2"
    ):
        importer("tape")


def test_a_log_is_taken_in_twice_only_when_somebody_says_so(tmp_path: Path) -> None:
    bag = ros1_bag(tmp_path / "drive.bag", None)
    assert run("import", "ros1", "drive.bag", cwd=tmp_path).returncode == 0
    (first,) = (tmp_path / "recordings").iterdir()
    ended = run("import", "ros1", "drive.bag", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == f"fieldrig: drive.bag was imported before, as {first}; say --again to have it twice\n"
    assert list((tmp_path / "recordings").iterdir()) == [first]
    assert run("import", "ros1", "drive.bag", "--again", cwd=tmp_path).returncode == 0
    bag.write_bytes(ros1_bag(tmp_path / "other.bag", "lz4").read_bytes())
    assert run("import", "ros1", "drive.bag", cwd=tmp_path).returncode == 0, "another log of that name"
    assert len(list((tmp_path / "recordings").iterdir())) == 3


def test_a_folder_is_known_again_by_its_files_and_a_capture_by_its_rig_too(tmp_path: Path) -> None:
    folder, place = a_folder(tmp_path / "MH_01_easy"), Workspace(tmp_path)
    made = importer("euroc").import_into(folder, place)
    assert imported_before(folder, place) == made
    (folder / "mav0/imu0/data.csv").write_text("#\n1,2,3,4,5,6,7\n")
    assert imported_before(folder, place) is None
    path = capture(tmp_path / "a.pcap", [(7502, data) for data in turn()])
    rig, other = a_rig(lidar=an_ouster(tmp_path)), a_rig(top=an_ouster(tmp_path))
    made = importer("pcap").import_into(path, place, rig=rig)
    assert imported_before(path, place, rig) == made
    assert imported_before(path, place, other) is None
    (made / "origin.sha256").write_text("nonsense\n")
    assert imported_before(path, place, rig) is None


@pytest.mark.parametrize("with_sizes", [True, False])
def test_a_log_is_known_again_under_another_name_and_by_a_part_of_it(tmp_path: Path, with_sizes: bool) -> None:
    place, drive = Workspace(tmp_path / "here"), ros1_bag(tmp_path / "drive.bag", None)
    made = [importer("ros1").import_into(drive, place)]
    folder = a_folder(tmp_path / "MH_01_easy")
    (folder / "readme.txt").write_text("flown on a Monday")
    made.append(importer("euroc").import_into(folder, place))
    inner = a_folder(tmp_path / "MH_02_easy") / "mav0"
    (inner / "imu0/data.csv").write_text("#\n1,2,3,4,5,6,7\n")
    made.append(importer("euroc").import_into(inner, place))
    for each in made if not with_sizes else ():  # as older imports are
        (each / "origin.sizes").unlink()
    found = [
        imported_before(path, place) for path in (drive.rename(tmp_path / "copy.bag"), folder / "mav0", inner.parent)
    ]
    assert found == made
    (folder / "mav0/imu0/data.csv").write_text("#\n2,2,3,4,5,6,7\n")
    assert imported_before(folder / "mav0", place) is None


def test_a_log_is_hashed_once_however_many_logs_of_its_name_were_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, path = Workspace(tmp_path), ros1_bag(tmp_path / "drive.bag", None)
    for _ in range(3):
        importer("ros1").import_into(path, place)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    hashed: list[Path] = []
    monkeypatch.setattr(
        "capture.importers.imported_before.sha256_of", lambda file: hashed.append(file) or sha256_of(file)
    )
    assert imported_before(path, place) is None
    assert hashed == [path]
    path.write_bytes(path.read_bytes() + b"another day")
    assert imported_before(path, place) is None
    assert hashed == [path], "a log of another size is not read"
