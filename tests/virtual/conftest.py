"""Renderings that several tests of the virtual rig look at."""

import os
import socket
from pathlib import Path

import pytest

from devices.virtual.rig_file import ports
from devices.virtual.scenes import Scene, calibration_scene, drive_scene
from devices.virtual.takes import VirtualTakes, render


@pytest.fixture(scope="session")
def drive() -> Scene:
    return drive_scene()


@pytest.fixture(scope="session")
def calibration() -> Scene:
    return calibration_scene()


@pytest.fixture(scope="session")
def short_drive(tmp_path_factory: pytest.TempPathFactory) -> VirtualTakes:
    """The drive's first 0.8 s."""
    return render(tmp_path_factory.mktemp("virtual"), takes=["drive"], seconds=0.8, base_port=free_base_port())


def free_base_port() -> int:
    """A base port all of whose ports are free now; tests that run side by side begin to look at different ones."""
    begin = os.getpid() % 110
    for base in (21000 + 100 * ((begin + number) % 110) for number in range(110)):
        if all(_free(port) for port in ports(base).values()):
            return base
    raise RuntimeError("no free ports between 21000 and 32000")


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def copy_of(takes: VirtualTakes, to: Path) -> VirtualTakes:
    """The same rendering in a folder that a test may spoil."""
    import shutil

    shutil.copytree(takes.cache, to)
    return VirtualTakes(to, takes.names, takes.length_ns)
