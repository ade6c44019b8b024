"""What recording.json and metadata.yaml say of a recording, said anew after its files have changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from capture.bag.mcap_file import FileSummary
from capture.bag.rosbag import message_counts, write_metadata
from capture.recording_info import RecordingInfo, SegmentInfo


def restate(folder: Path, info: RecordingInfo, files: Mapping[str, FileSummary]) -> None:
    """files: what each file of messages that is there holds. What a missing one held is still counted: it may be found and put back."""
    write_metadata(folder, info.stream_list(), files)
    kept = [FileSummary(counts=segment.counts) for segment in info.segments if not segment.deleted]
    info.model_copy(update={"counts": message_counts(info.streams, kept or files.values())}).save(folder)


def segment_info(path: Path, file: FileSummary, sha256: str) -> SegmentInfo:
    return SegmentInfo(
        name=path.name,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        start_ns=file.start_ns,
        end_ns=file.end_ns,
        counts=file.counts,
    )


def unproven_words(name: str, rescued: int) -> str:
    """What is to be said of a file whose last messages were taken from a torn chunk."""
    which = "message is" if rescued == 1 else f"{rescued} messages are"
    return (
        f"{name}: its last {which} from a chunk that was cut off; no checksum proves them to be as they were recorded"
    )


def lost_words(name: str, stated: Mapping[str, int], found: Mapping[str, int]) -> str:
    """What a file lacks of the messages that it held; empty when it lacks none."""
    lost = sum(max(0, count - found.get(topic, 0)) for topic, count in stated.items())
    if not lost:
        return ""
    return f"{name} was damaged after it was recorded: {lost} of its {sum(stated.values())} messages are missing"
