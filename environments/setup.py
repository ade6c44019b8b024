"""Make the environments that fieldrig runs in, each exactly as its lock file says: `make setup`.

    .venv            fieldrig itself, editable        requirements.lock, from pyproject.toml
    .venvs/NAME      programs whose pins fight ours   environments/NAME.lock, from environments/NAME.in
    .venvs/uv        the installer of all the others  environments/uv.lock, from environments/uv.in

This file is the first thing that runs on a fresh machine, so it needs nothing but a Python of any version from 3.8 on.
Every file that it has installed was named by a hash; environments/build.lock does the same for what builds source packages.

An environment that is finished carries a stamp. No stamp means that set-up was interrupted, and the environment is made
anew; a stamp that no longer fits means that a lock has changed, and the environment is brought up to date in place.
"""

import argparse
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENVS = ROOT / ".venvs"
WINDOWS = os.name == "nt"
BIN = "Scripts" if WINDOWS else "bin"
EXE = ".exe" if WINDOWS else ""
UV = VENVS / "uv" / BIN / ("uv" + EXE)

PROJECT = "fieldrig"
NAMES = [PROJECT, "label-studio", "nuscenes", "checkers", "ouster-sdk", "livox-sdk", "depth-cameras"]

# What OpenCV's and Open3D's wheels load from the system, and the Debian and Ubuntu packages that hold it.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
}


class SetupError(Exception):
    """Set-up cannot go on; the message tells the person at the keyboard what to do."""


class Environment(NamedTuple):
    """One virtual environment and the files that it is made from."""

    name: str
    folder: Path
    source: Path  # what `make lock` compiles
    lock: Path
    pythons: str  # the Python versions that the lock has wheels for, such as ">=3.11,<3.14"

    @property
    def python(self) -> Path:
        return self.folder / BIN / ("python" + EXE)

    @property
    def stamp(self) -> Path:
        return self.folder / ".finished"


def main() -> int:
    arguments = parse_arguments()
    if arguments.system_packages:
        print("\n".join(LIBRARIES.values()))
        return 0
    try:
        environments = [environment(name) for name in arguments.names or NAMES]
        if arguments.lock:
            compile_locks(arguments.upgrade)
        else:
            set_up(environments)
    except SetupError as error:
        print("setup: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make fieldrig's environments from their lock files.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: %s (default: all)" % ", ".join(NAMES))
    parser.add_argument("--lock", action="store_true", help="recompile every lock file and install nothing")
    parser.add_argument("--upgrade", action="store_true", help="with --lock: take the newest versions that fit")
    parser.add_argument(
        "--system-packages", action="store_true", help="print the Debian packages that the libraries need"
    )
    return parser.parse_args()


def set_up(environments: List[Environment]) -> None:
    """Bring each environment to what its lock says. Takes a moment when there is nothing to do."""
    if sys.version_info < (3, 8):
        raise SetupError("starts with Python 3.8 or newer, and this is %s" % sys.version.split()[0])
    require_system_packages()
    if all(is_finished(env) for env in environments):
        return
    with only_one_at_a_time():
        bootstrap_uv()
        for env in environments:
            if not is_finished(env):
                make(env)


# --- what the system must bring -----------------------------------------------------------------------------------


def require_system_packages() -> None:
    missing = [package for library, package in LIBRARIES.items() if lacks_library(library)]
    if not UV.exists() and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if missing:
        command = "apt install %s" % " ".join(missing)
        raise SetupError("this machine lacks system packages. Run this as root, then try again:\n%s" % command)


