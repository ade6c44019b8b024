"""`fieldrig verify` and `fieldrig repair` as somebody runs them after an accident."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capture.workspace import Workspace
from tests.capture.killed import ROOT
from tests.capture.recordings import write_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_recording(Workspace(tmp_path))


def run(*words: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "fieldrig", *words], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_an_emptied_file_is_told_by_the_repair_and_ever_after(folder: Path) -> None:
    path = folder / f"{folder.name}_1.mcap"
    os.truncate(path, 0)
    code, _, said = run("verify", folder)
    assert (code, said) == (1, f"fieldrig: {path} is cut short; run: fieldrig repair {folder}\n")
    code, said, _ = run("repair", folder)
    lost = f"{path.name} was damaged after it was recorded: 122 of its 122 messages are missing"
    assert code == 0
    assert lost in said.splitlines()
    code, said, _ = run("verify", folder)
    assert code == 0
    assert lost in said.splitlines()
    assert "verdict: doubtful" in said
    assert run("repair", folder) == (0, f"{folder}: nothing to repair\n{lost}\n", "")


def test_a_missing_file_is_told_by_both_in_the_same_words(folder: Path) -> None:
    (folder / f"{folder.name}_1.mcap").unlink()
    told = f"fieldrig: {folder} is damaged: {folder.name}_1.mcap is missing, and with it 122 messages\n"
    assert run("verify", folder)[::2] == (1, told)
    assert run("repair", folder) == (1, "", told)
    assert run("verify", folder)[::2] == (1, told)


def test_what_can_be_mended_is_told_with_what_to_run(folder: Path) -> None:
    (folder / "metadata.yaml").unlink()
    told = f"fieldrig: {folder} is damaged: metadata.yaml is missing; run: fieldrig repair {folder}\n"
    assert run("verify", folder)[::2] == (1, told)
    code, said, _ = run("repair", folder)
    assert code == 0
    assert "metadata.yaml was missing or damaged, and was made anew" in said
    assert "verdict: good" in run("verify", folder)[1]
    assert run("repair", folder) == (0, f"{folder} is whole: nothing to repair\n", "")


def test_several_are_verified_in_one_go_and_those_that_are_damaged_named(folder: Path) -> None:
    place = Workspace(folder.parent.parent)
    broken, whole = write_recording(place), write_recording(place)
    (broken / f"{broken.name}_1.mcap").unlink()
    code, said, failed = run("verify", folder, broken.name, "nowhere", whole, "--workspace", place.root)
    assert code == 1
    assert failed == f"fieldrig: 2 of 4 recordings are damaged or cannot be read: {broken.name}, nowhere\n"
    lines = said.splitlines()
    assert next(line for line in lines if line.startswith("verdict: ")) == lines[lines.index(broken.name) - 1]
    assert f"{broken} is damaged: {broken.name}_1.mcap is missing, and with it 122 messages" in lines
    assert any(line.startswith("no recording nowhere, ") for line in lines)
    assert said.count("verdict: good") == 2
    assert run("verify", folder, whole, "--workspace", place.root)[::2] == (0, "")
