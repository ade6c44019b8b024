"""What the terminal's keys do while a recorder runs: all that the page's buttons do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from capture.recorder import Recorder
from capture.recorder_state import OUTCOMES, Outcome
from capture.terminal.again import HELD_S, Again
from capture.terminal.keyboard import ENTER, ESCAPE, Keyboard
from capture.terminal.typed_line import TypedLine
from devices.errors import FieldrigError

HELP = (
    "space mark   n note   e episode, again: success   s success   f failure",
    "d discard   p pause   r record   m snapshot   i about   a alarms seen   q end",
)
_TYPING_HELP = "Enter keeps it, Esc leaves"
_POLL_S = 0.2
_REPEATED_S = 0.3  # a key that is held, or a pedal that bounces, is one press
_WAITED_S = 0.05  # what was pressed while its first press was carried out comes at once then
_SUSPEND = "\x1a"  # Ctrl+Z
_ABOUT = ("task", "operator", "site", "order")


class Keys:
    """Carries out what is typed until left. Does nothing where standard input is no terminal.

    said: what the last key did, or why it could not.
    """

    def __init__(self, recorder: Recorder, stop: threading.Event, acknowledge: Callable[[], None]) -> None:
        """acknowledge: somebody has seen the alarms."""
        self.said = ""
        self._recorder = recorder
        self._stop = stop
        self._acknowledge = acknowledge
        self._lines: list[TypedLine] = []
        self._last_key, self._silent_until_s = "", 0.0  # what repeats the last key until then is no press
        self._again: Again | None = None
        self._keyboard = Keyboard()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="fieldrig-keys", daemon=True)

    def __enter__(self) -> Self:
        if self._keyboard.is_there:
            self._keyboard.__enter__()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._keyboard.is_there:
            self._thread.join()
            self._keyboard.__exit__(kind, error, trace)

    @property
    def shown(self) -> list[str]:
        """For the terminal: what was done, what is being typed, which keys there are. Nothing where nobody can type."""
        if not self._keyboard.is_there:
            return []
        typed = [f"{line.prompt}: {line.text}▏" for line in self._lines[:1]]
        return [self.said, *typed, _TYPING_HELP] if typed else [self.said, *HELP]

    def press(self, key: str) -> None:
        """Does what a key stands for; an unknown one does nothing."""
        pressed_s = time.monotonic()
        if self._again and (self._again.is_over(pressed_s) or key.lower() != self._again.key):
            self._again = None
        if self._again:
            self._again.press(pressed_s)
        elif self._lines:
            self._do(lambda: self._typed(key))
        elif key != self._last_key or pressed_s >= self._silent_until_s:
            self._do(lambda: self._done(key.lower()))
        self._hear_no_repeats(key, pressed_s)

    def _do_what_was_pressed_twice(self) -> None:
        now_s = time.monotonic()
        if self._again and self._again.is_meant(now_s):
            key, act, self._again = self._again.key, self._again.act, None
            self._do(act)
            self._hear_no_repeats(key, now_s)

    def _hear_no_repeats(self, key: str, pressed_s: float) -> None:
        self._last_key, self._silent_until_s = key, max(pressed_s + _REPEATED_S, time.monotonic() + _WAITED_S)

    def _do(self, act: Callable[[], str]) -> None:
        try:
            self.said = act()
        except FieldrigError as error:
            self.said = str(error)
        except Exception as error:  # the keys go on
            self.said = f"the recorder failed: {type(error).__name__}: {error}"

    def _done(self, key: str) -> str:
        actions: dict[str, Callable[[], str]] = {
            " ": self._mark,
            "n": self._ask_for_note,
            "e": self._begin_or_end_episode,
            "p": self._pause_or_resume,
            "r": self._start_or_stop,
            "m": lambda: f"written: {self._recorder.snapshot().name}",
            "i": self._ask_what_it_is_about,
            "a": self._see_alarms,
            "q": self._end,
            _SUSPEND: lambda: "a recorder that is suspended loses what arrives; q ends it",
        }
        actions |= {outcome[0]: partial(self._end_episode, outcome) for outcome in OUTCOMES}
        return actions[key]() if key in actions else self.said

    def _mark(self) -> str:
        self._recorder.mark("mark", "")
        return "marked"

    def _begin_or_end_episode(self) -> str:
        """One pedal does both."""
        if self._recorder.state().episode.open:
            return self._end_episode("success")
        self._recorder.episode_start("")
        return "episode begun"

    def _end_episode(self, outcome: Outcome) -> str:
        self._recorder.episode_stop(outcome)
        return f"episode ended: {outcome}"

    def _pause_or_resume(self) -> str:
        if self._recorder.state().mode == "paused":
            self._recorder.resume()
            return "going on"
        self._recorder.pause()
        return f"paused{self._recorder.state().episode.cut_in_words}"

    def _start_or_stop(self) -> str:
        if not self._recorder.is_recording:
            return f"recording {self._recorder.start().name}"
        self._again = Again("r", lambda: f"recorded {self._recorder.stop().name}", time.monotonic())
        return "press r again to stop"

    def _see_alarms(self) -> str:
        self._acknowledge()
        return "alarms seen"

    def _end(self) -> str:
        self._again = Again("q", self._end_now, time.monotonic())
        return "press q again to end the recorder"

    def _end_now(self) -> str:
        self._stop.set()
        return "ending"

    # what needs words

    def _ask_for_note(self) -> str:
        if self._recorder.state().mode in {"standby", "closing"}:
            return "a note belongs to a recording; start one first"
        self._lines = [TypedLine("note", self._note)]
        return ""

    def _note(self, text: str) -> str:
        if text:
            self._recorder.mark("note", text)
        return "note taken" if text else ""

    def _ask_what_it_is_about(self) -> str:
        state = self._recorder.state()
        self._lines = [TypedLine(name, partial(self._describe, name), getattr(state, name)) for name in _ABOUT]
        consents = ", ".join(state.consent_ids)
        self._lines.append(TypedLine("consent ids, separated by commas", self._describe_consents, consents))
        return ""

    def _describe(self, name: str, text: str) -> str:
        self._recorder.describe({name: text})
        return f"{name}: {text or 'none'}"

    def _describe_consents(self, text: str) -> str:
        consents = [each for part in text.split(",") if (each := part.strip())]
        self._recorder.describe({"consent_ids": consents})
        return f"consents: {', '.join(consents) or 'none'}"

    def _typed(self, key: str) -> str:
        line = self._lines[0]
        if key == ESCAPE:
            self._lines = []
            return ""
        if key != ENTER:
            line.take(key)
            return self.said
        said = line.entered(line.text.strip())
        self._lines = self._lines[1:]
        return said

    def _listen(self) -> None:
        while not self._left.is_set() and not self._stop.is_set():
            try:
                pressed = self._keyboard.read(HELD_S / 2 if self._again else _POLL_S)
            except EOFError:
                return
            for key in pressed:
                self.press(key)
            self._do_what_was_pressed_twice()
