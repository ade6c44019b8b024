"""Run a format's real consumer in the environment that holds it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.environment import environment
from export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Ran:
    """How a consumer ended. output: its standard output. last_words: its last line, of an error where there was one."""

    code: int
    output: str
    last_words: str


def run_consumer(environment_name: str, program: str, words: Sequence[str]) -> Ran:
    """Run a program of an environment. Raises AnnotateError or ExportError, naming `make setup`, when it is not there."""
    path = environment(environment_name) / program
    if not path.exists():
        raise ExportError(
            f"the environment '{environment_name}' has no {program} ({path}); run `make setup` to make it anew"
        )
    # A shell that has sourced ROS exports its own packages to every Python.
    surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        ran = subprocess.run(
            [path, *words], capture_output=True, text=True, check=False, env={**surroundings, "MPLBACKEND": "Agg"}
        )
    except OSError as error:
        raise ExportError(f"cannot run {path}: {error}; run `make setup` to make the environment anew") from None
    lines = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
    return Ran(ran.returncode, ran.stdout, lines[-1].strip() if lines else f"it ended with code {ran.returncode}")
