"""The episodes that a workspace's recordings hold, for orders to be counted by; and the lines of them that a recorder shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from capture.details import Details
from capture.episodes import episodes_of
from capture.errors import CaptureError
from capture.kept import unpaused_ns
from capture.orders.orders import load_order
from capture.orders.status import DoneEpisode, missing
from capture.recording import open_recording
from capture.recording_info import NAME, EpisodeInfo, RecordingInfo, load_info
from capture.workspace import Workspace
from devices.errors import FieldrigError

_LOOK_AGAIN_S = 5.0


class DoneEpisodes:
    """The episodes of every recording of a workspace; a recording is read again only when its recording.json has changed.

    unreadable: of the last look, a line a recording that could not be read.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.unreadable: list[str] = []
        self._workspace = workspace
        self._known: dict[Path, tuple[int, list[DoneEpisode]]] = {}

    def look(self) -> list[DoneEpisode]:
        self.unreadable = []
        known: dict[Path, tuple[int, list[DoneEpisode]]] = {}
        for path in sorted(self._workspace.recordings.glob(f"*/{NAME}")):
            try:
                changed_ns = path.stat().st_mtime_ns
                before = self._known.get(path)
                if before is None or before[0] != changed_ns:
                    before = (changed_ns, done_in(path.parent))
                known[path] = before
            except (FieldrigError, OSError) as error:
                self.unreadable.append(str(error))
        self._known = known
        return [episode for _, episodes in known.values() for episode in episodes]


def done_in(folder: Path) -> list[DoneEpisode]:
    """The episodes of one recording: those that its recorder took down, else those that lie in its mark streams. Raises CaptureError."""
    info = load_info(folder)
    if info.episodes:
        return [_done(info, each.task, each.outcome, (each.start_ns, each.stop_ns)) for each in info.episodes]
    if info.verdict is None or info.verdict == "bad":
        return [_done(info, info.task, "success", (info.started_ns, info.ended_ns))] if info.task else []
    episodes = episodes_of(open_recording(folder))
    return [_done(info, each.task, each.outcome, (each.start_ns, each.stop_ns)) for each in episodes]


def _done(info: RecordingInfo, task: str, outcome: str, span_ns: tuple[int, int | None]) -> DoneEpisode:
    start_ns, stop_ns = span_ns
    is_recorded = not info.pauses or stop_ns is None or unpaused_ns(info, start_ns, stop_ns) > 0
    return DoneEpisode(
        info.id, task or info.task, outcome, info.site, info.operator, info.order, info.verdict, is_recorded
    )


class OrderLines:
    """What a recorder shows of the order that it records for. Called many times a second, it answers at once with what is known.

    The workspace is looked through in a thread of its own, every few seconds and when the order changes.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._done = DoneEpisodes(workspace)
        self._lines: tuple[str, ...] = ()
        self._seen: tuple[str, Sequence[DoneEpisode]] = ("", ())
        self._looked_s = float("-inf")
        self._looking: threading.Thread | None = None

    def __call__(self, details: Details, under_way: Sequence[EpisodeInfo] = ()) -> Sequence[str]:
        """details: of the recording under way or the next; under_way: the episodes that it has so far."""
        if not details.order:
            return ()
        if details.order != self._seen[0]:
            self._lines = ()
        now = [
            DoneEpisode("", each.task or details.task, each.outcome, details.site, details.operator, details.order)
            for each in under_way
        ]
        is_due = time.monotonic() - self._looked_s > _LOOK_AGAIN_S or self._seen != (details.order, now)
        if is_due and (self._looking is None or not self._looking.is_alive()):
            self._seen, self._looked_s = (details.order, now), time.monotonic()
            self._looking = threading.Thread(
                target=self._look, args=(details.order, now), name="fieldrig-order", daemon=True
            )
            self._looking.start()
        return self._lines

    def _look(self, name: str, under_way: Sequence[DoneEpisode]) -> None:
        try:
            order = load_order(self._workspace, name)
            self._lines = missing(order, [*self._done.look(), *under_way])
        except CaptureError as error:
            self._lines = (str(error),)
        except Exception as error:  # a defect must not end the thread in silence
            self._lines = (f"order {name}: cannot be counted: {type(error).__name__}: {error}; report this",)
