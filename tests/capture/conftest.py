"""File systems of a few MB, to be filled: mounted by root, elsewhere in a user namespace in which the test runs once more."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import MISSING_RIGHT

_IN_NAMESPACE = ("unshare", "--map-root-user", "--mount")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function from MB to a file system of that size. It is no skip where nobody may mount, see pytest_pyfunc_call()."""
    place = tmp_path / "small"

    def mounted(megabytes: int) -> Path:
        place.mkdir()
        _mount(place, megabytes).check_returncode()
        return place

    yield mounted
    if place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that wants a small disk runs in a process that may mount one."""
    if "small_disk" not in pyfuncitem.fixturenames or _may_mount():
        return None
    if not _may_mount(*_IN_NAMESPACE):
        pytest.skip(f"{MISSING_RIGHT} to mount a file system, if only in a user namespace")
    place = f"--basetemp={pyfuncitem.funcargs['tmp_path']}/inside"
    test = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", place, pyfuncitem.nodeid]
    done = subprocess.run([*_IN_NAMESPACE, *test], cwd=pyfuncitem.config.rootpath, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    return True


@functools.cache
def _may_mount(*inside: str) -> bool:
    """inside: the command in front of it."""
    with tempfile.TemporaryDirectory() as place:
        try:
            if _mount(Path(place), 1, *inside).returncode:
                return False
        except FileNotFoundError:
            return False
        subprocess.run(["umount", place], capture_output=True)  # a namespace's mount has ended with it
        return True


def _mount(place: Path, megabytes: int, *inside: str) -> subprocess.CompletedProcess[bytes]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)]
    return subprocess.run([*inside, *mount], capture_output=True)
