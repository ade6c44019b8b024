"""The page's process follows the recorder: its newest state, how old that is, which alarms somebody has seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from capture.control.client import RecorderClient
from capture.dashboard.short_alarm import in_short
from capture.dashboard.usual_rate import UsualRate
from capture.errors import CaptureError
from capture.recorder_state import RecorderState
from capture.workspace import Workspace

WATCH_HZ = 4.0
LOST_AFTER_S = 1.0  # without a state: four have not come
LOST_ALARM = "the recorder is lost; look at the laptop"
_RETRY_S = 0.5


class RecorderLink:
    """Watches the recorder of one rig on a thread of its own, and finds it again whenever it has gone."""

    def __init__(self, workspace: Workspace, rig: str) -> None:
        self._workspace = workspace
        self._rig = rig
        self._heard: Callable[[RecorderState], None] | None = None
        self._taking = threading.Lock()
        self._state: RecorderState | None = None
        self._state_at_s = time.monotonic()
        self._said = ""
        self._usual: dict[str, UsualRate] = {}
        self._since: dict[str, str] = {}
        self._loss_is_seen = False
        self._stop = threading.Event()

    def start(self, heard: Callable[[RecorderState], None] | None = None) -> None:
        """heard: called with every state."""
        self._heard = heard
        threading.Thread(target=self._follow, name="fieldrig-link", daemon=True).start()

    @property
    def state(self) -> RecorderState | None:
        """The newest one; None before the first."""
        return self._state

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._state_at_s

    @property
    def is_lost(self) -> bool:
        return self._state is None or self.silent_s > LOST_AFTER_S or bool(self._said)

    @property
    def said(self) -> str:
        """Why the recorder cannot be heard, in one line; nothing while it is."""
        if self._said or not self.is_lost:
            return self._said
        return f"the recorder has said nothing for {self.silent_s:.0f} s"

    def client(self) -> RecorderClient:
        """Raises CaptureError when no recorder runs."""
        return RecorderClient.find(self._workspace, self._rig)

    def take(self, state: RecorderState) -> None:
        """A state that came by another way, too, e.g. right after an action: one that was under way meanwhile is old."""
        with self._taking:
            if self._state is not None and state.boot_ns < self._state.boot_ns:
                return
            self._state, self._state_at_s, self._said = state, time.monotonic(), ""
        self._loss_is_seen = False
        for stream in state.streams:
            self._usual.setdefault(stream.name, UsualRate()).add(stream)
        now, lasting = laptop_time(), in_short(state.alarms, state.streams)
        self._since = {alarm.key: self._since.get(alarm.key, now) for alarm in lasting}
        if self._heard is not None:
            self._heard(state)

    def usual_hz(self, stream: str) -> float | None:
        usual = self._usual.get(stream)
        return None if usual is None else usual.hz

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong now; a recorder that cannot be heard any more is all that then counts.

        One that has only just ended may have ended in order, and then ends this process, too: it alarms a little later than it is lost.
        """
        if self._state is None:
            return ()
        if self.is_lost:
            return (LOST_ALARM,) if self.silent_s > LOST_AFTER_S else ()
        return self._state.alarms

    @property
    def unseen_alarms(self) -> tuple[str, ...]:
        """Those that nobody has acknowledged."""
        if self._state is None or (self.is_lost and self._loss_is_seen):
            return ()
        return self.alarms if self.is_lost else self._state.unseen_alarms

    def since(self, key: str) -> str:
        """When the recorder's alarm of this key began, on the laptop's clock; empty for another's."""
        return self._since.get(key, "")

    def acknowledge_loss(self) -> None:
        """Somebody knows that the recorder is lost; it cannot be told itself what was seen."""
        self._loss_is_seen = True

    def close(self) -> None:
        self._stop.set()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                for state in self.client().watch(WATCH_HZ):
                    self.take(state)
                    if self._stop.is_set():
                        return
            except CaptureError as error:
                self._said = str(error)
            except Exception as error:  # whatever answers at that port, the page goes on saying that it is no recorder
                self._said = f"the recorder cannot be understood: {type(error).__name__}: {error}"
            self._stop.wait(_RETRY_S)


def laptop_time() -> str:
    """As a person reads it there."""
    return datetime.now().astimezone().strftime("%H:%M:%S")
