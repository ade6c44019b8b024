"""`fieldrig export --calibration`: an ID or a file, as everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from calibration.calibration import save
from export.dataset import build
from export.errors import ExportError
from tests.export.builders import PROJECT, Drive, Shape, label, record_drive


@pytest.fixture
def made(tmp_path: Path) -> Drive:
    return record_drive(tmp_path, Shape(seconds=2))


def export(made: Drive, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fieldrig", "export", made.recording.id, "--name", "d", "--format", "lerobot"]
    command += ["--workspace", str(made.workspace.root), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_dataset_is_seen_through_the_calibration_whose_id_or_file_is_named(made: Drive, tmp_path: Path) -> None:
    newer = replace(made.calibration, made_ns=made.calibration.made_ns + 1)
    save(newer, made.workspace)
    file = made.workspace.calibrations / "cart" / f"{made.calibration.id}.json"
    elsewhere = Path(file).rename(tmp_path / "shop.json")
    for number, (named, used) in enumerate([(str(elsewhere), made.calibration), (newer.id, newer)], 1):
        ended = export(made, "--calibration", named)
        assert ended.returncode == 0, ended.stderr
        table = json.loads((made.workspace.datasets / f"d/v{number}/lerobot/fieldrig.json").read_text())
        assert [recording["calibration"] for recording in table["recordings"]] == [used.id]


def test_a_name_that_is_neither_is_answered_in_one_line(made: Drive) -> None:
    ended = export(made, "--calibration", "nothing")
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    folder = made.workspace.calibrations / "cart"
    assert line.startswith(f"fieldrig: no calibration 'nothing', neither a file nor an ID in {folder};")


def test_a_calibration_of_another_rig_is_told(made: Drive, tmp_path: Path) -> None:
    other = replace(made.calibration, rig="van")
    path = save(other, made.workspace)
    view = build(made.workspace, [made.recording.id], name="d", calibration=str(path))
    assert any(f"calibration {other.id} was made of rig 'van', not of 'cart'" in note for note in view.notes)


def test_labels_whose_calibration_is_gone_say_which_one_they_need_and_take_its_file(
    made: Drive, tmp_path: Path
) -> None:
    label(made)
    file = made.workspace.calibrations / "cart" / f"{made.calibration.id}.json"
    elsewhere = file.rename(tmp_path / "shop.json")
    save(replace(made.calibration, made_ns=made.calibration.made_ns + 1), made.workspace)
    with pytest.raises(
        ExportError, match=f"labels of {made.recording.id} need .* no calibration '{made.calibration.id}'"
    ):
        build(made.workspace, [made.recording.id], name="d", project=PROJECT)
    view = build(made.workspace, [made.recording.id], name="d", project=PROJECT, calibration=str(elsewhere))
    assert view.drives[0].calibration.id == made.calibration.id
