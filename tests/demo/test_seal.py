"""The truth stays shut while a stage that is scored runs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from examples.demo.seal import TRUTH_FILES, Seal, TruthReadError

ROOT = Path(__file__).parent.parent.parent
READERS = {"examples/demo/annotator.py", "examples/demo/scorecard.py"}
SCORED = {"record", "open_recording", "calibrate", "push", "pull", "export_recordings", "check"}


@pytest.fixture(scope="session")
def seal() -> Seal:
    return Seal()


@pytest.mark.parametrize("name", sorted(TRUTH_FILES))
def test_the_truth_cannot_be_opened_while_the_seal_is_closed(seal: Seal, tmp_path: Path, name: str) -> None:
    truth = tmp_path / name
    truth.write_text("{}")
    with seal.closed():
        for way in (truth.read_text, truth.read_bytes, lambda: json.load(open(str(truth)))):  # noqa: PTH123, SIM115
            with pytest.raises(TruthReadError, match=name):
                way()
    assert truth.read_text() == "{}"


def test_everything_else_can_be_opened_while_the_seal_is_closed(seal: Seal, tmp_path: Path) -> None:
    with seal.closed():
        (tmp_path / "rig.toml").write_text("name = 'rig'")
        assert (tmp_path / "rig.toml").read_text() == "name = 'rig'"


def test_the_truth_is_imported_by_the_annotator_the_scorecard_and_tests_alone() -> None:
    for path in _sources():
        relative = path.relative_to(ROOT).as_posix()
        if relative in READERS or relative.startswith(("tests/", "devices/virtual/")):
            continue
        assert "devices.virtual.truth" not in _imports(path), relative


def test_only_the_virtual_rig_and_its_readers_name_the_truth_files() -> None:
    for path in _sources():
        relative = path.relative_to(ROOT).as_posix()
        if relative in READERS | {"examples/demo/seal.py"} or relative.startswith(("tests/", "devices/virtual/")):
            continue
        text = path.read_text(encoding="utf-8")
        assert not any(f'"{name}"' in text for name in TRUTH_FILES), relative


def test_every_call_of_a_scored_stage_stands_under_the_seal() -> None:
    """In the roads, whatever does a scored stage's work is called inside `with road.stage(...)`, never inside `road.knowing(...)`."""
    for name in ("virtual_road.py", "kitti_road.py", "stages.py"):
        tree = ast.parse((ROOT / "examples/demo" / name).read_text(encoding="utf-8"))
        sealed = {id(call) for block in ast.walk(tree) if _is_stage(block) for call in ast.walk(block)}
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in SCORED:
                inside = id(call) in sealed or _called_only_under_seal(tree, call, sealed)
                assert inside, f"{name}:{call.lineno}: {call.func.id} is called outside a sealed stage"


def _called_only_under_seal(tree: ast.AST, call: ast.Call, sealed: set[int]) -> bool:
    """Whether the function that holds the call is itself only called under the seal."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and any(node is call for node in ast.walk(function)):
            uses = [
                u
                for u in ast.walk(tree)
                if isinstance(u, ast.Call) and isinstance(u.func, ast.Name) and u.func.id == function.name
            ]
            # A helper of stages.py is handed the open stage by its caller.
            takes_stage = any(argument.arg == "stage" for argument in function.args.args)
            return takes_stage or (bool(uses) and all(id(use) in sealed for use in uses))
    return False


def _is_stage(node: ast.AST) -> bool:
    if not isinstance(node, ast.With):
        return False
    calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(isinstance(call.func, ast.Attribute) and call.func.attr == "stage" for call in calls)


def _sources() -> list[Path]:
    folders = ("devices", "capture", "calibration", "annotate", "export", "examples")
    return [
        ROOT / "fieldrig.py",
        *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))),
    ]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
