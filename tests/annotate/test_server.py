"""The labelling server as a process: starting, not starting, dying, coming back."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from annotate.environment import VARIABLE
from annotate.environment import environment as find_environment
from annotate.errors import AnnotateError
from annotate.label_studio.server import Server


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def stand_in(folder: Path, monkeypatch, script: str) -> None:
    """An environment whose label-studio is a shell script."""
    program = folder / "label-studio" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(folder))


def test_an_environment_that_was_not_made_is_named_with_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(AnnotateError, match="make setup") as error:
        Server(tmp_path / "data").start()
    assert str(tmp_path / "label-studio") in one_line(error)


def test_environments_lie_beside_the_one_that_runs(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", "/checkout/.venv")
    with pytest.raises(AnnotateError, match=r"/checkout/\.venvs/label-studio"):
        find_environment("label-studio")


def test_a_broken_environment_gives_one_line_that_quotes_its_last_word(tmp_path, monkeypatch):
    stand_in(
        tmp_path, monkeypatch, "echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'django'\" >&2; exit 1"
    )
    server = Server(tmp_path / "data")
    with pytest.raises(AnnotateError, match="No module named 'django'") as error:
        server.start()
    assert str(server.log) in one_line(error)
    assert server.process is None


def test_a_program_that_cannot_be_run_gives_one_line(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "")
    (tmp_path / "label-studio" / "bin" / "label-studio").chmod(0o644)
    with pytest.raises(AnnotateError, match="make setup") as error:
        Server(tmp_path / "data").start()
    one_line(error)


def test_a_server_that_never_answers_is_given_up_and_leaves_no_process_behind(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "echo starting; sleep 60 & echo $! > child; wait")
    monkeypatch.chdir(tmp_path)
    told = []
    with pytest.raises(AnnotateError, match=r"no answer within 4 s.*starting") as error:
        Server(tmp_path / "data", boot_limit_s=4.0).start(lambda what, done: told.append(done))
    one_line(error)
    assert told == sorted(told)
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AnnotateError, match=f"port {port} is in use") as error:
            Server(tmp_path / "data", port).start()
    one_line(error)


def test_settings_of_the_shell_do_not_reach_the_server(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, f"env > {tmp_path}/environment; exit 1")
    for trap in ("HOST", "PORT", "DEBUG", "USERNAME", "LABEL_STUDIO_HOST", "DJANGO_DB"):
        monkeypatch.setenv(trap, "trap")
    server = Server(tmp_path / "data")
    with pytest.raises(AnnotateError):
        server.start()
    assert "trap" not in (tmp_path / "environment").read_text()


def test_the_token_is_the_owners_alone_and_stays_the_same(tmp_path):
    server = Server(tmp_path / "data")
    assert server.token == Server(tmp_path / "data").token
    assert stat.S_IMODE((tmp_path / "data" / "access.json").stat().st_mode) == 0o600
    assert len(server.token) == 40


def test_a_process_that_took_over_the_number_of_a_dead_server_is_left_alone(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    state = {"pid": os.getpid(), "command": ["label-studio", "start", "--port", "1"], "port": 1, "starter": 1}
    (data / "server.json").write_text(json.dumps(state))
    server = Server(data)
    assert server.process is None
    server.stop()


def test_asking_before_the_start_says_so(tmp_path):
    with pytest.raises(AnnotateError, match=r"start\(\)"):
        _ = Server(tmp_path).url


def test_the_running_server_is_used_and_left_running_by_those_who_did_not_start_it(server):
    with Server(server.data_dir) as same:
        assert same.url == server.url
        assert httpx.get(same.url + "/health", trust_env=False).json() == {"status": "UP"}
    assert server.process is not None


def test_another_port_than_the_running_servers_is_refused(server):
    with pytest.raises(AnnotateError, match="already runs on port"):
        Server(server.data_dir, 1).start()


def test_the_server_is_reached_only_from_this_machine(server):
    places = {c.laddr.ip for c in server.process.net_connections() if c.status == psutil.CONN_LISTEN}
    assert places == {"127.0.0.1"}


def test_a_killed_server_is_started_again_with_its_data_and_its_port(server):
    from annotate.label_studio.client import Client

    Client(server).ensure_user("kept@example.org")
    before, url = server.process, server.url
    os.kill(before.pid, signal.SIGKILL)
    psutil.wait_procs([before], timeout=60)
    server.start()
    assert server.process.pid != before.pid
    assert server.url == url
    assert "kept@example.org" in Client(server).emails().values()


def test_serve_takes_the_server_along_that_it_started_and_leaves_one_that_it_found(server, street):
    command = [sys.executable, "-m", "fieldrig", "label", "serve", "--workspace", str(street.workspace.root)]

    def served(stop) -> str:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
            line = serving.stdout.readline()
            serving.send_signal(stop)
            assert serving.wait(60) == 0
        return line

    assert server.url in served(signal.SIGINT)
    assert server.process is not None
    server.stop()
    assert server.url in served(signal.SIGTERM), "the port that it had before"
    assert server.process is None
    server.start()
