"""The consumer that opens a dataset, as a process: hanging, dying, saying too much, ended with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annotate.environment import VARIABLE
from annotate.label_studio.server_process import lives
from export import consumer
from export.check import check
from export.consumer import limit_s, run_consumer
from export.errors import ExportError

ROOT = Path(__file__).parent.parent.parent
# Started, with a program of its own, and then neither working nor ending: a loader at a lock.
HANGS = "sleep 120 & echo $! > {folder}/child; echo opening >&2; wait"

StandIn = Callable[[str], None]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A function that puts a shell script in lerobot-doctor's place."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environments"))

    def put(script: str) -> None:
        program = tmp_path / "environments/checkers/bin/lerobot-doctor"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n" + script.format(folder=tmp_path))
        program.chmod(0o755)

    return put


def child_number(folder: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (folder / "child").exists() and (number := (folder / "child").read_text().strip()):
            return int(number)
        time.sleep(0.05)
    raise AssertionError("the consumer has not started")


def is_gone(number: int) -> bool:
    """At once or soon; what is dead and not buried yet is gone."""
    until = time.monotonic() + 60
    while lives(number) and time.monotonic() < until:
        time.sleep(0.05)
    return not lives(number)


def test_one_that_hangs_is_ended_with_all_that_it_started_in_one_line_that_says_how_long_it_had(
    tmp_path: Path, stand_in: StandIn
) -> None:
    stand_in(HANGS)
    told: list[str] = []
    with pytest.raises(ExportError, match=r"lerobot-doctor was ended: it had not come to an end within 4 s; ") as error:
        run_consumer("checkers", "lerobot-doctor", [], within_s=4.0, progress=lambda what, share: told.append(what))
    assert "\n" not in str(error.value)
    assert str(tmp_path / "environments/checkers/bin/lerobot-doctor") in str(error.value)
    assert is_gone(child_number(tmp_path))
    assert all(what.startswith("lerobot-doctor opens the dataset, since ") for what in told)
    assert told


def test_the_largest_sensible_dataset_has_days_and_the_smallest_half_an_hour(tmp_path: Path) -> None:
    assert limit_s(tmp_path) == 1800
    with (tmp_path / "videos").open("wb") as sparse:
        sparse.truncate(2 * 10**12)
    assert 5 < limit_s(tmp_path) / 86_400 < 20


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_a_check_that_is_ended_takes_its_consumer_along(
    ended_by: signal.Signals, exported: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    stand_in(HANGS)
    checking = subprocess.Popen(
        [sys.executable, "-m", "fieldrig", "check", str(exported / "lerobot")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        number = child_number(tmp_path)
        checking.send_signal(ended_by)
        said = checking.communicate(timeout=60)
    finally:
        checking.kill()
    assert is_gone(number)
    left = "fieldrig: interrupted: nothing was changed; the same command begins again\n"
    assert said == ("", left)
    assert checking.returncode in (130, -signal.SIGINT)  # a shell says 130 of both


def test_outside_of_the_main_thread_it_runs_as_well(stand_in: StandIn) -> None:
    stand_in("echo done")
    outputs: list[str] = []
    thread = threading.Thread(target=lambda: outputs.append(run_consumer("checkers", "lerobot-doctor", []).output))
    thread.start()
    thread.join(60)
    assert outputs == ["done\n"]


def test_what_it_leaves_running_keeps_nobody_waiting_and_is_ended(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in("sleep 120 & echo $! > {folder}/child; echo done")
    began_s = time.monotonic()
    assert run_consumer("checkers", "lerobot-doctor", []).output == "done\n"
    assert time.monotonic() - began_s < 60
    assert is_gone(child_number(tmp_path))


def test_one_that_prints_without_end_is_ended(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_OUTPUT_MOST_BYTES", 1 << 20)
    stand_in("yes")
    with pytest.raises(ExportError, match="it printed more than 1 MiB"):
        run_consumer("checkers", "lerobot-doctor", [])


def test_one_that_is_killed_is_said_to_be_and_not_taken_by_its_last_warning(stand_in: StandIn) -> None:
    stand_in("echo UserWarning: old codec >&2; kill -9 $$")
    ran = run_consumer("checkers", "lerobot-doctor", [])
    assert (ran.code, ran.last_words) == (-9, "it was ended by SIGKILL: UserWarning: old codec")


def test_it_neither_sees_another_pythons_packages_nor_asks_the_internet(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/ros")
    stand_in('echo "$PYTHONPATH|$HF_HUB_OFFLINE|$HOME"')
    assert run_consumer("checkers", "lerobot-doctor", []).output == f"|1|{os.environ['HOME']}\n"


PASSED = {"checks": [{"name": "a", "severity": "PASS", "messages": []}]}


@pytest.mark.parametrize(
    ("table", "code", "problem"),
    [
        ({"checks": []}, 0, "lerobot-doctor ended with code 0 after 0 checks, 0 of which failed"),
        (PASSED, 3, "lerobot-doctor ended with code 3 after 1 checks, 0 of which failed"),
        ({"checks": None}, 0, "lerobot-doctor cannot load it"),
    ],
    ids=["no checks", "a bad end", "nothing"],
)
def test_a_doctor_that_has_not_done_all_is_no_pass(
    table: object, code: int, problem: str, exported: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    (tmp_path / "table").write_text(json.dumps(table))
    stand_in(f"cat {{folder}}/table; exit {code}")
    report = check(exported / "lerobot")
    assert report.verdict == "fail"
    assert any(told.startswith(problem) for told in report.problems), report.problems


def test_a_doctor_that_has_done_all_is_believed(exported: Path, tmp_path: Path, stand_in: StandIn) -> None:
    (tmp_path / "table").write_text(json.dumps(PASSED))
    stand_in("cat {folder}/table")
    assert check(exported / "lerobot").problems == []
