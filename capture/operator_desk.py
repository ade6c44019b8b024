"""What the crew points out while recording: marks, notes, episodes. They are a stream of the recording like any sensor's."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Sequence

from capture.details import one_line, plain_text
from capture.errors import CaptureError
from capture.recorder_state import EpisodeState, Outcome, StatedMark
from capture.recording_info import EpisodeInfo, MarkInfo
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK
from devices.marks import ENCODING
from devices.rig import RECORDER
from devices.samples import Packet, Stamps

STREAM = Stream(f"{RECORDER}/marks", ENCODING)
EPISODE_START, EPISODE_STOP = "episode_start", "episode_stop"
_SHOWN, _KEPT = 20, 1000
_LATE_NS = (
    5_000_000_000  # what a command may take from its key press until it is heard; who says more means something else
)


class OperatorDesk:
    """A Source whose packets are what mark() takes down, stamped with this machine's clock."""

    def __init__(self) -> None:
        self._waiting: list[Packet] = []
        self._changed = threading.Condition()
        self._closed = False
        self.begin()

    def begin(self) -> None:
        """A recording begins: nothing has been marked in it."""
        self._last_ns = HOST_CLOCK.now_ns()
        self._marks: deque[StatedMark] = deque(maxlen=_SHOWN)
        self._kept: deque[MarkInfo] = deque(maxlen=_KEPT)
        self._episodes: list[EpisodeInfo] = []
        self._has_ended = False

    def end(self) -> None:
        """The recording has ended: an episode that nobody ended is under way no longer."""
        self._has_ended = True

    def mark(self, kind: str, text: str, boot_ns: int | None = None) -> int:
        """Takes an instant down: boot_ns by since_boot_ns() if it is of the last seconds, else now. Returns its host ns.

        Raises CaptureError when there is nothing to take down, or it is an episode's.
        """
        kind = one_line("a mark's kind", kind)
        if not kind:
            raise CaptureError("a mark has a kind")
        if kind in (EPISODE_START, EPISODE_STOP):
            raise CaptureError(f"no mark is of the kind '{kind}': an episode has its own command, fieldrig episode")
        text = plain_text("a mark's text", text)
        at_ns = self._take_down(kind, text, boot_ns)
        self._kept.append(MarkInfo(t_ns=at_ns, kind=kind, text=text))
        return at_ns

    def _take_down(self, kind: str, text: str, boot_ns: int | None, **data: str) -> int:
        now_ns = HOST_CLOCK.now_ns()
        at_ns = self._last_ns = self._instant_ns(boot_ns, now_ns)
        line = json.dumps({"t_ns": at_ns, "kind": kind, "text": text, **data}, ensure_ascii=False)
        with self._changed:
            self._waiting.append(Packet(STREAM.name, Stamps(now_ns), line.encode() + b"\n"))
            self._marks.append(StatedMark(at_ns, kind, text))
            self._changed.notify()
        return at_ns

    def _instant_ns(self, boot_ns: int | None, now_ns: int) -> int:
        """In the recording, behind what was taken down before, and not to come."""
        said_ns = now_ns if boot_ns is None else HOST_CLOCK.of_boot(boot_ns)
        is_sound = now_ns - _LATE_NS <= said_ns <= now_ns
        return max(self._last_ns, said_ns) if is_sound else now_ns

    def episode_start(self, task: str, boot_ns: int | None = None) -> None:
        """Raises CaptureError while one is under way, and for a task that is no line of text."""
        if self._open is not None:
            raise CaptureError(f"the episode '{self._open.task}' is still under way; end it first")
        task = one_line("an episode's task", task)
        start_ns = self._take_down(EPISODE_START, task, boot_ns)
        self._episodes.append(EpisodeInfo(task=task, start_ns=start_ns, stop_ns=None))

    def episode_stop(self, outcome: Outcome, boot_ns: int | None = None) -> None:
        """Raises CaptureError while none is under way."""
        episode = self._open
        if episode is None:
            raise CaptureError("no episode is under way; start one first")
        stop_ns = self._take_down(EPISODE_STOP, episode.task, boot_ns, outcome=outcome)
        self._episodes[-1] = episode.model_copy(update={"stop_ns": stop_ns, "outcome": outcome})

    @property
    def episodes(self) -> tuple[EpisodeInfo, ...]:
        return tuple(self._episodes)

    @property
    def marks(self) -> tuple[StatedMark, ...]:
        """The newest ones, oldest first."""
        return tuple(self._marks)

    def kept_marks(self, from_ns: int = 0) -> tuple[MarkInfo, ...]:
        """For recording.json: the newest thousand, as far as they were taken down since; the stream holds all."""
        return tuple(each for each in self._kept.copy() if each.t_ns >= from_ns)

    def episode_state(self) -> EpisodeState:
        done: dict[str, int] = {}
        for episode in self._episodes:
            if episode.outcome:
                done[episode.outcome] = done.get(episode.outcome, 0) + 1
        if self._open is None:
            return EpisodeState(done=done)
        return EpisodeState(True, self._open.task, (HOST_CLOCK.now_ns() - self._open.start_ns) / 1e9, done)

    @property
    def _open(self) -> EpisodeInfo | None:
        last = self._episodes[-1] if self._episodes and not self._has_ended else None
        return last if last is not None and last.stop_ns is None else None

    # what a Source is

    @property
    def stream(self) -> Stream:
        return STREAM

    @property
    def lost(self) -> int:
        return 0

    @property
    def clock_source(self) -> ClockSource:
        return ClockSource.HOST

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """Raises EOFError once closed."""
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            taken, self._waiting = self._waiting, []
            if self._closed and not taken:
                raise EOFError(f"{STREAM.name} was closed")
            return taken

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
