"""offloaded/ID.json: what a recording was, and where it went, once it was deleted here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from capture.checksums import bytes_in
from capture.episodes import counted_episodes
from capture.errors import CaptureError
from capture.recording_info import EpisodeInfo, Nanoseconds, RecordingInfo
from capture.whole_file import write_whole
from capture.workspace import Workspace


class Offloaded(BaseModel):
    """where: its folder there. size_bytes: of all its files, here. episodes: those that orders count. recording: its recording.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["fieldrig.offloaded/1"] = "fieldrig.offloaded/1"
    where: str
    deleted_ns: Nanoseconds
    size_bytes: int
    episodes: tuple[EpisodeInfo, ...]
    recording: RecordingInfo


def enter(folder: Path, lies_at: Path, info: RecordingInfo, where: str) -> None:
    """Takes down that a recording is being deleted. folder: as it was called in its workspace; lies_at: where it lies now.

    One that lies in no workspace has no ledger. Raises CaptureError when it cannot be written.
    """
    workspace = Workspace.of_recording(folder)
    if workspace is None:
        return
    try:
        episodes = counted_episodes(lies_at, info)
    except CaptureError:  # orders did not count it before, either
        episodes = ()
    entry = Offloaded(
        where=where, deleted_ns=time.time_ns(), size_bytes=bytes_in(lies_at), episodes=episodes, recording=info
    )
    path = workspace.offloaded / f"{folder.name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, entry.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise CaptureError(
            f"{path}, which says where the recording went, cannot be written: {error.strerror or error}; nothing was deleted"
        ) from None


def read_entry(path: Path) -> Offloaded:
    """Raises CaptureError."""
    try:
        return Offloaded.model_validate_json(path.read_bytes())
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
