"""The commands of this stage: a mistake is one line that says what to do, and exit code 1."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capture.attend import record
from capture.commands.amounts import seconds
from capture.errors import CaptureError
from capture.recording import open_recording
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig, write_rig

ROOT = Path(__file__).parent.parent.parent


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", *words], capture_output=True, text=True, cwd=ROOT, timeout=60
    )


def only_line(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        return record(robot_rig(state, action), Workspace(tmp_path_factory.mktemp("made")), duration_s=1)


def test_mistakes_in_a_rig_file_name_the_file_and_the_key(tmp_path: Path) -> None:
    assert "no rig file at" in only_line(run("record", tmp_path / "rig.toml"))
    rig = write_rig(tmp_path / "rig.toml", 1, 2)
    rig.write_text(rig.read_text(encoding="utf-8") + "colour = 3\n", encoding="utf-8")
    line = only_line(run("record", rig))
    assert "unknown key 'colour'" in line
    assert str(rig) in line
    assert list(tmp_path.iterdir()) == [rig]


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", state))
        ended = run("record", write_rig(tmp_path / "rig.toml", state, action), "--workspace", tmp_path)
    assert f"UDP port {state} is in use" in only_line(ended)


def test_a_silent_sensor_is_one_line_after_five_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    ended = run("record", write_rig(tmp_path / "rig.toml", *free_ports(2)), "--workspace", tmp_path, "--for", "1min")
    assert 5 < time.monotonic() - started < 15
    line = only_line(ended)
    assert "nothing came from robot in 5." in line
    (folder,) = (tmp_path / "recordings").iterdir()
    assert str(folder) in line
    assert open_recording(folder).info.verdict == "bad"


def test_a_recording_of_nothing_ends_with_exit_code_1(tmp_path: Path) -> None:
    ended = run("record", write_rig(tmp_path / "rig.toml", *free_ports(2)), "--workspace", tmp_path, "--for", "0.2s")
    assert "nothing was recorded" in only_line(ended)


def test_info_verify_and_repair_tell_of_a_whole_recording_by_its_id(made: Path) -> None:
    workspace = made.parent.parent
    info = run("info", made.name, "--workspace", workspace)
    assert info.returncode == 0
    assert "robot/state" in info.stdout
    assert "verdict: good" in info.stdout
    assert "verdict: good" in run("verify", made.name, "--workspace", workspace).stdout
    assert "nothing to repair" in run("repair", made).stdout


def test_a_truncated_recording_is_one_line_and_its_repair_succeeds(made: Path) -> None:
    bag = next(made.glob("*.mcap"))
    os.truncate(bag, bag.stat().st_size - 10_000)
    for command in ("info", "verify"):
        assert f"is cut short; run: fieldrig repair {made}" in only_line(run(command, made))
    ended = run("repair", made)
    assert ended.returncode == 0
    assert "is readable" in ended.stdout.replace("\n", " ")
    assert run("verify", made).returncode == 0


def test_a_damaged_recording_fails_verification_in_one_line(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    bag = next(folder.glob("*.mcap"))
    data = bytearray(bag.read_bytes())
    data[len(data) // 2] ^= 0xFF
    bag.write_bytes(data)
    assert "is damaged: " in only_line(run("verify", folder))


@pytest.mark.parametrize(("text", "expected"), [("20s", 20), ("1.5min", 90), ("2h", 7200), ("3", 3), ("10 s", 10)])
def test_lengths_of_time_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0s", "soon", "-3s", "5 days"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(CaptureError, match="write it like 20s"):
        seconds(text)


def test_split_time_begins_a_new_file_that_often(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    with Sender({"state": state, "action": action}, 100):
        ended = run("record", rig, "--workspace", tmp_path, "--no-page", "--for", "4.5s", "--split-time", "1s")
    assert ended.returncode == 0, ended.stderr
    recording = open_recording(next((tmp_path / "recordings").glob("2*")))
    assert len(recording.files) in (4, 5)
    for stream in ("robot/state", "robot/action"):
        counts = [segment.counts[f"/{stream}"] for segment in recording.info.segments]
        assert all(60 < count < 140 for count in counts[:-1])
        assert [each.sequence for each in recording.packets([stream])] == list(range(sum(counts)))
