"""A recording's folder: made before its first message, closed with its metadata and hashes behind the last."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from capture.bag.mcap_file import FileSummary
from capture.bag.rosbag import message_counts, write_metadata
from capture.checksums import write_sums
from capture.details import Details
from capture.errors import CaptureError
from capture.recording_info import RecordingInfo, StreamInfo, software
from capture.workspace import Workspace
from devices.device import Stream
from devices.rig import Rig

_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read for another


def begin_folder(
    workspace: Workspace, rig: Rig, streams: Sequence[Stream], details: Details | None = None
) -> tuple[Path, RecordingInfo]:
    """recordings/ID with its recording.json: a killed recorder leaves behind what its repair needs."""
    folder = _new_folder(workspace, rig.name)
    info = RecordingInfo(
        id=folder.name,
        rig=rig,
        **(details or Details()).as_dict(),
        software=software(),
        started_ns=time.time_ns(),
        streams={
            stream.name: StreamInfo(encoding=stream.encoding, description=stream.description, sensor=stream.sensor_name)
            for stream in streams
        },
    )
    info.save(folder)
    return folder, info


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
