"""What other programs ask of a recorder, in its own words and in nonsense; and alarms that are seen once for all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from capture.control.address import Address, address_file, read_address
from capture.control.client import RecorderClient
from capture.control.server import ControlServer
from capture.details import Details
from capture.errors import CaptureError
from capture.recorder_state import RecorderState
from capture.workspace import Workspace
from tests.capture.stated_recorder import StatedRecorder

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def van() -> StatedRecorder:
    return StatedRecorder(RecorderState("recording", "van"))


@pytest.fixture
def address(workspace: Workspace, van: StatedRecorder) -> Iterator[Address]:
    with contextlib.closing(ControlServer(van, workspace, "van")):
        left = read_address(address_file(workspace, "van"))
        assert left is not None
        yield left


def answer(address: Address, said: bytes) -> dict:
    with address.connected(10) as connection, connection.makefile("rb") as answered:
        with contextlib.suppress(OSError):  # it may hang up on what is too long
            connection.sendall(said)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return json.loads(answered.readline())


# ---- one that does not answer


def test_a_recorder_that_runs_and_does_not_answer_is_not_said_to_be_gone(workspace: Workspace, tmp_path: Path) -> None:
    frozen = (
        "import contextlib, signal, sys, os; from pathlib import Path\n"
        "from capture.control.server import ControlServer; from capture.recorder_state import RecorderState\n"
        "from capture.workspace import Workspace; from tests.capture.stated_recorder import StatedRecorder\n"
        f"server = ControlServer(StatedRecorder(RecorderState('recording', 'van')), Workspace(Path({str(tmp_path)!r})), 'van')\n"
        "print(flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", frozen], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            process.stdout.readline()
            asked_before = RecorderClient.find(workspace)
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            said = f"the recorder of the rig 'van' runs \\(process {process.pid}\\) and does not answer; .*kill -CONT {process.pid}"
            with pytest.raises(CaptureError, match=said):
                RecorderClient.find(workspace)
            left = read_address(address_file(workspace, "van"))
            with contextlib.ExitStack() as others:  # as many as its socket takes while nobody accepts them
                for _ in range(200):
                    waiting = others.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex(("127.0.0.1", left.port))
                assert left.is_listening()
                with pytest.raises(CaptureError, match=said):
                    asked_before.state()
        finally:
            process.kill()
    with pytest.raises(CaptureError, match="no recorder runs in"):
        RecorderClient.find(workspace)


# ---- alarms


def test_an_alarm_that_one_has_seen_is_silent_for_all_until_it_comes_back(
    van: StatedRecorder, address: Address
) -> None:
    one, other = RecorderClient(address), RecorderClient(address)
    van.said = replace(van.said, alarms=("the disk is full in 9 min at this rate", "lidar is gone"))
    assert one.state().unseen_alarms == van.said.alarms
    one.acknowledge()
    assert (other.state().alarms, other.state().unseen_alarms) == (van.said.alarms, ())
    van.said = replace(van.said, alarms=("the disk is full in 8 min at this rate", "camera is gone"))
    assert other.state().unseen_alarms == ("camera is gone",)
    van.said = replace(van.said, alarms=())
    assert other.state().unseen_alarms == ()
    van.said = replace(van.said, alarms=("the disk is full in 9 min at this rate",))
    assert one.state().unseen_alarms == van.said.alarms


# ---- nonsense


@pytest.mark.parametrize(
    "said",
    [b"\0\n", b"\xff\xfe\n", b"{}\n", b"[1]\n", b"null\n", b'{"do": "stop"}\n', b"\n", b"x" * (1 << 21), b'{"token": "\\u00e4"}\n'],
)  # fmt: skip
def test_nonsense_is_answered_in_one_line_and_does_nothing(van: StatedRecorder, address: Address, said: bytes) -> None:
    refused = answer(address, said)
    assert refused["ok"] is False
    assert "\n" not in refused["error"]
    assert van.asked == []
    assert RecorderClient(address).state().mode == "recording"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "does not understand"),
        ({"do": "explode"}, "no recorder can 'explode'; it can: start, stop"),
        ({"do": ["stop"]}, "does not understand"),
        ({"do": "watch", "hz": "often"}, "does not understand"),
        ({"do": "episode_stop", "outcome": "splendid"}, "one of success, failure, discard"),
    ],
)
def test_what_no_recorder_can_do_is_said_so(van: StatedRecorder, address: Address, request_: dict, why: str) -> None:
    assert why in answer(address, json.dumps({"token": address.token, **request_}).encode() + b"\n")["error"]
    assert van.asked == []


def test_a_detail_that_no_recording_has_is_not_passed_over(address: Address, van: StatedRecorder) -> None:
    with pytest.raises(CaptureError, match="operater"):
        RecorderClient(address).describe(operater="Ann")


# ---- where it is found


def test_a_second_recorder_of_a_rig_does_not_take_the_first_ones_place(
    workspace: Workspace, van: StatedRecorder, address: Address
) -> None:
    with pytest.raises(CaptureError, match=r"a recorder of the rig 'van' runs in .* already \(process \d+\); end it"):
        ControlServer(van, workspace, "van")
    assert read_address(address_file(workspace, "van")) == address
    with contextlib.closing(ControlServer(van, workspace, "bench")):
        with pytest.raises(CaptureError, match=r"several recorders run in .*: bench, van; say which with --rig"):
            RecorderClient.find(workspace)
        assert RecorderClient.find(workspace, "van").state().rig == "van"
        for nobody in ("*", "van*", "../van", "v\0n"):
            with pytest.raises(CaptureError, match="no recorder of the rig"):
                RecorderClient.find(workspace, nobody)


@pytest.mark.parametrize(
    "left", ["", "{", "[]", '{"port": 1}', '{"rig": "van", "pid": 1, "port": "x", "token": ""}', "\0"]
)
def test_an_address_that_is_torn_is_nobodys(workspace: Workspace, van: StatedRecorder, left: str) -> None:
    workspace.recordings.mkdir(parents=True)
    address_file(workspace, "van").write_text(left)
    with pytest.raises(CaptureError, match="no recorder runs in"):
        RecorderClient.find(workspace)
    with contextlib.closing(ControlServer(van, workspace, "van")):
        assert RecorderClient.find(workspace).state().rig == "van"


def test_a_recorder_that_was_killed_keeps_no_other_from_its_place_whoever_listens_at_its_port_now(
    workspace: Workspace, van: StatedRecorder
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with socket.create_server(("127.0.0.1", 0)) as other:
        Address("van", ended.pid, other.getsockname()[1], "old").leave(workspace)
        with contextlib.closing(ControlServer(van, workspace, "van")):
            assert RecorderClient.find(workspace).state().rig == "van"
    assert not address_file(workspace, "van").exists()


def test_a_workspace_that_cannot_be_written_to_is_said_so(tmp_path: Path, van: StatedRecorder) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match=r"cannot write .* give another --workspace"):
        ControlServer(van, Workspace(tmp_path / "file"), "van")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


# ---- what people type


@pytest.mark.parametrize(
    "words", ["a\0b", "\x1b[31mred", "bell\a", "a\rb", "two\nlines", "two\r\nlines", "x" * 1001, "\ud800", 5, None]
)
def test_what_is_no_line_of_text_is_refused_in_one_line_for_every_detail(words: object) -> None:
    for key in ("task", "operator", "site", "order"):
        with pytest.raises(CaptureError, match=f"^{key}: [^\n]*$"):
            Details().with_({key: words})
    with pytest.raises(CaptureError, match=r"^consent_ids: [^\n]*$"):
        Details().with_({"consent_ids": [words]})


@pytest.mark.parametrize("ids", ["c1", 5, None, {"c1": 1}])
def test_one_consent_id_is_not_taken_for_many_of_a_letter(ids: object) -> None:
    with pytest.raises(CaptureError, match="consent_ids: give a list"):
        Details().with_({"consent_ids": ids})


def test_what_is_typed_is_kept_as_it_was_said() -> None:
    for words in ("[bold]/[/x] \\x", "tab\tbed", "Änne 😀", "\u2028", "x" * 1000):
        assert Details().with_({"task": f" {words} "}).task == words.strip()


@pytest.mark.parametrize("order", ["../../x", "/etc/passwd", "..", ".hidden", "shop/kitchen", "a\\b", "kitchen/"])
def test_an_order_is_a_name_not_a_way_to_a_file(order: str) -> None:
    with pytest.raises(CaptureError, match=r"^order: '[^\n]*' is not the NAME of orders/NAME.toml; [^\n]*$"):
        Details().with_({"order": f" {order} "})
    for name in ("kitchen", "kitchen.v2", "Küche 2", ""):
        assert Details().with_({"order": name}).order == name


def test_a_consent_that_is_said_twice_is_one() -> None:
    assert Details().with_({"consent_ids": ["c2", "c1", " c2", "c2"]}).consent_ids == ("c2", "c1")
