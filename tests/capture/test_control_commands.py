"""A crew's day from the terminal: a recorder that stands by, steered by commands of other terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from capture.recording import open_recording
from capture.verify import verify
from devices.host_clock import HOST_CLOCK
from devices.samples import Mark
from tests.capture.rigs import Sender, free_ports, write_rig

ROOT = Path(__file__).parent.parent.parent


def fieldrig(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )


def test_a_recorder_that_stands_by_is_steered_from_another_terminal(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    where = ("--workspace", tmp_path)
    alone = fieldrig("mark", "door closed", *where)
    assert (alone.returncode, alone.stderr.count("\n")) == (1, 1)
    assert "no recorder runs in" in alone.stderr
    words = [sys.executable, "-m", "fieldrig", "record", rig, *where, "--standby", "--task", "fold"]
    with Sender({"state": state, "action": action}, 100):
        recorder = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert recorder.stdout is not None
        assert recorder.stdout.readline().startswith("standing by")
        try:
            second = fieldrig("record", rig, *where)
            told = rf"[^\n]*a recorder of the rig 'bench' runs in {tmp_path} already \(process {recorder.pid}\); end it first\n"
            assert (second.returncode, second.stdout) == (1, "")
            assert re.fullmatch(told, second.stderr)
            early = fieldrig("mark", "too early", *where)
            assert "nothing is being recorded; start a recording first" in early.stderr
            begun = fieldrig("recorder", "start", *where)
            assert begun.returncode == 0, begun.stderr
            pressed_ns = HOST_CLOCK.now_ns()
            press = subprocess.Popen(
                [sys.executable, "-m", "fieldrig", "mark", "door", "closed", *where],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            begun_ns = HOST_CLOCK.now_ns()
            assert press.communicate() == ("marked: door closed\n", None)
            for said, *words in (
                ("marked pothole", "mark", "--kind", "pothole"),
                ("note taken: rain", "note", "rain"), ("episode begun", "episode", "start"), ("episode ended: success", "episode", "success"),
                ("episode begun: wipe it", "episode", "start", "wipe", "it"),
                ("paused, in the middle of the episode 'wipe it': what is left out is missing in it", "recorder", "pause"),
                ("episode ended: discard", "episode", "discard"), ("going on", "recorder", "resume"),
                ("paused", "recorder", "pause"), ("going on", "recorder", "resume"), ("alarms seen", "recorder", "acknowledge"),
                ("operator: Ann; site: yard; consents: c1, c2",
                 "recorder", "describe", "--operator", "Ann", "--consent", "c1", "--consent", "c2", "--site", "yard"),
                ("site: none", "recorder", "describe", "--site", ""),
            ):  # fmt: skip
                done = fieldrig(*words, *where)
                assert (done.returncode, done.stdout) == (0, f"{said}\n"), done.stderr
            assert "say what is to change" in fieldrig("recorder", "describe", *where).stderr
            assert "say one of: start, success, failure, discard" in fieldrig("episode", "maybe", *where).stderr
            said_state = json.loads(fieldrig("recorder", "state", *where).stdout)
            assert (said_state["mode"], said_state["episode"]["done"]) == ("recording", {"success": 1, "discard": 1})
            ended = fieldrig("recorder", "stop", *where)
            assert ended.returncode == 0, ended.stderr
        finally:
            recorder.send_signal(signal.SIGINT)
            assert recorder.wait(timeout=60) == 0
            recorder.stdout.close()
    folder = Path(ended.stdout.removeprefix("recorded ").strip())
    recording = open_recording(folder)
    marks = [each.sample for each in recording.samples(recording.streams_of(Mark))]
    said_marks = [(mark.kind, mark.text) for mark in marks if isinstance(mark, Mark)]
    assert said_marks == [
        ("mark", "door closed"), ("pothole", ""), ("note", "rain"), ("episode_start", "fold"), ("episode_stop", "fold"),
        ("episode_start", "wipe it"), ("episode_stop", "wipe it"),
    ]  # fmt: skip
    info = recording.info
    assert pressed_ns - 20_000_000 < info.marks[0].t_ns < begun_ns + 10_000_000, (
        "the mark is of the press, not of when Python had started"
    )
    assert (info.task, info.operator, info.site, info.consent_ids) == ("fold", "Ann", "", ("c1", "c2"))
    assert (len(recording.info.pauses), recording.info.episodes[0].outcome) == (2, "success")
    for wanted in ("rain", "pothole"):
        assert folder.name in fieldrig("list", wanted, *where).stdout
    assert verify(folder).damage == []
    assert not list(tmp_path.glob("recordings/.recorder-*"))


def test_without_a_page_the_recorder_itself_is_heard(tmp_path: Path) -> None:
    player, heard = tmp_path / "bin" / "paplay", tmp_path / "heard"
    player.parent.mkdir()
    player.write_text(f"#!/bin/sh\necho played >> {heard}\n")
    player.chmod(0o755)
    state, action = free_ports(2)
    words = ["record", write_rig(tmp_path / "rig.toml", state, action), "--workspace", tmp_path, "--no-page"]
    with (
        Sender({"state": state, "action": action}, 100),
        subprocess.Popen(
            [sys.executable, "-m", "fieldrig", *map(str, words)],
            cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {"PATH": f"{player.parent}:{os.environ['PATH']}"},
        ) as recorder,
    ):  # fmt: skip
        until = time.monotonic() + 60
        while fieldrig("mark", "now", "--workspace", tmp_path).returncode and time.monotonic() < until:
            time.sleep(0.2)
        while not heard.exists() and time.monotonic() < until:
            fieldrig("mark", "again", "--workspace", tmp_path)
        recorder.send_signal(signal.SIGINT)
    assert heard.exists()
