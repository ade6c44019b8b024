"""Ctrl+C, from the program's first import to the middle of its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.importers.bags import ros1_bag

ROOT = Path(__file__).parent.parent

_INTERRUPTED_AT = """
import os, signal, sys
module, sys.argv = sys.argv[1], ["fieldrig", *sys.argv[2:]]

class Interrupts:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(Interrupts)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts)
import fieldrig
fieldrig.main()
raise SystemExit("was not interrupted")
"""


def interrupted_at(module: str, *words: str) -> str:
    """What is said when Ctrl+C comes as this module is being imported."""
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_AT, module, *words], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    "module", ["typer", "rich.console", "devices.errors", "capture.commands.record", "capture.heap", "pydantic", "numpy", "numpy._core._multiarray_umath", "capture.recording_info"]
)  # fmt: skip
def test_a_recorder_that_is_interrupted_while_it_loads_ends_without_a_word(module: str, tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text(
        'name = "van"\n[sensors.robot]\ndriver = "named_vector"\nports = { state = 0 }\n'
    )
    assert interrupted_at(module, "record", f"{tmp_path}/rig.toml", "--workspace", str(tmp_path), "--no-page") == ""
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]


@pytest.mark.parametrize("module", ["calibration.calibration", "numpy", "numpy.lib", "capture.importers.kitti"])
def test_an_import_that_is_interrupted_says_that_it_left_nothing(module: str, tmp_path: Path) -> None:
    said = interrupted_at(module, "import", "kitti", str(tmp_path))
    assert said == "fieldrig: interrupted: an import that is not finished leaves nothing behind; the same command begins again\n"  # fmt: skip


def test_an_offload_and_a_check_that_are_interrupted_say_how_things_stand(tmp_path: Path) -> None:
    workspace = ("--workspace", str(tmp_path))
    log = ros1_bag(tmp_path / "log.bag", None)
    subprocess.run([sys.executable, "-m", "fieldrig", "import", "ros1", str(log), *workspace], cwd=ROOT, check=True)
    (folder,) = (tmp_path / "recordings").iterdir()
    said = interrupted_at("capture.offload.offload", "offload", str(folder), str(tmp_path / "disk"), *workspace)
    assert said == (
        "fieldrig: interrupted: what has arrived stays, and nothing that is not whole there was deleted here; "
        "the same command goes on where it was\n"
    )
    said = interrupted_at("capture.verify", "verify", str(folder), *workspace)
    assert said == "fieldrig: interrupted: nothing was changed; the same command begins again\n"


def test_what_was_told_to_ignore_interrupts_goes_on(tmp_path: Path) -> None:
    words = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ended = subprocess.run(
        [sys.executable, "-c", words + _INTERRUPTED_AT, "typer", "list", "--workspace", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
