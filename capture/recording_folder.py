"""A recording's folder: made before its first message, closed with its metadata and hashes behind the last."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from capture.bag.mcap_file import FileSummary
from capture.bag.rosbag import message_counts, write_metadata
from capture.checksums import write_sums
from capture.details import Details
from capture.errors import CaptureError
from capture.lock import FolderLock
from capture.recording_info import NAME, RecordingInfo, StreamInfo, software
from capture.workspace import Workspace
from devices.device import Stream
from devices.host_clock import HOST_CLOCK
from devices.rig import Rig

_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read for another


class RecordingFolder:
    """The folder of a recording that is being made: nobody else's until released. ``info``: what is known of it by now.

    Any thread may change() and save(). Once closed, recording.json is final.
    """

    def __init__(
        self, workspace: Workspace, rig: Rig, streams: Sequence[Stream], details: Details | None = None
    ) -> None:
        self.path = _new_folder(workspace, rig.name)
        self._lock = FolderLock(self.path)
        self._changing, self._saving = threading.Lock(), threading.Lock()
        self._is_closed = False
        try:
            self.info = _begin_info(self.path, rig, streams, details)
        except BaseException:
            self.abandon()
            raise

    def change(self, **changes: Any) -> None:
        """Never waits for the disk."""
        with self._changing:
            self.info = self.info.model_copy(update=changes)

    def save(self, **changes: Any) -> bool:
        """Into recording.json at once: a recorder that is killed leaves it behind. Whether the disk took it; else it goes there later."""
        self.change(**changes)
        with self._saving:
            if self._is_closed:
                return False
            try:
                self.info.save(self.path)
            except OSError:
                return False
            return True

    def close(self, files: Mapping[str, FileSummary], known_sums: Mapping[str, str]) -> RecordingInfo:
        """As close_folder()."""
        with self._saving:
            self._is_closed = True
        return close_folder(self.path, self.info, files, known_sums)

    def abandon(self) -> None:
        """Nothing could be recorded: it goes, unless there is something in it."""
        if {path.name for path in self.path.iterdir()} <= {NAME}:
            shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Others may have the folder: it is closed, or there is nothing that this process could still do for it."""
        self._lock.release()


def begin_folder(
    workspace: Workspace, rig: Rig, streams: Sequence[Stream], details: Details | None = None
) -> tuple[Path, RecordingInfo]:
    """recordings/ID with its recording.json, held by nobody: for those whose workspace is theirs alone."""
    folder = _new_folder(workspace, rig.name)
    return folder, _begin_info(folder, rig, streams, details)


def close_folder(
    folder: Path, info: RecordingInfo, files: Mapping[str, FileSummary], known_sums: Mapping[str, str]
) -> RecordingInfo:
    """Makes the folder a ROS 2 bag, counts what its files hold, and writes recording.json and SHA256SUMS for good."""
    write_metadata(folder, info.stream_list(), files)
    counts = message_counts(info.streams, files.values())
    state = "finished" if info.state == "recording" else info.state
    closed = info.model_copy(update={"counts": counts, "state": state})
    closed.save(folder)
    write_sums(folder, known_sums)
    return closed


def _new_folder(workspace: Workspace, rig: str) -> Path:
    """ID: UTC time, rig and four random characters, so that no two are the same."""
    time_text = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    while True:
        folder = workspace.recordings / f"{time_text}-{rig}-{''.join(secrets.choice(_ID_LETTERS) for _ in range(4))}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise CaptureError(f"cannot make {folder}: {error.strerror}; give another --workspace") from None


def _begin_info(folder: Path, rig: Rig, streams: Sequence[Stream], details: Details | None) -> RecordingInfo:
    """recording.json: a killed recorder leaves behind what its repair needs."""
    info = RecordingInfo(
        id=folder.name,
        rig=rig,
        **(details or Details()).as_dict(),
        software=software(),
        started_ns=HOST_CLOCK.now_ns(),
        streams={
            stream.name: StreamInfo(encoding=stream.encoding, description=stream.description, sensor=stream.sensor_name)
            for stream in streams
        },
    )
    info.save(folder)
    return info
