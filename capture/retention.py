"""Keeping the newest files of a recording only: an older one is read through, found whole, and then given up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from capture.bag.segment_check import damage_in
from capture.errors import CaptureError
from capture.recording_info import SegmentInfo


class Retention:
    """Gives up a recording's oldest files until those left are within ``keep_bytes``; the newest stays in any case.

    A file that cannot be read, or is not what was written, stays, too, beside them: somebody should look at it. ``doubts`` says so, a
    line each. One that somebody has taken away counts as given up when its turn comes.
    """

    def __init__(self, folder: Path, keep_bytes: int) -> None:
        self._folder = folder
        self._keep_bytes = keep_bytes
        self._kept: dict[str, str] = {}  # file that must not be given up -> why

    @property
    def doubts(self) -> Collection[str]:
        return self._kept.values()

    def without_oldest(self, segments: Sequence[SegmentInfo]) -> tuple[SegmentInfo, ...]:
        """The segments, those to give up marked as deleted; no file is touched yet."""
        left = list(segments)
        sizes = {segment.name: segment.size_bytes for segment in left if self._is_present(segment)}
        for index, segment in enumerate(left[:-1]):
            if sum(size for name, size in sizes.items() if name not in self._kept) <= self._keep_bytes:
                break
            if segment.name not in sizes or self._may_go(segment):
                left[index] = segment.model_copy(update={"deleted": True})
                sizes.pop(segment.name, None)
        return tuple(left)

    def _is_present(self, segment: SegmentInfo) -> bool:
        return not segment.deleted and (self._folder / segment.name).exists()

    def _may_go(self, segment: SegmentInfo) -> bool:
        if segment.name not in self._kept and (why := self._objection(segment)):
            self._kept[segment.name] = f"an older file could not be given up: {why}"
        return segment.name not in self._kept

    def _objection(self, segment: SegmentInfo) -> str:
        try:
            return "; ".join(damage_in(self._folder / segment.name, segment.sha256))
        except CaptureError as error:
            return str(error)


def delete_given_up(folder: Path, segments: Sequence[SegmentInfo]) -> None:
    """Deletes the files of segments that are marked so; recording.json must say it already, for whoever repairs.

    Raises OSError, naming the first that cannot be deleted, when all others are.
    """
    failures = []
    for segment in segments:
        if segment.deleted:
            try:
                (folder / segment.name).unlink(missing_ok=True)
            except OSError as error:
                failures.append(error)
    if failures:
        raise failures[0]
