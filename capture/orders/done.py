"""The episodes that a workspace's recordings hold, for orders to be counted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from capture.episodes import counted_episodes
from capture.kept import unpaused_ns
from capture.offload.aside import put_back
from capture.offload.ledger import entries_alone, read_entry
from capture.orders.status import DoneEpisode
from capture.recording_info import NAME, EpisodeInfo, RecordingInfo, load_info
from capture.workspace import Workspace
from devices.errors import FieldrigError


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
