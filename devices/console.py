"""What commands print to: standard output that may go away, or take no more. A view must never cost a recording anything."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_STDERR = 2


def open_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Prints words as they are, whatever brackets and numbers are in them, to standard output for as long as that is there.

    soft_wrap: lines are never broken or cut, so that a path can be copied.
    """
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    file = file or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 for as long as the program runs
    shown = cast("TextIO", _MayGoAway(file))
    return Console(file=shown, markup=False, highlight=False, emoji=False, soft_wrap=soft_wrap)


def hold_standard_files() -> None:
    """Those that were closed lead nowhere now: else a bag might take their place, and what a library prints would go into it."""
    while (held := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(held, True)
    os.close(held)


class _MayGoAway(io.TextIOBase):
    """A terminal that is closed, or a pipe that nobody reads any more, takes the rest in silence."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        encoding = self.encoding
        try:
            self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except (OSError, ValueError):
            self._give_up()

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._file.encoding or "utf-8"

    def _give_up(self) -> None:
        """What is still in the buffer goes nowhere, instead of failing again at the end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
