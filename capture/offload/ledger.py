"""offloaded/ID.json: what a recording was, and where it went, once it was deleted here."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from capture.checksums import bytes_in
from capture.episodes import UNLABELLED, counted_episodes
from capture.errors import CaptureError
from capture.recording_info import EpisodeInfo, Nanoseconds, RecordingInfo
from capture.whole_file import write_whole
from capture.workspace import Workspace
from devices.errors import FieldrigError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class LedgerFullError(CaptureError):
    """The disk has no room for an entry."""


class LedgerEntry(BaseModel):
    """where: its folder there. size_bytes: of all its files, here. episodes: those that orders count. recording: its recording.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["fieldrig.offloaded/1"] = "fieldrig.offloaded/1"
    where: str
    deleted_ns: Nanoseconds
    size_bytes: int
    episodes: tuple[EpisodeInfo, ...]
    recording: RecordingInfo

    @property
    def rests_on_info(self) -> bool:
        """Whether its episodes can be told from its recording.json alone."""
        told = _told_episodes(self.recording)
        return [(each.task, each.outcome) for each in self.episodes] == [(each.task, each.outcome) for each in told]


def entry_of(lies_at: Path, info: RecordingInfo, where: str) -> LedgerEntry:
    """Of a recording that is being deleted, and still whole."""
    try:
        episodes = counted_episodes(lies_at, info)
    except FieldrigError:  # orders did not count it before, either
        episodes = ()
    return _entry(info, where, bytes_in(lies_at), episodes)


def entry_of_info(info: RecordingInfo, where: str, size_bytes: int) -> LedgerEntry:
    """The same without the recording's files, for one whose entry rests on its recording.json."""
    return _entry(info, where, size_bytes, _told_episodes(info))


def _entry(info: RecordingInfo, where: str, size_bytes: int, episodes: tuple[EpisodeInfo, ...]) -> LedgerEntry:
    return LedgerEntry(where=where, deleted_ns=time.time_ns(), size_bytes=size_bytes, episodes=episodes, recording=info)


def _told_episodes(info: RecordingInfo) -> tuple[EpisodeInfo, ...]:
    """As orders count them where no mark stream says otherwise: a drive without marks is one."""
    if not info.episodes and not info.task and info.verdict in (None, "bad"):
        return ()
    whole = EpisodeInfo(
        task=info.task or UNLABELLED, start_ns=info.started_ns, stop_ns=info.ended_ns, outcome="success"
    )
    return info.episodes or (whole,)


def enter(folder: Path, entry: LedgerEntry) -> None:
    """Takes an entry down. folder: the recording's, as it was called in its workspace; one that lies in no workspace has no ledger.

    Raises LedgerFullError when the disk has no room for it, CaptureError when it cannot be written.
    """
    workspace = Workspace.of_recording(folder)
    if workspace is None:
        return
    path = workspace.offloaded / f"{folder.name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, entry.model_dump_json(indent=2) + "\n")
    except OSError as error:
        if error.errno in _FULL:
            raise LedgerFullError(f"{path}: no room is left for it; free some space on its disk") from None
        raise CaptureError(
            f"{path}, which says where the recording went, cannot be written: {error.strerror or error}; nothing was deleted"
        ) from None


def read_entry(path: Path) -> LedgerEntry:
    """Raises CaptureError."""
    try:
        return LedgerEntry.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CaptureError(f"{path}: {f'{where}: ' if where else ''}{first['msg']}; put it back from a copy") from None


def entries_alone(workspace: Workspace) -> list[Path]:
    """The entries of recordings that are not here again."""
    paths = sorted(workspace.offloaded.glob("[!.]*.json"))
    return [path for path in paths if not (workspace.recordings / path.stem).exists()]
