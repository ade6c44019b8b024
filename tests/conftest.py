"""What tests may need from outside the repository: data, environments, system packages; and how they do without. A busy machine fails none."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.side_by_side import SharedScheduling

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FIELDRIG_TEST_DATA", ROOT.parent / "shared" / "data"))

MISSING_PACKAGE = "needs system package:"
MISSING_RIGHT = "needs the right"
FORBID_MISSING_PACKAGES = bool(os.environ.get("FIELDRIG_FORBID_MISSING_PACKAGES"))

# Hypothesis searches the same examples on every run, and takes the time that a busy machine needs.
settings.register_profile("fieldrig", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fieldrig")

for _name in (
    "SIGHUP",
    "SIGINT",
):  # a shell's background job or nohup ignores them, and so would every process that a test starts
    with contextlib.suppress(AttributeError, ValueError):
        if signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
            signal.signal(getattr(signal, _name), signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedScheduling:
    return SharedScheduling(config, log)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of recorded real data; its README.md says what there is."""
    if not DATA.is_dir():
        pytest.skip(f"FIELDRIG_TEST_DATA names no folder of test data (looked in {DATA})")
    return DATA


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    """A function from the name of an environment in .venvs to the folder of its programs."""

    def programs(name: str) -> Path:
        folder = ROOT / ".venvs" / name / "bin"
        if not folder.parent.joinpath(".finished").exists():
            pytest.skip(f"needs the environment .venvs/{name}: run `make setup`")
        return folder

    return programs


@pytest.fixture(scope="session")
def needs_system_package() -> Callable[[str, str], Path]:
    """A function from a program, and the package that brings it, to where the program is."""

    def find(program: str, package: str) -> Path:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"{MISSING_PACKAGE} {package} (no program `{program}` on PATH)")
        return Path(path)

    return find


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration, make a failure of a test that skips for want of a system package or a right."""
    report = yield
    if FORBID_MISSING_PACKAGES and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith((MISSING_PACKAGE, MISSING_RIGHT)):
            report.outcome = "failed"
            report.longrepr = f"{reason}; .ci/run should see to it"
    return report
