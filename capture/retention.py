"""Keeping the newest files of a recording only: an older one is read through, found whole, and then given up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capture.checksums import sha256_of
from capture.recording_info import SegmentInfo


def without_oldest(folder: Path, segments: Sequence[SegmentInfo], keep_bytes: int) -> tuple[SegmentInfo, ...]:
    """The segments, the oldest marked as deleted and their files gone until those left are within ``keep_bytes``.

    The newest stays in any case. A file that is not what was written stays, too: somebody should look at it.
    """
    kept = list(segments)
    left_bytes = sum(segment.size_bytes for segment in kept if not segment.deleted)
    for index, segment in enumerate(kept[:-1]):
        if left_bytes <= keep_bytes:
            break
        path = folder / segment.name
        if segment.deleted or sha256_of(path) != segment.sha256:
            continue
        path.unlink()
        kept[index] = segment.model_copy(update={"deleted": True})
        left_bytes -= segment.size_bytes
    return tuple(kept)
