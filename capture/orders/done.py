"""The episodes that a workspace's recordings hold, for orders to be counted by; and the lines of them that a recorder shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from capture.details import Details
from capture.episodes import counted_episodes
from capture.errors import CaptureError
from capture.kept import unpaused_ns
from capture.offload.aside import put_back
from capture.offload.ledger import entries_alone, read_entry
from capture.orders.orders import load_order
from capture.orders.status import DoneEpisode, missing
from capture.recording_info import NAME, EpisodeInfo, RecordingInfo, load_info
from capture.workspace import Workspace
from devices.errors import FieldrigError

_LOOK_AGAIN_S = 5.0


class DoneEpisodes:
    """The episodes of every recording of a workspace, of those that were offloaded and deleted here, too; one is read again only
    when its recording.json has changed.

    unreadable: of the last look, a line a recording that could not be read.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.unreadable: list[str] = []
        self._workspace = workspace
        self._known: dict[Path, tuple[int, list[DoneEpisode]]] = {}

    def look(self) -> list[DoneEpisode]:
        self.unreadable = []
        put_back(self._workspace.recordings)
        known: dict[Path, tuple[int, list[DoneEpisode]]] = {}
        here, elsewhere = sorted(self._workspace.recordings.glob(f"[!.]*/{NAME}")), entries_alone(self._workspace)
        for path in (*here, *elsewhere):
            try:
                changed_ns = path.stat().st_mtime_ns
                before = self._known.get(path)
                if before is None or before[0] != changed_ns:
                    before = (changed_ns, done_in(path.parent) if path.name == NAME else _offloaded(path))
                known[path] = before
            except (FieldrigError, OSError) as error:
                self.unreadable.append(str(error))
        self._known = known
        return _once({path: episodes for path, (_, episodes) in known.items()})


def _once(found: Mapping[Path, Sequence[DoneEpisode]]) -> list[DoneEpisode]:
    """A recording that was copied within its workspace counts once: as the folder that is called by its ID has it, if there is one."""
    counted: dict[str, Sequence[DoneEpisode]] = {}
    for path, episodes in found.items():
        for id_ in {each.recording_id for each in episodes}:
            if id_ not in counted or path.parent.name == id_:
                counted[id_] = episodes
    return [episode for episodes in counted.values() for episode in episodes]


def done_in(folder: Path) -> list[DoneEpisode]:
    """The episodes of one recording. Raises CaptureError, and DeviceError where a sensor's driver is not installed."""
    info = load_info(folder)
    return _done(info, counted_episodes(folder, info))


def _offloaded(entry: Path) -> list[DoneEpisode]:
    known = read_entry(entry)
    return _done(known.recording, known.episodes)


def _done(info: RecordingInfo, episodes: Sequence[EpisodeInfo]) -> list[DoneEpisode]:
    return [
        DoneEpisode(
            info.id,
            each.task or info.task,
            each.outcome,
            info.site,
            info.operator,
            info.order,
            info.verdict,
            not info.pauses or each.stop_ns is None or unpaused_ns(info, each.start_ns, each.stop_ns) > 0,
        )
        for each in episodes
    ]


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
