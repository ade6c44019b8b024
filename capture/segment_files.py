"""ID_0.mcap, ID_1.mcap, ...: the files that hold a recording's messages, and which of them ought to be there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from capture.errors import CaptureError
from capture.recording_info import RecordingInfo, SegmentInfo

UNDER_WAY = "repair.under-way"  # while a repair is at work on files that had been closed: their names, a line each


def under_way(folder: Path) -> list[str]:
    """The files that a repair was at work on which did not come to its end."""
    path = folder / UNDER_WAY
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def segment_paths(folder: Path, recording_id: str) -> tuple[Path, ...]:
    """Those that are there, in order. Raises CaptureError where a folder, or a link that leads nowhere, bears the name of one."""
    name = re.compile(re.escape(recording_id) + r"_(0|[1-9]\d*)\.mcap")
    try:
        found = {int(match[1]): path for path in folder.iterdir() if (match := name.fullmatch(path.name))}
        for path in found.values():
            if not path.is_file():
                raise CaptureError(
                    f"{path} is no file, but a folder or a link that leads nowhere; put the file that was recorded in its place"
                )
    except OSError as error:
        raise CaptureError(f"cannot read {folder}: {error.strerror or error}; see whether you may") from None
    return tuple(found[number] for number in sorted(found))


def present_segments(folder: Path, info: RecordingInfo) -> tuple[Path, ...]:
    """The same of a finished recording. Raises CaptureError when there is none at all."""
    paths = segment_paths(folder, info.id)
    if not paths:
        missing = missing_segments(folder, info.segments) or [f"{info.id}_0.mcap is missing"]
        raise CaptureError(f"{folder} is damaged: {'; '.join(missing)}")
    return paths


def missing_segments(folder: Path, segments: Sequence[SegmentInfo]) -> list[str]:
    """A line for each file that was recorded, was not given up, and is not there."""
    return [
        f"{segment.name} is missing, and with it {sum(segment.counts.values())} messages"
        for segment in segments
        if not segment.deleted and not (folder / segment.name).is_file()
    ]
