"""No stage that is scored may look at the truth."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAY_KNOW = {"examples/demo/annotator.py", "examples/demo/scorecard.py"}
SHUTS_IT = "examples/demo/seal.py"  # names the files in order to refuse them
SCORED = ("devices", "capture", "calibration", "annotate", "export", "examples", "benchmarks")
SECRETS = ("devices.virtual.truth", "devices.virtual.rig_truth")


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for path in [
        ROOT / "fieldrig.py",
        *(p for folder in SCORED for p in (ROOT / folder).rglob("*.py")),
    ]:
        name = path.relative_to(ROOT).as_posix()
        if path.exists() and not name.startswith("devices/virtual/") and name not in MAY_KNOW:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_scorecard_and_its_annotator_import_the_truth() -> None:
    found = {name: [i for i in _imported(tree) if i.startswith(SECRETS)] for name, tree in _sources()}
    assert len(found) > 30, "the search must have found the stages"
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_no_stage_imports_the_virtual_rig_at_all() -> None:
    stages = ("capture/", "calibration/", "annotate/", "export/")
    found = {
        name: [i for i in _imported(tree) if i.startswith("devices.virtual")]
        for name, tree in _sources()
        if name.startswith(stages)
    }
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_nobody_else_opens_the_truths_files() -> None:
    for name, tree in _sources():
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        named = [text for text in texts if "truth.json" in text or "play.json" in text]
        assert name == SHUTS_IT or not [text for text in named if " " not in text], f"{name} names {named}"
