"""The commands of this stage: a mistake is one line that says what to do, and exit code 1."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from capture.attend import record
from capture.commands.amounts import seconds
from capture.commands.record import close_recording
from capture.control.address import listening_addresses
from capture.control.client import RecorderClient
from capture.errors import CaptureError
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import Interruption, RecordingInfo
from capture.session import Session
from capture.terminal.screen import Screen
from capture.workspace import Workspace
from tests.capture.recordings import wait_for
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
    assert 5 < time.monotonic() - started < 50
    line = only_line(ended)
    assert re.search(r"nothing came from robot in \d+\.\d s", line)
    (folder,) = (tmp_path / "recordings").iterdir()
    assert str(folder) in line
    assert open_recording(folder).info.verdict == "bad"


def test_a_recording_of_nothing_ends_with_exit_code_1(tmp_path: Path) -> None:
    ended = run("record", write_rig(tmp_path / "rig.toml", *free_ports(2)), "--workspace", tmp_path, "--for", "0.2s")
    assert "nothing was recorded" in only_line(ended)


def ended_while_recording(tmp_path: Path, *options: str, hz: float | None) -> subprocess.CompletedProcess[str]:
    """A recorder that stood by is told to record, and after a second gets a Ctrl+C."""
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    words = [sys.executable, "-m", "fieldrig", "record", rig, "--workspace", tmp_path, "--no-page", *options]
    with contextlib.ExitStack() as stack:
        if hz is not None:
            stack.enter_context(Sender({"state": state, "action": action}, hz))
        process = stack.enter_context(
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        wait_for(lambda: bool(listening_addresses(Workspace(tmp_path))))
        RecorderClient.find(Workspace(tmp_path)).start()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said, failed = process.communicate(timeout=30)
    return subprocess.CompletedProcess(words, process.returncode, said, failed)


@pytest.mark.parametrize("options", [("--standby",), ("--snapshot", "5s")])
def test_a_recorder_that_stood_by_and_is_ended_while_it_records_shows_what_it_made(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = ended_while_recording(tmp_path, *options, hz=200)
    (folder,) = (path for path in (tmp_path / "recordings").iterdir() if path.is_dir())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count(f"recording {folder}") == 1
    assert "verdict: good" in ended.stdout
    assert open_recording(folder).info.verdict == "good"


def test_a_bad_take_that_a_recorder_which_stood_by_ends_with_is_exit_code_1(tmp_path: Path) -> None:
    ended = ended_while_recording(tmp_path, "--standby", hz=None)
    assert "nothing was recorded" in only_line(ended)
    assert "verdict: bad" in ended.stdout


def test_a_recording_that_takes_long_to_close_is_said_to_be_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, shown = Session.finish, io.StringIO()

    def finish_slowly(session: Session, interruptions: tuple[Interruption, ...]) -> RecordingInfo:
        time.sleep(0.5)
        return finish(session, interruptions)

    monkeypatch.setattr(Session, "finish", finish_slowly)
    with (
        Recorder(robot_rig(*free_ports(2)), Workspace(tmp_path)) as recorder,
        Screen(Console(file=shown, force_terminal=True, width=80), list) as screen,
    ):
        folder = recorder.start()
        recorder.run()
        close_recording(recorder, screen)
    assert open_recording(folder).info.state == "finished"
    assert f"closing  {folder.name}" in shown.getvalue()


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
    starts_ns = [segment.start_ns for segment in recording.info.segments]
    assert 3 <= len(starts_ns) <= 5, "a busy machine may be late, never early"
    assert all(0.2 < (later - earlier) / 1e9 < 2.5 for earlier, later in pairwise(starts_ns))
    for stream in ("robot/state", "robot/action"):
        counts = [segment.counts[f"/{stream}"] for segment in recording.info.segments]
        assert [each.sequence for each in recording.packets([stream])] == list(range(sum(counts)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "2s", "--standby"], "--for 2s goes with neither --standby nor --snapshot"),
        (["--for", "2s", "--snapshot", "30s"], "--for 2s goes with neither"),
        (["--for", "soon"], "--for 'soon' is no length of time; write it like 20s"),
        (["--for", "-5s"], "--for '-5s' is no length of time"),
        (["--for", "9" * 400], "is no length of time"),
        (["--snapshot", "0"], "--snapshot '0' is no length of time"),
        (["--keep", "5XB"], "--keep '5XB' is no size; write it like 500MB or 5GB"),
        (["--keep", "1MB"], "--keep '1MB' is too small: at least 5 MB"),
        (["--split-size", "0"], "--split-size '0' is no size"),
        (["--split-size", "0.0000001MB"], "--split-size '0.0000001MB' is too small: at least 1 MB"),
        (["--split-size", "3GB", "--keep", "5GB"], "--split-size 3GB is more than half of --keep 5GB"),
        (["--split-time", "0.1s"], "--split-time '0.1s' is too short: at least 1 s"),
        (["--page-port", "99999"], "--page-port 99999 is no port: give a number from 1 to 65535"),
        (["--page-port", "-1"], "--page-port -1 is no port"),
        (["--page-host", "nonsense"], "--page-host nonsense is no address of this machine"),
        (["--page-host", "192.0.2.77"], "--page-host 192.0.2.77 is no address of this machine"),
        (["--page-host", ""], "--page-host '' is no address of this machine"),
        (["--foxglove", "99999"], "--foxglove 99999 is no port"),
        (["--foxglove", "8765", "--no-page"], "leave out --no-page"),
        (["--task", "a\0"[:1] + "\x1b[2J"], "task: 'a\\x1b[2J' holds control characters"),
        (["--operator", "a\udcff"], "operator: 'a\\udcff' is no text in UTF-8"),
    ],
)
def test_an_option_that_cannot_be_is_one_line_that_names_it_and_nothing_is_begun(
    tmp_path: Path, options: list[str], said: str
) -> None:
    rig = write_rig(tmp_path / "rig.toml", *free_ports(2))
    assert said in only_line(run("record", rig, "--workspace", tmp_path / "here", *options))
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    rig = write_rig(tmp_path / "rig.toml", *free_ports(2))
    for place in (rig, rig / "under"):
        assert f"{rig} is a file; give a folder" in only_line(run("record", rig, "--workspace", place))
    if os.geteuid() != 0:  # who may write anywhere
        (tmp_path / "locked").mkdir(mode=0o555)
        line = only_line(run("record", rig, "--workspace", tmp_path / "locked"))
        assert "locked cannot be written to; give another folder" in line
        (tmp_path / "locked").rmdir()
    assert "Is a directory" in only_line(run("record", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]
