"""The page beside `fieldrig record`: it comes with it, comes again when it dies, and never holds up a recording."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import httpx
import numpy as np
import psutil
import pytest

from capture.control.client import RecorderClient
from capture.dashboard.addresses import network_addresses, page_addresses, page_token, qr_code
from capture.dashboard.page_process import PageProcess
from capture.errors import CaptureError
from capture.recording_info import load_info
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_port, free_ports, write_rig


def wait_until(holds, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)
    return found


@pytest.fixture
def bench(tmp_path) -> Iterator[Path]:
    """A rig that is being sent to."""
    state, action = free_ports(2)
    path = write_rig(tmp_path / "rig.toml", state, action)
    with Sender({"state": state, "action": action}, 200):
        yield path


@contextmanager
def recording(rig: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`fieldrig record` in a process of its own, its page at a port that no other test has; its lines so far."""
    options = options if {"--no-page", "--page-port"} & set(options) else ("--page-port", str(free_port()), *options)
    command = [sys.executable, "-m", "fieldrig", "record", str(rig), "--workspace", str(rig.parent), *options]
    lines: list[str] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        os.set_blocking(process.stdout.fileno(), False)
        try:
            yield process, lines
        finally:
            process.kill()


def said(process: subprocess.Popen[str], lines: list[str], pattern: str) -> re.Match[str] | None:
    while line := process.stdout.readline():
        lines.append(line.strip())
    return next((match for line in lines if (match := re.search(pattern, line))), None)


def pages_of(process: subprocess.Popen[str]) -> list[int]:
    """The pids of the page's processes that a recorder's command has started."""
    return [child.pid for child in psutil.Process(process.pid).children() if "capture.dashboard" in child.cmdline()]


def test_record_serves_the_page_and_a_page_that_is_killed_comes_again_at_its_address_and_costs_no_packet(bench) -> None:
    workspace = Workspace(bench.parent)
    with recording(bench) as (process, lines):
        url = wait_until(lambda: said(process, lines, r"page: (http://\S+)"))[1]
        assert "fieldrig" in httpx.get(url).text
        (page,) = pages_of(process)
        os.kill(page, signal.SIGKILL)
        wait_until(lambda: said(process, lines, r"the page's process has ended .* recording goes on"))
        (second,) = wait_until(lambda: pages_of(process))
        assert second != page
        wait_until(lambda: answers(url))
        assert not any(stream.lost for stream in RecorderClient.find(workspace).state().streams)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        wait_until(lambda: not psutil.pid_exists(second))
    (made,) = workspace.recordings.iterdir()  # what the page and the steering had left there is gone
    info = load_info(made)
    assert (info.state, info.verdict, info.reasons) == ("finished", "good", ())
    assert info.counts["robot/state"] > 200


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_frozen_page_holds_up_neither_the_recording_nor_its_end(bench) -> None:
    with recording(bench, "--for", "3s") as (process, lines):
        wait_until(lambda: said(process, lines, "page: "))
        (page,) = pages_of(process)
        os.kill(page, signal.SIGSTOP)
        assert process.wait(60) == 0
        wait_until(lambda: not psutil.pid_exists(page))


def test_a_recorder_that_is_killed_and_started_again_is_found_at_the_same_address_and_by_the_same_token(bench) -> None:
    options = ("--page-host", "0.0.0.0", "--page-port", str(free_port()))
    with recording(bench, *options) as (process, lines):
        url = wait_until(lambda: said(process, lines, r"page: (http://\S+)"))[1]
        assert "?token=" in url
        process.kill()
        process.wait()
        wait_until(lambda: answers(url))  # it stays, to say that the recorder is gone
    with recording(bench, *options) as (process, lines):
        again = wait_until(lambda: said(process, lines, r"page: (http://\S+)"))[1]
        assert again == url
        assert answers(url)


def test_the_token_is_for_its_owner_only_and_a_broken_one_is_told(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    token = page_token(workspace)
    assert len(token) >= 16
    assert page_token(workspace) == token
    (file,) = workspace.recordings.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    for broken in (b"", b"\xff\xfe\0"):
        file.write_bytes(broken)
        with pytest.raises(CaptureError, match="holds no token; delete it"):
            page_token(workspace)


def test_without_a_page_none_is_served(bench) -> None:
    with recording(bench, "--no-page", "--for", "1s") as (process, lines):
        wait_until(lambda: list(Workspace(bench.parent).recordings.glob("*/recording.json")))
        assert not pages_of(process)
        assert process.wait(60) == 0
        assert said(process, lines, "^page") is None


def test_a_page_takes_the_next_port_where_its_own_is_taken_and_keeps_it_when_it_is_started_again(bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        lines: list[str] = []
        with PageProcess(
            bench, Workspace(bench.parent), lines.append, port=taken.getsockname()[1], silent=True
        ) as page:
            wait_until(lambda: lines)
            (first,) = page.addresses
            assert int(first.rstrip("/").rpartition(":")[2]) > taken.getsockname()[1]
            os.kill(page.pid, signal.SIGKILL)
            wait_until(lambda: len(lines) == 3)
            assert lines[2] == lines[0] == f"page: {first}"


def test_a_page_that_cannot_live_says_why_and_is_not_asked_in_a_loop(bench) -> None:
    bench.write_text('name = "bench"\n[sensors.x]\ndriver = "nonsense"\n')
    lines: list[str] = []
    with PageProcess(bench, Workspace(bench.parent), lines.append, silent=True):
        wait_until(lambda: len(lines) >= 2)
    assert all("no driver called 'nonsense'" in line for line in lines)
    assert "0.5 s" in lines[0]
    assert "1.0 s" in lines[1]


def test_a_panel_that_does_not_exist_is_named(bench) -> None:
    from capture.dashboard.panel import load_panel
    from devices.rig import load_rig

    for reference in ("nowhere.at_all:panel", "capture.dashboard.panel:nothing", "words"):
        with pytest.raises(CaptureError, match=f"no panel '{reference}'"):
            load_panel(reference, load_rig(bench), Workspace(bench.parent))


def test_the_qr_code_in_the_terminal_leads_to_the_page() -> None:
    url = "http://192.168.178.35:8750/?token=UT5xCQbx0iKUxnTW"
    halves = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}  # light, as a dark terminal shows a full block
    rows = [[halves[sign] for sign in line] for line in qr_code(url).splitlines()]
    modules = np.array([[pair[half] for pair in row] for row in rows for half in (0, 1)], dtype=np.uint8) * 255
    picture = cv2.copyMakeBorder(
        np.kron(modules, np.ones((8, 8), np.uint8)), 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=255
    )
    text, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert text == url


def test_the_address_for_phones_is_the_local_networks_not_a_containers() -> None:
    class Address(NamedTuple):
        family: int
        address: str

    found = network_addresses(
        {
            "lo": [Address(socket.AF_INET, "127.0.0.1")],
            "docker0": [Address(socket.AF_INET, "172.17.0.1")],
            "wlan0": [Address(socket.AF_INET, "192.168.1.5"), Address(socket.AF_INET6, "fe80::1")],
            "eth0": [Address(socket.AF_INET, "169.254.7.7")],
        }
    )
    assert found == ["192.168.1.5", "172.17.0.1"]
    assert page_addresses("127.0.0.1", 8750) == ["http://127.0.0.1:8750/"]
    assert page_addresses("0.0.0.0", 8750, "t")[-1] == "http://127.0.0.1:8750/?token=t"
