"""The tunes, and a speaker that nothing may hold up."""

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from capture import speaker as speakers
from capture.dashboard.announcer import Announcer
from capture.recorder_state import OUTCOMES, RecorderState, Sound
from capture.speaker import Speaker, sound_file
from capture.tunes import TUNES, samples, wav

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's, while a test runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wait_until(holds, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


class Played:
    """A player that remembers; what it is given is a whole WAV file."""

    def __init__(self) -> None:
        self.files: list[bytes] = []

    def __call__(self, path: Path) -> None:
        self.files.append(path.read_bytes())


def test_every_action_has_a_tune_and_no_two_are_alike() -> None:
    asked = {"start", "stop", "pause", "resume", "mark", "note", "snapshot", "episode_start", "alarm", *OUTCOMES}
    assert asked <= set(TUNES)
    for one, other in itertools.combinations(TUNES, 2):
        shorter = min(len(samples(one)), len(samples(other)))
        differs = np.abs(samples(one)[:shorter].astype(int) - samples(other)[:shorter]).mean()
        assert len(samples(one)) != len(samples(other)) or differs > 1000, (one, other)


@pytest.mark.parametrize("name", TUNES)
def test_a_tune_is_a_wav_file_that_begins_and_ends_in_silence_and_never_clips(name: str) -> None:
    with wave.open(io.BytesIO(wav(name))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        seconds = file.getnframes() / file.getframerate()
    assert 0.05 < seconds < 1.2
    made = samples(name).astype(int)
    assert max(abs(made[0]), abs(made[-1])) < 700
    assert 8000 < np.abs(made).max() < 32_000


def test_the_speaker_plays_one_after_the_other_and_an_unknown_name_like_a_mark() -> None:
    played = Played()
    speaker = Speaker([played])
    for name in ("start", "never heard of"):
        speaker.play(name)
    wait_until(lambda: len(played.files) == 2)
    speaker.close()
    assert played.files == [wav("start"), wav("mark")]


def test_a_player_that_fails_is_passed_over_for_the_next() -> None:
    def no_sound_card(path: Path) -> None:
        raise subprocess.CalledProcessError(1, "aplay")

    def uninstalled(path: Path) -> None:
        raise FileNotFoundError(path)

    played = Played()
    speaker = Speaker([no_sound_card, uninstalled, played])
    speaker.play("stop")
    wait_until(lambda: played.files == [wav("stop")])
    speaker.close()


def test_without_any_player_the_terminals_bell_rings_and_where_there_is_no_terminal_nothing_happens(
    monkeypatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(speakers.sys, "stderr", terminal)
    speaker = Speaker([])
    speaker.play("mark")
    wait_until(lambda: terminal.getvalue() == "\a")
    nobody = io.StringIO()
    monkeypatch.setattr(speakers.sys, "stderr", nobody)
    speaker.play("mark")
    speaker.close()
    assert (nobody.getvalue(), terminal.getvalue()) == ("", "\a")


def test_a_player_that_hangs_holds_up_nobody_and_the_newest_tunes_are_played_after_it() -> None:
    goes_on, heard = threading.Event(), []

    def hangs(path: Path) -> None:
        goes_on.wait(10)
        heard.append(path.read_bytes())

    speaker = Speaker([hangs])
    began_s = time.thread_time()
    for name in ["start"] * 500 + ["episode_start", "success", "stop"]:
        speaker.play(name)
    assert time.thread_time() - began_s < 0.5
    goes_on.set()
    wait_until(lambda: len(heard) >= 3)
    speaker.close()
    assert heard[-1] == wav("stop")
    assert len(heard) <= 4


def test_a_program_is_given_a_whole_file_and_its_failure_is_an_error_that_the_speaker_knows(tmp_path) -> None:
    copy = tmp_path / "heard.wav"
    program = tmp_path / "player"
    program.write_text(f'#!/bin/sh\ncp "$1" {copy}\n')
    program.chmod(0o755)
    speaker = Speaker([speakers._Program([str(program)])])
    speaker.play("discard")
    wait_until(lambda: copy.exists() and copy.read_bytes() == wav("discard"))
    speaker.close()
    with pytest.raises(subprocess.SubprocessError):
        speakers._Program(["false"])(copy)


def test_recorders_that_are_killed_leave_nothing_behind_but_one_set_of_sounds(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "tmp").mkdir()
    program = (
        "import time\nfrom capture.speaker import Speaker\nfrom capture.tunes import TUNES\n"
        "speaker = Speaker([lambda path: print(path, flush=True)])\n"
        "for name in TUNES:\n    speaker.play(name)\n    time.sleep(0.05)\n"
        "time.sleep(60)\n"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
        ) as speaking:  # fmt: skip
            for _ in TUNES:
                speaking.stdout.readline()
            speaking.send_signal(signal.SIGKILL)
    assert not list((tmp_path / "tmp").iterdir())
    assert len(list(cache.rglob("*.wav"))) == len(TUNES)


def test_a_sound_in_the_cache_that_is_torn_is_written_anew_and_where_none_can_be_the_bell_rings(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound_file("mark").write_bytes(wav("mark")[:100])
    assert sound_file("mark").read_bytes() == wav("mark")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    rung = io.StringIO()
    monkeypatch.setattr(rung, "isatty", lambda: True)
    monkeypatch.setattr(speakers.sys, "stderr", rung)
    speaker = Speaker([Played()])
    speaker.play("mark")
    wait_until(lambda: rung.getvalue() == "\a")
    speaker.close()


def test_the_laptop_plays_what_happens_once_and_the_alarm_until_somebody_has_seen_it(monkeypatch) -> None:
    monkeypatch.setattr("capture.dashboard.announcer.ALARM_EVERY_S", 0.3)
    heard, alarms = [], ["camera is gone"]

    class Listens:
        def play(self, name: str) -> None:
            heard.append(name)

    announcer = Announcer(Listens(), lambda: alarms)
    wait_until(lambda: heard.count("alarm") >= 3)
    alarms.clear()
    time.sleep(0.3)
    heard.clear()
    for count, name in [(7, "mark"), (7, "mark"), (8, "success"), (8, "success"), (0, ""), (1, "start")]:
        announcer.heard(RecorderState("recording", "van", sound=Sound(count, name)))
    time.sleep(0.6)
    announcer.close()
    assert heard == ["success", "start"], (
        "what was before the first state is old; a recorder that was started anew counts anew"
    )