def lacks_library(name: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False  # the wheels for macOS and Windows bring their own
    try:
        ctypes.CDLL(name)
    except OSError:
        return True
    return False


# --- which environments there are ---------------------------------------------------------------------------------


def environment(name: str) -> Environment:
    if name == PROJECT:
        pyproject = ROOT / "pyproject.toml"
        pythons = python_range(pyproject, r'^requires-python = "(.+)"$')
        return Environment(name, ROOT / ".venv", pyproject, ROOT / "requirements.lock", pythons)
    if name not in NAMES:
        raise SetupError("there is no environment %r; choose from: %s" % (name, ", ".join(NAMES)))
    source = HERE / (name + ".in")
    return Environment(
        name, VENVS / name, source, source.with_suffix(".lock"), python_range(source, r"^# python: (.+)$")
    )


def python_range(path: Path, pattern: str) -> str:
    match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise SetupError("%s does not say which Pythons it is for" % path.relative_to(ROOT))
    return match.group(1)


# --- making one ---------------------------------------------------------------------------------------------------


def make(env: Environment) -> None:
    started = time.monotonic()
    print("setup: %s ..." % env.folder.relative_to(ROOT), flush=True)
    if is_usable(env):
        env.stamp.unlink()
    else:
        create(env)
    uv("pip", "sync", "--python", env.python, "--require-hashes", "--build-constraints", HERE / "build.lock", env.lock)
    if env.name == PROJECT:
        uv("pip", "install", "--python", env.python, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    env.stamp.write_text("%s\n%s\n" % (place(env), content(env)), encoding="utf-8")
    print("setup: %s is ready (%.1f s)" % (env.folder.relative_to(ROOT), time.monotonic() - started), flush=True)


def create(env: Environment) -> None:
    """Make an empty environment: on the Python that runs this file where it fits, else on another one or uv's own."""
    this = getattr(sys, "_base_executable", sys.executable)
    options = ["--quiet", "--no-project", "--clear", "--force", "--python-preference", "system"]
    result = attempt([UV, "venv", *options, "--python", this if fits(env.pythons) else env.pythons, env.folder])
    if result.returncode != 0:
        raise SetupError(
            "found no Python %s for %s and could not fetch one: install one, then try again (%s)"
            % (env.pythons, env.folder.relative_to(ROOT), result.stdout.strip().splitlines()[-1].strip())
        )


def fits(pythons: str) -> bool:
    """Whether the Python that runs this file is in a range such as ">=3.11,<3.14"."""
    lowest, below = re.findall(r"3\.(\d+)", pythons)
    return int(lowest) <= sys.version_info.minor < int(below)


# --- stamps -------------------------------------------------------------------------------------------------------


def is_finished(env: Environment) -> bool:
    return is_usable(env) and read_stamp(env)[1:] == [content(env)]


def is_usable(env: Environment) -> bool:
    """Whether a finished environment stands here, of this or of an older lock."""
    return env.python.exists() and read_stamp(env)[:1] == [place(env)]


def read_stamp(env: Environment) -> List[str]:
    try:
        return env.stamp.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def place(env: Environment) -> str:
    """What an environment cannot change once made: its programs hold its path, and its packages are for its Python."""
    return "%s %s" % (env.folder, env.pythons)


def content(env: Environment) -> str:
    files = [Path(__file__), HERE / "build.lock", env.lock, env.source]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


# --- uv -----------------------------------------------------------------------------------------------------------


def bootstrap_uv() -> None:
    """Install uv by hash with pip, into an environment of its own."""
    folder = VENVS / "uv"
    lock = HERE / "uv.lock"
    stamp = folder / ".finished"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if UV.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("setup: uv ...", flush=True)
    run([sys.executable, "-m", "venv", "--clear", folder])
    python = folder / BIN / ("python" + EXE)
    run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--require-hashes", "-r", lock])
    stamp.write_text(wanted, encoding="utf-8")


def uv(*arguments: object) -> None:
    run([UV, "--quiet", *arguments])


def run(command: List[object]) -> None:
    """Run a program in silence; when it fails, raise with what it said."""
    result = attempt(command)
    if result.returncode != 0:
        raise SetupError("`%s` failed:\n%s" % (" ".join(result.args), result.stdout.strip()))


def attempt(command: List[object]) -> "subprocess.CompletedProcess[str]":
    words = [str(word) for word in command]
    pipe = subprocess.PIPE
    return subprocess.run(words, stdout=pipe, stderr=subprocess.STDOUT, universal_newlines=True, cwd=ROOT, check=False)


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Hold the lock of this checkout; the system lets go of it even when set-up is killed."""
    VENVS.mkdir(exist_ok=True)
    with open(VENVS / ".lock", "w") as lock:
        if not WINDOWS:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- locks --------------------------------------------------------------------------------------------------------


def compile_locks(upgrade: bool) -> None:
    """Recompile every lock file. Versions that still fit stay, unless all are to be upgraded."""
    bootstrap_uv()
    options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    options += ["--upgrade"] if upgrade else []
    for env in [environment(name) for name in NAMES]:
        print("lock: %s" % env.lock.relative_to(ROOT), flush=True)
        lowest = re.findall(r"3\.\d+", env.pythons)[0]
        extra = ["--extra", "dev"] if env.name == PROJECT else []
        uv("pip", "compile", *options, "--python-version", lowest, *extra, env.source, "--output-file", env.lock)
    for name, lowest in [("uv", "3.8"), ("build", "3.11")]:
        print("lock: environments/%s.lock" % name, flush=True)
        source = HERE / (name + ".in")
        uv("pip", "compile", *options, "--python-version", lowest, source, "--output-file", source.with_suffix(".lock"))


if __name__ == "__main__":
    sys.exit(main())
