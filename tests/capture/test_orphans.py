"""Recorders that were killed in the middle of many files: the next start finds what they left and finishes it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capture.orphans import orphans
from capture.recording import open_recording
from capture.repair import repair
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, write_rig

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
