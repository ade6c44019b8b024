"""The terminal's keyboard, key by key; a USB pedal is one, too."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
import time
from types import TracebackType
from typing import Any, Self

if sys.platform != "win32":
    import termios
    import tty

ENTER, ERASE, ERASE_ALL, ESCAPE = "\n", "\x7f", "\x15", "\x1b"
_SAME = {"\r": ENTER, "\b": ERASE}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\x1b\[O])|\x1b")  # ECMA-48: arrows, function keys, Alt
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_REST_S = 0.05  # in which the rest of a sequence comes over a slow line


class Keyboard:
    """Gives what is pressed on standard input, while that is a terminal and this process is in its foreground.

    Whoever reads in the background is stopped by the system, and a recorder with it; so nothing is read there.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty()
        self._before: list[Any] | None = None  # the terminal's modes
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def __enter__(self) -> Self:
        self._has_terminal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and self._has_terminal():
            self._set_modes(self._before)

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal at all."""
        return self._is_terminal

    def read(self, timeout_s: float) -> list[str]:
        """The keys pressed by now, at most timeout_s later: characters, ENTER, ERASE, ERASE_ALL, ESCAPE. Raises EOFError without a terminal."""
        if not self._is_terminal:
            raise EOFError("standard input is no terminal")
        if not self._has_terminal():
            time.sleep(timeout_s)
            return []
        text = self._typed(timeout_s)
        while _UNFINISHED.search(text) and (rest := self._typed(_REST_S)):
            text += rest
        return keys_in(text)

    def _typed(self, timeout_s: float) -> str:
        if not select.select([sys.stdin], [], [], timeout_s)[0]:
            return ""
        try:
            data = os.read(sys.stdin.fileno(), 4096)  # unbuffered, as select() counts
        except OSError:
            data = b""
        if not data:
            raise EOFError("the terminal was closed")
        return self._decoder.decode(data)

    def _has_terminal(self) -> bool:
        """Whether the terminal is this process's now; then single keys come, and neither Ctrl+S nor Ctrl+Z holds it up."""
        if not self._is_terminal or sys.platform == "win32":
            return False
        try:
            if _foreground_group() != os.getpgrp():
                return False
            modes = termios.tcgetattr(sys.stdin)
            if modes[tty.LFLAG] & termios.ICANON:  # at first, and after a shell has had it back
                self._before = modes
                self._set_modes(_single_keys(modes))
        except (OSError, termios.error):
            return False
        return True

    def _set_modes(self, modes: list[Any]) -> None:
        if sys.platform != "win32":
            termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)


def _foreground_group() -> int:
    """Of the processes that standard input's terminal listens to. One that controls nobody listens to whoever reads it."""
    if sys.platform == "win32":
        return os.getpid()
    try:
        return os.tcgetpgrp(sys.stdin.fileno())
    except OSError:
        return os.getpgrp()


def _single_keys(modes: list[Any]) -> list[Any]:
    """Each key at once and unechoed; Ctrl+C goes on to end the program."""
    if sys.platform == "win32":
        return modes
    characters = [*modes[tty.CC]]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    characters[termios.VSUSP] = bytes([os.fpathconf(sys.stdin.fileno(), "PC_VDISABLE") & 0xFF])
    single = [*modes[: tty.CC], characters]
    single[tty.IFLAG] &= ~(termios.IXON | termios.ICRNL)
    single[tty.LFLAG] &= ~(termios.ICANON | termios.ECHO)
    return single


def keys_in(text: str) -> list[str]:
    """A key each; arrows, function keys and what is pressed with Alt are none: their letters must do nothing."""
    alone = _SEQUENCE.sub(lambda found: ESCAPE if found[0] == ESCAPE else "", text)
    return [_SAME.get(key, key) for key in alone]
