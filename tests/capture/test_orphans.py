"""Recorders that were killed in the middle of many files: the next start finds what they left and finishes it."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from capture.bag.rosbag import write_metadata
from capture.commands.record import _repair_orphans as repair_orphans
from capture.control.address import listening_addresses
from capture.control.client import RecorderClient
from capture.errors import CaptureError
from capture.orphans import orphans
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.repair import repair
from capture.verify import verify
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK
from tests.capture.chunks import chunks_of
from tests.capture.recordings import wait_for, write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig, write_rig

ROOT = Path(__file__).parent.parent.parent


def killed(folder: Path, after_s: float, *sizes: int) -> tuple[Path, Sender]:
    """What a recorder left that was killed after so many seconds."""
    state, action = free_ports(2)
    rig = write_rig(folder / "rig.toml", state, action)
    words = [sys.executable, "-m", "tests.capture.recording_process", rig, folder, *map(str, sizes)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with Sender({"state": state, "action": action}, 400, padding=50) as sender:
            time.sleep(after_s)
            process.send_signal(signal.SIGKILL)
    (left,) = (folder / "recordings").glob("2*")
    return left, sender


@pytest.mark.parametrize("keep", [None, 1_000_000])
def test_a_recorder_killed_between_its_files_leaves_every_message_of_them(tmp_path: Path, keep: int | None) -> None:
    sizes = [400_000] if keep is None else [400_000, keep]
    folder, sender = killed(tmp_path, random.Random(7).uniform(2, 3), *sizes)
    assert list(orphans(Workspace(tmp_path))) == [folder]
    said = {segment["name"]: segment for segment in json.loads((folder / "recording.json").read_text())["segments"]}
    assert said, "closed files are written down as they are closed"
    repair(folder)
    recording = open_recording(folder)
    assert verify(folder).damage == []
    for segment in recording.info.segments:
        if segment.name in said:
            assert segment.sha256 == said[segment.name]["sha256"]
    gone = sum(segment.counts["/robot/state"] for segment in recording.info.segments if segment.deleted)
    assert bool(gone) == (keep is not None)
    numbers = [int(each.sample.values[0]) for each in recording.samples(["robot/state"])]  # type: ignore[union-attr]
    assert numbers == list(range(gone, gone + len(numbers))), "something between or at the front is missing"
    assert len(sender.sent["state"]) - numbers[-1] < 0.5 * 400
    assert list(orphans(Workspace(tmp_path))) == []


def test_the_next_recording_repairs_what_the_last_one_left(tmp_path: Path) -> None:
    folder, _ = killed(tmp_path, 0.5)
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    words = [sys.executable, "-m", "fieldrig", "record", rig, "--workspace", tmp_path, "--for", "1s"]
    with Sender({"state": state, "action": action}, 100):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"repaired {folder.name}" in done.stdout.replace("\n", "")
    assert verify(folder).damage == []
    assert open_recording(folder).info.state == "repaired"


@pytest.mark.parametrize("error", [struct.error("unpack requires 31 bytes"), CaptureError("no space"), OSError("gone")])
def test_no_orphan_keeps_a_crew_from_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = write_recording(Workspace(tmp_path), segments=1)
    load_info(folder).model_copy(update={"state": "recording"}).save(folder)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("capture.repair.finish_cut_off", fail)
    repair_orphans(Workspace(tmp_path), Console())
    said = " ".join(capsys.readouterr().out.split())
    assert f"{folder.name} was left unfinished and cannot be repaired" in said
    assert str(error) in said
    assert ("a defect of fieldrig: error" in said) == isinstance(error, struct.error)


def test_a_torn_chunk_with_a_message_shorter_than_any_is_repaired_and_told(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), segments=1)
    (path,) = folder.glob("*.mcap")
    (start, end) = chunks_of(path)[-1]
    data = bytearray(path.read_bytes()[: end - 100])
    third = start + 9 + 40
    for _ in range(2):
        third += 9 + int.from_bytes(data[third + 1 : third + 9], "little")
    data[third + 1 : third + 9] = (12).to_bytes(8, "little")
    path.write_bytes(data)
    load_info(folder).model_copy(update={"state": "recording", "segments": ()}).save(folder)
    done = repair(folder)
    assert done.rescued == 1
    assert any(f"{path.name}: its last message is from a chunk that was cut off" in line for line in done.reasons)
    assert any(f"{path.name}.damaged-{start} holds bytes" in line for line in done.reasons)
    assert verify(folder).verdict == "doubtful"


def test_a_recording_in_progress_is_no_orphan(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    words = [sys.executable, "-m", "tests.capture.recording_process", rig, tmp_path]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(orphans(Workspace(tmp_path))) == []
        process.kill()
    assert len(list(orphans(Workspace(tmp_path)))) == 1


@contextlib.contextmanager
def standing_by(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Sender, RecorderClient]]:
    """A recorder in a process of its own that stands by, and what sends to it."""
    state, action = free_ports(2)
    rig = write_rig(folder / "rig.toml", state, action)
    words = [sys.executable, "-m", "fieldrig", "record", rig, "--workspace", folder, "--standby", "--no-page"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: bool(listening_addresses(Workspace(folder))))
            with Sender({"state": state, "action": action}, 200) as sender:
                yield process, sender, RecorderClient.find(Workspace(folder))
        finally:
            process.kill()


def kill(process: subprocess.Popen[bytes]) -> int:
    """Returns when, by this process's host time."""
    process.kill()
    killed_ns = HOST_CLOCK.now_ns()
    process.wait()
    return killed_ns


