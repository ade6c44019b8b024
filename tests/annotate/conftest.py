"""One Label Studio server for all tests of this folder, and a recorded street to label."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from annotate.label_studio.server import Server
from calibration.calibration import Calibration, save
from calibration.files import import_kitti_calibration
from capture.importers.kitti import import_kitti
from capture.recording import Recording, open_recording
from capture.workspace import Workspace
from tests.annotate.builders import write_drive


@dataclass(frozen=True)
class Street:
    """A workspace with one recording of the street and its calibration."""

    workspace: Workspace
    recording: Recording
    calibration: Calibration


@pytest.fixture(scope="session")
def street(tmp_path_factory) -> Street:
    folder = tmp_path_factory.mktemp("street")
    drive = write_drive(folder / "drive")
    workspace = Workspace.at(folder / "workspace")
    calibration = import_kitti_calibration(drive)
    save(calibration, workspace)
    return Street(workspace, open_recording(import_kitti(drive, workspace)), calibration)


@pytest.fixture(scope="session")
def server(environment, street: Street) -> Iterator[Server]:
    """The street's own server, running. Its first start takes up to two minutes; all tests share it."""
    environment("label-studio")
    with Server(street.workspace.label_studio) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(needs_system_package) -> Path:
    return needs_system_package("chromium", "chromium")
