"""A recorder in a real terminal, which is closed, suspended, frozen, pulled away and typed into; the recording is whole after each."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from capture.control.client import RecorderClient
from capture.errors import CaptureError
from capture.recorder_state import RecorderState, StreamState
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.terminal.keyboard import ENTER, ERASE, ESCAPE, keys_in
from capture.terminal.keys import HELP
from capture.terminal.look import look
from capture.verify import verify
from capture.workspace import Workspace
from devices.samples import Mark
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, write_rig

ROOT = Path(__file__).parent.parent.parent
HZ = 100


class Terminal:
    """A terminal of 80 columns, and what runs in it. shown: what it has shown so far, while somebody looks."""

    def __init__(self, words: list[str], *, is_controlling: bool = True) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.process = subprocess.Popen(
            words, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=os.environ | {"TERM": "xterm"},
            start_new_session=True, preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if is_controlling else None,  # noqa: PLW1509
        )  # fmt: skip
        os.close(slave)
        self._is_open, self._is_read = True, threading.Event()
        self._is_read.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def freeze(self) -> None:
        """It takes nothing any more, as over a network that is gone."""
        self._is_read.clear()

    def thaw(self) -> None:
        self._is_read.set()

    def close(self) -> None:
        """Whoever has it is hung up on."""
        if self._is_open:
            self._is_open = False
            self._is_read.set()
            self._reader.join()
            os.close(self._master)

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def _read(self) -> None:
        while self._is_open:
            self._is_read.wait()
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    return


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Path]:
    """A rig that is being sent to."""
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, HZ):
        yield write_rig(tmp_path / "rig.toml", state, action)


def record(rig: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "fieldrig", "record", str(rig), "--workspace", str(rig.parent), "--no-page", *options]


@contextlib.contextmanager
def terminal(words: list[str], *, is_controlling: bool = True) -> Iterator[Terminal]:
    opened = Terminal(words, is_controlling=is_controlling)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.close()
        opened.process.wait()


def state_in(rig: Path) -> RecorderState:
    return RecorderClient.find(Workspace(rig.parent)).state()


def when(rig: Path, holds: Callable[[RecorderState], bool]) -> RecorderState:
    """The first state of which this is true."""
    found: list[RecorderState] = []

    def is_true() -> bool:
        with contextlib.suppress(CaptureError):
            found.append(state_in(rig))
            return holds(found[-1])
        return False

    wait_for(is_true)
    return found[-1]


def whole(rig: Path) -> Path:
    """The one recording that there is, once it is finished; nothing of it is damaged, and nothing is missing in it."""
    (folder,) = (path for path in Workspace(rig.parent).recordings.iterdir() if path.is_dir())
    info = load_info(folder)
    assert info.state == "finished", info.state
    assert (info.verdict, info.reasons) == ("good", ())
    checked = verify(folder)
    assert (checked.damage, [each.missing for each in checked.streams]) == ([], [0] * len(checked.streams))
    assert info.counts["robot/state"] > HZ
    return folder


# ---- how it ends


def hang_up(shown: Terminal) -> None:
    shown.close()


def kill(shown: Terminal) -> None:
    shown.process.send_signal(signal.SIGTERM)


def interrupt_twice(shown: Terminal) -> None:
    shown.type("\x03\x03")


def interrupt_again_while_it_closes(shown: Terminal) -> None:
    for _ in range(10):
        shown.type("\x03")
        time.sleep(0.05)


def quit_by_key(shown: Terminal) -> None:
    shown.type("\x1c")


@pytest.mark.parametrize("end", [hang_up, kill, interrupt_twice, interrupt_again_while_it_closes, quit_by_key])
def test_however_a_recorder_is_ended_the_recording_is_whole_and_no_traceback_is_shown(rig: Path, end) -> None:
    with terminal(record(rig)) as shown:
        when(rig, lambda state: state.elapsed_s > 2)
        end(shown)
        assert shown.wait() == 0
    assert "Traceback" not in shown.shown
    assert "fails" not in shown.shown
    whole(rig)


def test_ctrl_z_suspends_no_recorder_and_says_why(rig: Path) -> None:
    with terminal(record(rig)) as shown:
        when(rig, lambda state: state.elapsed_s > 1)
        shown.type("\x1a")
        os.kill(shown.process.pid, signal.SIGTSTP)
        wait_for(lambda: "a recorder that is suspended loses what arrives" in shown.shown)
        before = state_in(rig).streams[0].received
        assert psutil.Process(shown.process.pid).status() != psutil.STATUS_STOPPED
        when(rig, lambda state: state.streams[0].received > before + HZ)
        shown.type("\x03")
        assert shown.wait() == 0
    whole(rig)


def test_one_that_was_stopped_nevertheless_goes_on_where_it_was_and_its_keys_work(rig: Path) -> None:
    with terminal(record(rig)) as shown:
        when(rig, lambda state: state.elapsed_s > 1)
        shown.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        shown.process.send_signal(signal.SIGCONT)
        shown.type(" ")
        when(rig, lambda state: len(state.marks) == 1)
        shown.type("\x03")
        assert shown.wait() == 0
    whole(rig)


def test_in_the_background_of_a_shell_it_records_and_in_the_foreground_it_has_the_keys(rig: Path) -> None:
    with terminal(["bash", "--norc", "--noediting", "-i"]) as shell:
        shell.type(" ".join(record(rig)) + " &\n")
        pid = when(rig, lambda state: state.elapsed_s > 1) and int(re.findall(r"\[1\] (\d+)", shell.shown)[0])
        shell.type("echo the shell has the terminal\n")
        when(rig, lambda state: state.elapsed_s > 2)
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED
        assert "\nthe shell has the terminal" in shell.shown
        shell.type("fg\n")
        time.sleep(0.5)
        shell.type(" ")
        when(rig, lambda state: len(state.marks) == 1)
        shell.type("\x03")
        wait_for(lambda: not psutil.pid_exists(pid))
        shell.type("echo echo is on again\n")
        wait_for(lambda: shell.shown.count("echo is on again") == 2)
    whole(rig)


def test_nohup_keeps_it_alive_when_the_terminal_is_closed(rig: Path) -> None:
    with subprocess.Popen(
        ["nohup", *record(rig)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        when(rig, lambda state: state.elapsed_s > 1)
        process.send_signal(signal.SIGHUP)
        when(rig, lambda state: state.elapsed_s > 2.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    whole(rig)


# ---- what it shows costs nothing


def test_a_terminal_that_takes_nothing_any_more_holds_up_neither_a_recording_nor_its_end(rig: Path) -> None:
    with terminal(record(rig, "--for", "5s")) as shown:
        when(rig, lambda state: state.elapsed_s > 1)
        shown.freeze()
        folders = Workspace(rig.parent).recordings
        wait_for(lambda: [load_info(each).state for each in folders.iterdir() if each.is_dir()] == ["finished"], 12)
        shown.thaw()
        assert shown.wait() == 0
    info = load_info(whole(rig))
    assert 4.5 < (info.ended_ns - info.started_ns) / 1e9 < 6


def test_a_pipe_that_nobody_reads_any_more_ends_no_recording(rig: Path) -> None:
    with subprocess.Popen(
        record(rig, "--standby"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "standing by\n"
        process.stdout.close()
        for _ in range(2):
            RecorderClient.find(Workspace(rig.parent)).start()
            when(rig, lambda state: state.elapsed_s > 1.2)
            RecorderClient.find(Workspace(rig.parent)).stop()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    for folder in (path for path in Workspace(rig.parent).recordings.iterdir() if path.is_dir()):
        assert load_info(folder).verdict == "good"


def test_all_of_it_fits_80_columns_and_no_line_is_cut(rig: Path) -> None:
    with terminal(record(rig, "--task", "fold [the] towel")) as shown:
        when(rig, lambda state: state.elapsed_s > 1.5)
        shown.type("e")
        wait_for(lambda: "episode: fold [the] towel" in shown.shown)
        shown.type("\x03")
        assert shown.wait() == 0
    lines = [re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", line).rstrip() for line in re.split("[\r\n]+", shown.shown)]
    assert max(len(line) for line in lines if str(rig.parent) not in line) <= 80
    assert not [line for line in lines if "…" in line]
    for word in ("stream", "packets", "lost", "last", "space mark", "q end"):
        assert any(word in line for line in lines), word


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_files_it_records_and_no_file_of_its_own_takes_their_place(rig: Path, closed: str) -> None:
    with subprocess.Popen(["sh", "-c", f'exec "$@" {closed}', "sh", *record(rig)], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        when(rig, lambda state: state.elapsed_s > 1.5)
        for number in range(3):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path(os.devnull)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    whole(rig)


def test_an_alarm_that_was_seen_at_the_terminal_is_seen_everywhere(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    with Sender({"state": state, "action": action}, HZ) as sender, terminal(record(rig, "--standby")) as shown:
        when(rig, lambda state: state.streams[0].received > HZ)
        sender.stop()
        assert "nothing from robot for" in when(rig, lambda state: len(state.unseen_alarms) == 1).unseen_alarms[0]
        shown.type("a")
        assert len(when(rig, lambda state: not state.unseen_alarms).alarms) == 1
        wait_for(lambda: "alarms seen" in shown.shown)
        shown.type("\x03")
        assert shown.wait() == 0


def test_long_names_and_great_figures_are_whole_in_80_columns() -> None:
    name = "camera_front_left_wide/image"
    streams = tuple(
        StreamState(
            f"{name}_{n}",
            "jpeg",
            received=12_345_678,
            rate_hz=1_234.5,
            bytes_s=98.7e6,
            lost=4_321,
            jitter_ms=123.45,
            silent_s=1234.5,
        )
        for n in range(3)
    )
    gone = "camera_front_left_wide/image_0: http://192.168.178.35:8080/stream closed the connection; is the camera still up?"
    state = RecorderState("recording", "van", (replace(streams[0], failure=gone), *streams[1:]), elapsed_s=4021.0,
                          recording_id="20260131T104200Z-van-x7d2", file_bytes=8_600_000_000, alarms=(gone,))  # fmt: skip
    shown = io.StringIO()
    Console(file=shown, width=80, markup=False).print(look(state, HELP))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown.getvalue()
    for figure in ("12345678", "1234.5", "98.70", "4321", "123.45", "1234.5 s ago", "gone"):
        assert sum(figure in line for line in lines) >= 1, figure
    words = " ".join(shown.getvalue().split())
    assert gone in words
    assert all(key in words for key in HELP[0].split("   "))


# ---- what is typed


def test_keys_are_told_from_arrows_function_keys_and_alt_whose_letters_do_nothing() -> None:
    assert keys_in("sé \r\x7f\b") == ["s", "é", " ", ENTER, ERASE, ERASE]
    assert keys_in("\x1b[D\x1b[3~\x1bOP\x1b[1;5Cd\x1bd\x1b[200~") == ["d"]
    assert keys_in("\x1b") == [ESCAPE]


def test_a_day_by_keys_alone_is_in_the_recording(rig: Path) -> None:
    with terminal(record(rig, "--standby")) as shown:
        wait_for(lambda: "q end" in shown.shown)

        def about(*words: str) -> None:
            shown.type("i")
            for each in words:
                shown.type(f"\x15{each}\r")

        about("fold", "Änne", "yard", "", "c-17, c-18")
        when(rig, lambda state: state.consent_ids == ("c-17", "c-18"))
        shown.type("R")  # caps lock
        when(rig, lambda state: state.mode == "recording")
        shown.type("n")
        shown.type("dör closedd\x7f")
        time.sleep(0.3)
        assert not state_in(rig).episode.done, "what is typed into a note is no command"
        shown.type("\r")
        when(rig, lambda state: [mark.text for mark in state.marks] == ["dör closed"])
        shown.type("\x1b[D\x1b[A")  # arrows
        shown.type("nnever mind\x1b")
        time.sleep(0.4)
        for key in ("e", "e", "e", "d", "p", "p", " "):
            before = state_in(rig).sound.count
            shown.type(key)
            when(rig, lambda state, before=before: state.sound.count > before)
            time.sleep(0.5)  # a key that comes sooner is the same press, held
        shown.type("r")
        wait_for(lambda: "press r again to stop" in shown.shown)
        assert state_in(rig).mode == "recording"
        time.sleep(0.5)
        shown.type("r")
        when(rig, lambda state: state.mode == "standby")
        shown.type("qqq")
        time.sleep(0.5)
        assert shown.process.poll() is None, "a pedal that bounces ends nothing"
        shown.type("q")
        assert shown.wait() == 0
    folder = whole(rig)
    recording = open_recording(folder)
    said = [each.sample for each in recording.samples(recording.streams_of(Mark))]
    assert [(mark.kind, mark.text) for mark in said if isinstance(mark, Mark)] == [
        ("note", "dör closed"), ("episode_start", "fold"), ("episode_stop", "fold"), ("episode_start", "fold"),
        ("episode_stop", "fold"), ("mark", ""),
    ]  # fmt: skip
    info = recording.info
    assert (info.task, info.operator, info.site, info.consent_ids) == ("fold", "Änne", "yard", ("c-17", "c-18"))
    assert [episode.outcome for episode in info.episodes] == ["success", "discard"]
    assert len(info.pauses) == 1


def test_a_pedal_on_a_line_that_controls_nobody_has_its_keys(rig: Path) -> None:
    with terminal(record(rig), is_controlling=False) as shown:
        wait_for(lambda: "q end" in shown.shown)
        shown.type(" ")
        when(rig, lambda state: len(state.marks) == 1 and state.elapsed_s > 1.5)
        shown.process.send_signal(signal.SIGTERM)
        assert shown.wait() == 0
    whole(rig)


@pytest.mark.parametrize("pause_s", [0.15, 0.3, 0.6])
def test_a_quick_double_press_stops_and_ends_as_a_slow_one_does(rig: Path, pause_s: float) -> None:
    with terminal(record(rig, "--standby")) as shown:
        wait_for(lambda: "q end" in shown.shown)
        shown.type("r")
        when(rig, lambda state: state.mode == "recording" and state.elapsed_s > 1.5)
        for _ in range(2):
            shown.type("r")
            time.sleep(pause_s)
        when(rig, lambda state: state.mode == "standby")
        for _ in range(2):
            shown.type("q")
            time.sleep(pause_s)
        assert shown.wait() == 0
    whole(rig)


@pytest.mark.parametrize("repeated_s", [0.03, 0.092])
def test_a_key_that_is_held_stops_nothing_by_its_own_repeating(rig: Path, repeated_s: float) -> None:
    with terminal(record(rig)) as shown:
        when(rig, lambda state: state.elapsed_s > 1.5)
        for key in "rq":
            shown.type(key)
            time.sleep(0.5)
            for _ in range(20):
                shown.type(key)
                time.sleep(repeated_s)
        assert state_in(rig).mode == "recording"
        assert shown.process.poll() is None
        assert "press r again to stop" in shown.shown
        time.sleep(0.5)
        shown.type("q")
        assert shown.wait() == 0
    whole(rig)


def test_a_key_that_is_held_is_one_press(rig: Path) -> None:
    with terminal(record(rig)) as shown:
        when(rig, lambda state: state.elapsed_s > 0.5)
        for _ in range(20):
            shown.type(" ")
            time.sleep(0.03)
        time.sleep(0.5)
        assert len(state_in(rig).marks) == 1
        shown.type(" ")
        when(rig, lambda state: len(state.marks) == 2)
        shown.type("\x03")
        assert shown.wait() == 0
