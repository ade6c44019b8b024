"""However a labelling command is ended, its server goes with it, and the next one goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from annotate.environment import VARIABLE
from annotate.label_studio.client import Client
from annotate.label_studio.server import Server
from annotate.label_studio.server_process import lives
from tests.capture.rigs import free_port

ROOT = Path(__file__).parent.parent.parent
# A shell says 130 of both: where an exec() was interrupted, in an import, Python ends itself by SIGINT when all is done.
INTERRUPTED = (130, -signal.SIGINT)
LEFT = "fieldrig: interrupted: what was sent or stored is whole; the same command goes on from there\n"


@contextlib.contextmanager
def label(workspace: Path, *words, environments: Path | None = None) -> Iterator[subprocess.Popen]:
    """A command that runs; at the end it has ended, whatever has become of the test."""
    command = [sys.executable, "-m", "fieldrig", "label", *words, "--workspace", str(workspace)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **({VARIABLE: str(environments)} if environments else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for(what, seconds=60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it has not come about")


def is_gone(*processes) -> bool:
    """At once or soon; who is dead and not buried yet is gone."""
    _, left = psutil.wait_procs(processes, timeout=60)
    return not any(lives(process.pid) for process in left)


@pytest.fixture
def stand_in(tmp_path) -> Path:
    """Environments of which label-studio boots for ever, and has started a program of its own."""
    program = tmp_path / "label-studio" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nsleep 120 &\nwait\n")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
@pytest.mark.parametrize("words", ["push", "pull", "serve"])
def test_a_command_that_is_ended_while_its_server_boots_takes_it_along(words, ended_by, street, stand_in, tmp_path):
    aside = tmp_path / "aside"
    aside.mkdir()
    for part in ("recordings", "calibrations"):
        (aside / part).symlink_to(street.workspace.root / part)
    given = [street.recording.id] if words == "push" else []
    with label(aside, words, *given, environments=stand_in) as running:
        server = wait_for(lambda: Server(aside / "label-studio").process)
        (child,) = wait_for(server.children)
        running.send_signal(ended_by)
        if ended_by is signal.SIGHUP:
            running.send_signal(ended_by)  # a closed terminal's shell says it once more
        said = running.communicate(timeout=60)
    assert is_gone(server, child)
    assert said == (("stopped\n", "") if words == "serve" else ("", LEFT))
    assert running.returncode in ((0, -signal.SIGINT) if words == "serve" else INTERRUPTED)


def test_a_push_that_is_ended_in_the_middle_takes_the_server_along_and_the_next_one_goes_on(server, street):
    server.stop()
    folder = server.files / "halfway"
    try:
        words = ("push", street.recording.id, "--every", "0", "--project", "halfway")
        with label(street.workspace.root, *words) as running:
            wait_for(lambda: list(folder.glob("*.png")) if folder.is_dir() else None, seconds=120)
            found = server.process
            running.send_signal(signal.SIGTERM)
            said = running.communicate(timeout=60)
        assert said == ("", LEFT)
        assert running.returncode in INTERRUPTED
        assert is_gone(found)
        assert not [path for path in folder.iterdir() if path.suffix not in (".png", ".jpg", ".npz")]
        with label(street.workspace.root, *words) as again:
            out, _ = again.communicate(timeout=180)
        assert again.returncode == 0
        assert server.process is None
    finally:
        server.start()
    uids = [task.uid for task in Client(server).tasks(Client(server).project("halfway"))]
    assert len(uids) == len(set(uids)) == 4
    assert "frames sent" in out


def test_a_server_that_a_killed_push_left_behind_is_taken_over_and_ended_by_the_next(server, street):
    server.stop()
    try:
        words = ("push", street.recording.id, "--project", "killed")
        with label(street.workspace.root, *words):
            left = wait_for(lambda: server.process)
        assert left.is_running()
        with label(street.workspace.root, *words) as again:
            out, errors = again.communicate(timeout=180)
        assert (again.returncode, errors) == (0, "")
        assert "frames sent" in out
        assert is_gone(left), "the one that was left behind was used, and ended"
        assert server.process is None
    finally:
        server.start()


def test_a_server_whose_starter_still_runs_is_not_taken_over(server):
    state = json.loads((server.data_dir / "server.json").read_text())
    assert state["starter"] == os.getpid()
    with Server(server.data_dir):
        pass
    assert server.process == psutil.Process(state["pid"])


def test_a_server_is_known_again_by_nothing_that_setting_the_clock_changes(server):
    state = json.loads((server.data_dir / "server.json").read_text())
    assert state.keys() == {"pid", "command", "port", "starter"}
    assert state["command"][-2:] == ["--port", str(state["port"])]
    assert Server(server.data_dir).process == server.process == psutil.Process(state["pid"])


def test_a_server_that_was_left_behind_gives_way_to_one_at_the_port_that_is_asked_for(tmp_path, stand_in, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(stand_in))
    data = tmp_path / "data"
    data.mkdir()
    command = [str(stand_in / "label-studio" / "bin" / "label-studio"), "--port", "1"]
    left = subprocess.Popen(command, start_new_session=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    try:
        found = psutil.Process(left.pid)
        state = {"pid": left.pid, "command": command, "port": 1, "starter": gone.pid}
        (data / "server.json").write_text(json.dumps(state))
        with pytest.raises(Exception, match="no answer within 1 s"):
            Server(data, free_port(), boot_limit_s=1.0).start()
        assert is_gone(found)
    finally:
        left.kill()
