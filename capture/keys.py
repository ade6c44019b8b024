"""The terminal's keys while a recording runs; a USB pedal is a keyboard, too."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from capture.errors import CaptureError
from capture.recorder import Recorder
from capture.recorder_state import OUTCOMES
from devices.errors import FieldrigError

if sys.platform != "win32":
    import termios
    import tty

_POLL_S = 0.2
HELP = "space mark  e episode  s success  f failure  d discard  p pause  r record  m snapshot  a alarms seen  q end"


class Keys:
    """Carries out what is typed, in cbreak mode, until left. Does nothing where standard input is no terminal.

    said: what the last key did, or why it could not.
    """

    def __init__(
        self, recorder: Recorder, stop: threading.Event, acknowledge: Callable[[], None] = lambda: None
    ) -> None:
        """acknowledge: somebody has seen the alarms."""
        self.said = ""
        self._acknowledge = acknowledge
        self._recorder = recorder
        self._stop = stop
        self._left = threading.Event()
        self._is_terminal = sys.platform != "win32" and sys.stdin is not None and sys.stdin.isatty()
        self._thread = threading.Thread(target=self._listen, name="fieldrig-keys", daemon=True)

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._is_terminal:
            self._thread.join()
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    @property
    def is_listening(self) -> bool:
        return self._is_terminal

    def press(self, key: str) -> None:
        """Does what a key stands for; an unknown one does nothing."""
        try:
            self.said = self._done(key)
        except FieldrigError as error:
            self.said = str(error)
        except Exception as error:  # the keys go on
            self.said = f"the recorder failed: {type(error).__name__}: {error}"

    def _done(self, key: str) -> str:
        recorder = self._recorder
        if key == " ":
            recorder.mark("mark", "")
            return "marked"
        if key == "e":
            recorder.episode_start("")
            return "episode begun"
        for outcome in OUTCOMES:
            if key == outcome[0]:
                recorder.episode_stop(outcome)
                return f"episode ended: {outcome}"
        if key == "p":
            return self._paused_or_resumed()
        if key == "r":
            return f"recorded {recorder.stop().name}" if recorder.is_recording else f"recording {recorder.start().name}"
        if key == "m":
            return f"written: {recorder.snapshot().name}"
        if key == "a":
            self._acknowledge()
            return "alarms seen"
        if key == "q":
            self._stop.set()
        return self.said

    def _paused_or_resumed(self) -> str:
        try:
            self._recorder.resume()
        except CaptureError:
            self._recorder.pause()
            return "paused"
        return "going on"

    def _listen(self) -> None:
        while not self._left.is_set() and not self._stop.is_set():
            if select.select([sys.stdin], [], [], _POLL_S)[0]:
                key = os.read(sys.stdin.fileno(), 1).decode(errors="ignore")  # unbuffered, as select() counts
                if not key:
                    return
                self.press(key)
