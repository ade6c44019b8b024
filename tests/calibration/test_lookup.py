"""One way to name a calibration, for every command that takes one."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fieldrig
from calibration.calibration import save
from calibration.errors import CalibrationError
from calibration.lookup import caveats, look_up
from capture.workspace import Workspace
from tests.calibration.builders import known_calibration


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_a_calibration_is_found_by_its_id_its_file_and_as_the_newest(workspace: Workspace, tmp_path: Path) -> None:
    old, new = known_calibration(), replace(known_calibration(), made_ns=known_calibration().made_ns + 1)
    path = save(old, workspace)
    save(new, workspace)
    elsewhere = tmp_path / "from the shop.json"
    elsewhere.write_bytes(path.read_bytes())
    assert look_up(workspace, "made-up").id == new.id
    for named in (old.id, f"{old.id}.json", str(path), str(elsewhere)):
        assert look_up(workspace, "made-up", named).id == old.id


def test_an_id_of_another_rig_is_found_and_told(workspace: Workspace) -> None:
    made = known_calibration()
    save(made, workspace)
    assert look_up(workspace, "van", made.id).id == made.id
    assert caveats(made, "made-up") == []
    assert caveats(made, "van") == [f"calibration {made.id} was made of rig 'made-up', not of 'van'"]


def test_a_calibration_that_is_not_good_comes_with_its_reasons() -> None:
    made = known_calibration("doubtful")
    assert caveats(made, "made-up") == [
        f"calibration {made.id} is doubtful: camera_left: all boards stand nearly parallel"
    ]


@pytest.mark.parametrize("named", ["nothing", "0123456789abcdef", "../made-up/*", "", "*", "folder"])
def test_what_is_neither_a_file_nor_an_id_is_said_in_one_line_with_where_was_looked(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    save(known_calibration(), workspace)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CalibrationError) as caught:
        look_up(workspace, "made-up", named)
    words = str(caught.value)
    assert words.startswith(f"no calibration '{named}', neither a file nor an ID in {workspace.calibrations}/made-up;")
    assert "\n" not in words


def test_a_file_that_is_no_calibration_is_named(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the left camera was moved")
    with pytest.raises(CalibrationError, match=r"notes\.txt is no calibration file .*fieldrig calibrate"):
        look_up(workspace, "made-up", str(tmp_path / "notes.txt"))


def test_overlay_push_and_export_ask_for_it_in_the_same_words() -> None:
    def option(*words: str) -> Any:
        (command,) = (each for each in fieldrig.COMMANDS if each.words == words)
        return inspect.signature(command.load(), eval_str=True).parameters["calibration"].annotation

    asked = [option("overlay"), option("label", "push"), option("export")]
    assert asked[0] == asked[1] == asked[2]
