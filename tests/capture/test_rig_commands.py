"""fieldrig rig new, as a person meets it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import devices.finding
import fieldrig
from capture.errors import CaptureError
from devices.device import Found
from devices.errors import DeviceError
from devices.finding import Search
from devices.rig import load_rig
from tests.capture.test_preflight import filming

CAMERAS = [Found("mjpeg", f"Camera {n}", {"url": f"http://127.0.0.1:1/{n}"}) for n in (1, 2)]


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensors on the network of whoever runs the tests are not asked."""
    can_be_seen(monkeypatch, [])


def can_be_seen(monkeypatch: pytest.MonkeyPatch, found: Sequence[Found]) -> None:
    monkeypatch.setattr(devices.finding, "find_sensors", lambda *_: Search(found, {"oak": "no depthai"}))


def rig_new(workspace: Path, *words: str, answers: str = "") -> Result:
    words = ("rig", "new", *words, "--workspace", str(workspace))
    return CliRunner().invoke(fieldrig.command_line(words), words, input=answers)


def test_found_sensors_are_written_under_the_names_that_are_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    can_be_seen(monkeypatch, CAMERAS)
    done = rig_new(
        tmp_path, "van", "--yes", "--add", "marks port=9003", "--add", "mjpeg url=http://127.0.0.1:1/3 name=rear"
    )
    assert done.exit_code == 0, done.output
    rig = load_rig(tmp_path / "rigs" / "van.toml")
    assert (rig.name, list(rig.sensors)) == ("van", ["operator", "rear", "camera_1", "camera_2"])
    assert rig.sensors["camera_2"].own == {"url": "http://127.0.0.1:1/2"}
    assert "found Camera 1 (mjpeg)" in done.output
    assert "could not look for oak sensors: no depthai" in done.output
    assert f"fieldrig preflight {tmp_path}/rigs/van.toml" in done.output


def test_what_could_not_be_seen_is_told_though_nobody_is_asked_and_the_next_command_can_be_copied(
    tmp_path: Path,
) -> None:
    place = tmp_path / "our van"
    done = rig_new(place, "van", "--yes", "--add", "mjpeg url=http://127.0.0.1:1/stream name=front", "--add", "marks port=9003")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "front was not seen: no camera at http://127.0.0.1:1/stream: " in done.output
    assert "operator was not seen" not in done.output
    (command,) = [line.partition("run: ")[2] for line in done.output.splitlines() if "run: " in line]
    assert shlex.split(command) == ["fieldrig", "preflight", f"{place}/rigs/van.toml"]


def test_a_person_names_them_beside_their_pictures_and_leaves_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filming(20) as camera:
        can_be_seen(monkeypatch, [Found("mjpeg", "Camera 1", {"url": camera.url}), *CAMERAS])
        done = rig_new(tmp_path, answers="truck\nfront\n-\n\n")
    assert done.exit_code == 0, done.output
    assert list(load_rig(tmp_path / "rigs" / "truck.toml").sensors) == ["front", "camera_3"]
    assert (tmp_path / "rigs" / "truck.png").read_bytes().startswith(b"\x89PNG")
    assert "no picture: no camera at http://127.0.0.1:1/1" in done.output


def test_a_rig_is_written_over_only_by_force(tmp_path: Path) -> None:
    words = ("van", "--yes", "--no-pictures", "--add", "marks port=9003")
    assert rig_new(tmp_path, *words).exit_code == 0
    path = tmp_path / "rigs" / "van.toml"
    path.write_text(path.read_text() + "# measured by hand\n")
    refused = rig_new(tmp_path, *words)
    assert isinstance(refused.exception, CaptureError)
    assert "is there already; give another name, or --force" in str(refused.exception)
    assert "measured by hand" in path.read_text()
    assert rig_new(tmp_path, *words, "--force").exit_code == 0
    assert "measured by hand" not in path.read_text()


def test_a_name_that_would_not_load_writes_nothing(tmp_path: Path) -> None:
    done = rig_new(tmp_path, "My Van", "--yes", "--no-pictures", "--add", "marks port=9003")
    assert isinstance(done.exception, DeviceError)
    assert "use lower case letters" in str(done.exception)
    assert not (tmp_path / "rigs").exists()


def test_two_sensors_of_one_name_are_told(tmp_path: Path) -> None:
    done = rig_new(
        tmp_path, "van", "--yes", "--no-pictures", "--add", "marks port=1 name=a", "--add", "marks port=2 name=a"
    )
    assert isinstance(done.exception, DeviceError)
    assert "two sensors are called 'a'" in str(done.exception)


def test_nothing_found_says_what_was_looked_for_and_how_to_name_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.finding, "find_sensors", lambda *_: Search((), {}, ["USB cameras", "Livox lidars"]))
    done = rig_new(tmp_path, "van", "--yes")
    assert "looked for: USB cameras; Livox lidars" in done.output
    assert isinstance(done.exception, CaptureError)
    said, _, command = str(done.exception).partition("fieldrig rig new ")
    assert "Cameras on a network, robots and operators' buttons cannot be looked for" in said
    assert list(tmp_path.iterdir()) == []
    assert rig_new(tmp_path, *shlex.split(command), "--yes", "--search", "0", "--no-pictures").exit_code == 0
    assert list(load_rig(tmp_path / "rigs" / "van.toml").sensors) == ["camera"]


def test_a_name_cannot_leave_the_workspace(tmp_path: Path) -> None:
    done = rig_new(tmp_path / "ws", "../../escaped", "--yes", "--add", "marks port=9003")
    assert isinstance(done.exception, DeviceError)
    assert list(tmp_path.rglob("*escaped*")) == []


def test_a_workspace_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rigs").write_text("no folder")
    for pictures in ("--pictures", "--no-pictures"):
        done = rig_new(tmp_path, "van", "--yes", pictures, "--add", "marks port=9003")
        assert isinstance(done.exception, CaptureError)
        assert "give another --workspace" in str(done.exception)
