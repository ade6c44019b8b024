"""What a recorder says in the terminal, from a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from capture.recorder_state import RecorderState
from capture.terminal.look import look

_LAST_WORD_S = 1.0


class Screen:
    """Draws the newest state on a terminal, and says lines anywhere. One that takes nothing any more (its network is gone) holds up nobody."""

    def __init__(self, console: Console, keys: Callable[[], list[str]]) -> None:
        """keys: what the keyboard has to say at the moment."""
        self._console = console
        self._keys = keys
        self._state: RecorderState | None = None
        self._lines: deque[str] = deque()
        self._changed = threading.Event()
        self._left = False
        self._thread = threading.Thread(target=self._run, name="fieldrig-screen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._changed.set()
        self._thread.join(_LAST_WORD_S)

    def show(self, state: RecorderState) -> None:
        self._state = state
        self._changed.set()

    def say(self, line: str) -> None:
        """It stays above what is drawn."""
        self._lines.append(line)
        self._changed.set()

    def _run(self) -> None:
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while not self._left:
                self._changed.wait()
                self._changed.clear()
                while self._lines:
                    self._console.print(self._lines.popleft(), soft_wrap=True)
                if self._state is not None and self._console.is_terminal:
                    live.update(look(self._state, self._keys()), refresh=True)
