"""The promises that the project makes about itself: how it installs, what it depends on, what is committed."""

import ast
import importlib.util
import re
import subprocess
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / "environments").glob("*.lock"))]

# Packages whose metadata names no licence, and the one that their source carries.
LICENCES_READ_BY_HAND = {"label-studio-sdk": "Apache-2.0", "pypatchworkpp": "BSD-2-Clause"}
# Libraries used as they are, by those who choose the extra: paramiko speaks SFTP for `fieldrig offload`.
LESSER_GPL_IN_AN_EXTRA = {"paramiko"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_packages_and_hashes_but_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links)\b", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_in_a_lock_has_a_version_and_a_hash(lock: Path) -> None:
    requirements = lock.read_text().replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement[:80]


def test_every_extra_environment_has_a_source_and_a_lock() -> None:
    folder = ROOT / "environments"
    assert {path.stem for path in folder.glob("*.in")} == {path.stem for path in folder.glob("*.lock")}


def test_the_environment_is_what_the_lock_says() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = {re.sub(r"[-_.]+", "-", found.name).lower() for found in metadata.distributions()}
    assert installed <= locked | {"fieldrig"}


def test_no_dependency_is_under_the_gpl() -> None:
    """PyAV's wheel carries an FFmpeg with GPL codecs, which its metadata does not say: the README does."""
    for found in metadata.distributions():
        stated = licence(found)
        assert stated or found.name in LICENCES_READ_BY_HAND, (
            f"{found.name} states no licence: read it, and add it here"
        )
        if found.name in LESSER_GPL_IN_AN_EXTRA:
            stated = stated.replace("LGPL", "").replace("GNU Library or Lesser General Public License", "")
        assert "GPL" not in stated, f"{found.name} is under {stated}"


def test_what_everybody_installs_is_not_even_under_the_lesser_gpl() -> None:
    needed = {line for line in metadata.requires("fieldrig") or [] if "extra ==" not in line}
    assert needed
    assert not [line for line in needed if line.lower().startswith(tuple(LESSER_GPL_IN_AN_EXTRA))]


def licence(found: metadata.Distribution) -> str:
    """All that a package's metadata states about its licence, without a licence's full text."""
    fields = [found.metadata[key] for key in ("License-Expression", "License") if key in found.metadata]
    classifiers = [line for line in found.metadata.get_all("Classifier", []) if line.startswith("License ::")]
    return "; ".join([*(field.strip().partition("\n")[0] for field in fields), *classifiers])


def test_both_opencv_wheels_are_the_same_version_so_that_either_may_win() -> None:
    import cv2

    assert metadata.version("opencv-python") == metadata.version("opencv-python-headless")
    assert metadata.version("opencv-python").startswith(f"{cv2.__version__}.")


@pytest.mark.parametrize("target", ["setup", "test", "demo", "demo INPUT=/some/folder"])
def test_make_knows_the_commands_of_the_readme(target: str) -> None:
    result = subprocess.run(["make", "--dry-run", *target.split()], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "environments/setup.py" in result.stdout


@pytest.fixture
def setup() -> ModuleType:
    """environments/setup.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("setup", ROOT / "environments" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_setup_starts_under_python_3_8() -> None:
    ast.parse((ROOT / "environments" / "setup.py").read_text(), feature_version=(3, 8))


def test_setup_reports_all_missing_system_libraries_in_one_apt_line(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "LIBRARIES", {"libabsent.so.1": "absent1", "libgone.so.2": "gone2"})
    monkeypatch.setattr(setup, "UV", ROOT / "no" / "uv")
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(setup.SetupError, match=r"\napt install absent1 gone2 python3-venv$"):
        setup.require_system_packages()


def test_setup_takes_up_an_environment_only_where_it_was_finished(setup: ModuleType, tmp_path: Path) -> None:
    env = setup.environment("nuscenes")._replace(folder=tmp_path)
    env.python.parent.mkdir()
    env.python.touch()
    assert not setup.is_usable(env), "interrupted: no stamp"

    env.stamp.write_text(f"{setup.place(env)}\nan older lock\n")
    assert setup.is_usable(env)
    assert not setup.is_finished(env)

    env.stamp.write_text(f"{setup.place(env)}\n{setup.content(env)}\n")
    assert setup.is_finished(env)

    env.stamp.write_text(f"/elsewhere >=3.11,<3.13\n{setup.content(env)}\n")
    assert not setup.is_usable(env), "moved: its programs hold the old path"


def test_no_committed_file_names_a_registry_or_a_path_of_one_machine() -> None:
    forbidden = re.compile(
        r"https?://[^\s\"')]*(pypi|pythonhosted|npmjs|registry|deb\.debian)|/(work|farm)/|/tmp/bash[_]jobs"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in committed_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found, "\n".join(found)


def committed_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]
