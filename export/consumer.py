"""Run a format's real consumer in the environment that holds it: watched, within a time, and ended together with us."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from annotate.environment import environment
from annotate.interrupt import ended_like_ctrl_c
from devices.progress import Progress
from export.errors import ExportError

# What opens a dataset reads each of its bytes a few times at the most, from a slow USB disk or over a network.
_LEAST_LIMIT_S, _SLOWEST_BYTES_A_S = 1800.0, 2e6
_OUTPUT_MOST_BYTES = 256 << 20
_LAST_WORDS_BYTES = 4096
_LOOK_S = 0.1
_SHARE = 0.5  # of a check, that is: how far a consumer has come nobody knows
_ENDING_S = 5.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a consumer ended. output: its standard output. last_words: its last line, of an error where there was one."""

    code: int
    output: str
    last_words: str


def limit_s(folder: Path) -> float:
    """How long a consumer may take over a dataset: half an hour, and a second more for every 2 MB of it."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _LEAST_LIMIT_S + size / _SLOWEST_BYTES_A_S


def run_consumer(
    environment_name: str,
    program: str,
    words: Sequence[str],
    *,
    within_s: float = _LEAST_LIMIT_S,
    called: str = "",
    progress: Progress | None = None,
) -> Ran:
    """Run a program of an environment to its end. called: its name among people.

    Raises AnnotateError or ExportError, naming `make setup`, when it is not there; ExportError when it takes longer than within_s or
    prints without end. It and all that it has started are ended then, and by an interrupt, too.
    """
    path = environment(environment_name) / program
    if not path.exists():
        raise ExportError(
            f"the environment '{environment_name}' has no {program} ({path}); run `make setup` to make it anew"
        )
    # Files, not pipes: what it leaves running could hold a pipe open for ever.
    with TemporaryFile() as output, TemporaryFile() as errors, ended_like_ctrl_c():
        try:
            process = subprocess.Popen(
                [path, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=_surroundings(),
                start_new_session=True,
            )
        except OSError as error:
            raise ExportError(f"cannot run {path}: {error}; run `make setup` to make the environment anew") from None
        try:
            _wait(process, path, called or program, within_s, (output, errors), progress)
        finally:
            _end(process)
        return Ran(process.returncode, _text(output), _last_words(process.returncode, errors, output))


def _surroundings() -> dict[str, str]:
    """Of our own: a shell that has sourced ROS exports its packages to every Python. What lies here is not looked for elsewhere."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**own, "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"}


def _wait(
    process: subprocess.Popen[bytes],
    path: Path,
    called: str,
    within_s: float,
    printed: Sequence[IO[bytes]],
    progress: Progress | None,
) -> None:
    since = time.strftime("%H:%M:%S")
    began_s = time.monotonic()
    while process.poll() is None:
        waited_s = time.monotonic() - began_s
        if waited_s > within_s:
            raise ExportError(
                f"{called} was ended: it had not come to an end within {_in_words(within_s)}; see whether the disk that holds the "
                f"dataset answers and the machine is idle, and run it again, or by hand to see where it hangs: {path}"
            )
        if sum(os.fstat(file.fileno()).st_size for file in printed) > _OUTPUT_MOST_BYTES:
            raise ExportError(
                f"{called} was ended: it printed more than {_OUTPUT_MOST_BYTES >> 20} MiB, as no check does"
            )
        if progress is not None:
            progress(f"{called} opens the dataset, since {since}", _SHARE)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:g} s"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, if it still runs, and whatever it has left running."""
    try:
        if process.poll() is None:
            _signal(process, "SIGTERM")
            process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # whoever does not wait for it leaves nothing behind either
        _signal(process, "SIGKILL")
        process.wait()


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    """To its whole group, which bears its number."""
    if os.name == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _last_words(code: int, *printed: IO[bytes]) -> str:
    said = next(filter(None, map(_last_line, printed)), "")
    if code < 0:
        how = f"it was ended by {signal.Signals(-code).name}"
        return f"{how}: {said}" if said else how
    return said or f"it ended with code {code}"


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS_BYTES))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
