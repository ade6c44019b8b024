"""Keeping the newest files of a recording only: an older one is read through, found whole, and then given up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capture.bag.segment_check import damage_in
from capture.recording_info import SegmentInfo


def without_oldest(folder: Path, segments: Sequence[SegmentInfo], keep_bytes: int) -> tuple[SegmentInfo, ...]:
    """The segments, the oldest marked as deleted until those left are within ``keep_bytes``; no file is touched yet.

    The newest stays in any case. A file that is not what was written stays, too: somebody should look at it.
    """
    kept = list(segments)
    left_bytes = sum(segment.size_bytes for segment in kept if not segment.deleted)
    for index, segment in enumerate(kept[:-1]):
        if left_bytes <= keep_bytes:
            break
        if not segment.deleted and not damage_in(folder / segment.name, segment.sha256):
            kept[index] = segment.model_copy(update={"deleted": True})
            left_bytes -= segment.size_bytes
    return tuple(kept)


def delete_given_up(folder: Path, segments: Sequence[SegmentInfo]) -> None:
    """Deletes the files of segments that are marked so; recording.json must say it already, for whoever repairs."""
    for segment in segments:
        if segment.deleted:
            (folder / segment.name).unlink(missing_ok=True)
