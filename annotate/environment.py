"""Where the programs live whose pins fight ours: each in an environment of its own beside the one that runs this."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from annotate.errors import AnnotateError

VARIABLE = "FIELDRIG_ENVIRONMENTS"


def environment(name: str) -> Path:
    """The folder of the environment's programs: CHECKOUT/.venvs/NAME/bin, or $FIELDRIG_ENVIRONMENTS/NAME/bin.

    Raises AnnotateError when it has not been made.
    """
    root = os.environ.get(VARIABLE)
    folder = (Path(root) if root else Path(sys.prefix).parent / ".venvs") / name
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not programs.is_dir():
        raise AnnotateError(
            f"no environment '{name}' at {folder}; run `make setup` to make it (or point {VARIABLE} at it)"
        )
    return programs
