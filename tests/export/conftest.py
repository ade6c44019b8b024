"""One drive, exported once to both formats; tests that damage an export take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from export.publish import export_recordings
from tests.export.builders import PROJECT, Drive, label, record_drive


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    made = record_drive(tmp_path_factory.mktemp("workspace"))
    label(made)
    return made


@pytest.fixture(scope="session")
def exported(drive: Drive) -> Path:
    """The folder of a version that holds lerobot/ and nuscenes/."""
    reports = export_recordings(
        drive.workspace, [drive.recording.id], name="yard", formats=["lerobot", "nuscenes"], project=PROJECT
    )
    return reports[0].folder.parent


@pytest.fixture
def copy_of(exported: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function from a format to the folder of a fresh copy of its export."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(exported / name, tmp_path / name))

    return copied