def test_a_recorder_killed_in_a_pause_leaves_the_pause(tmp_path: Path) -> None:
    with standing_by(tmp_path) as (process, _, recorder):
        folder = recorder.start()
        asked_ns = HOST_CLOCK.now_ns()
        ahead_ns = recorder.state().now_ns - asked_ns  # the clock may have been set between the two processes' anchors
        time.sleep(0.5)
        recorder.pause()
        time.sleep(0.3)
        recorder.resume()
        time.sleep(0.3)
        recorder.pause()
        paused_ns = HOST_CLOCK.now_ns() + ahead_ns
        time.sleep(2.5)
        killed_ns = kill(process) + ahead_ns
    repair(folder)
    recording = open_recording(folder)
    first, last = recording.info.pauses
    assert 0.25e9 < first.to_ns - first.from_ns < 2e9
    assert paused_ns - 1e9 < last.from_ns < paused_ns
    assert recording.info.ended_ns is not None
    assert killed_ns - 1.5e9 < last.to_ns == recording.info.ended_ns < killed_ns
    arrivals = [each.packet.stamps.host_ns for each in recording.packets()]
    assert arrivals[-1] < last.from_ns
    assert verify(folder).damage == []


def test_a_recording_that_is_just_being_finished_is_repaired_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are closed, its recording.json still says ``recording``: a second recorder must not take it for an orphan."""
    reached, go_on = threading.Event(), threading.Event()

    def slow(*words: object) -> None:
        reached.set()
        assert go_on.wait(20)
        write_metadata(*words)

    monkeypatch.setattr("capture.recording_folder.write_metadata", slow)
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 200):
            folder = recorder.start()
            time.sleep(0.5)
            stopping = threading.Thread(target=recorder.stop)
            stopping.start()
            assert reached.wait(10)
            assert list(orphans(Workspace(tmp_path))) == []
            with pytest.raises(CaptureError, match="still being recorded"):
                repair(folder)
            now = recorder.state()
            assert (now.mode, now.recording_id, recorder.is_recording) == ("closing", folder.name, False)
            go_on.set()
            stopping.join()
    assert recorder.state().mode == "standby"
    assert not repair(folder).done
    recording = open_recording(folder)
    assert (recording.info.state, recording.info.verdict) == ("finished", "good")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["SHA256SUMS", f"{folder.name}_0.mcap", "metadata.yaml", "recording.json"]
    )


@pytest.mark.parametrize("after_ms", [0, 15, 40, 80])
def test_a_recorder_killed_while_closing_leaves_a_whole_recording(tmp_path: Path, after_ms: int) -> None:
    with standing_by(tmp_path) as (process, sender, recorder):

        def stop() -> None:
            with contextlib.suppress(CaptureError):  # nobody answers any more
                recorder.stop()

        folder = recorder.start()
        time.sleep(1)
        stopping = threading.Thread(target=stop)
        stopping.start()
        time.sleep(after_ms / 1e3)
        asked_ns = kill(process) - after_ms * 1_000_000
        stopping.join()
    written_ns = max(path.stat().st_mtime_ns for path in folder.glob("*.mcap"))
    for each in orphans(Workspace(tmp_path)):
        assert each == folder
    repair(folder)
    assert list(orphans(Workspace(tmp_path))) == []
    recording = open_recording(folder)
    numbers = [int(each.sample.values[0]) for each in recording.samples(["robot/state"])]  # type: ignore[union-attr]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert asked_ns - written_ns < 3e9, "more than a busy machine holds it up"
    assert min(asked_ns, written_ns) - sender.sent["state"][numbers[-1]] < 0.25e9
    assert verify(folder).damage == []
