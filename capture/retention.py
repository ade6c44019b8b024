"""Keeping the newest files of a recording only: an older one is read through, found whole, and then given up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
        self._given_up: set[str] = set()  # files that were found whole, and are yet to be deleted

    @property
    def doubts(self) -> Collection[str]:
        return self._kept.values()

    def without_oldest(self, segments: Sequence[SegmentInfo]) -> tuple[SegmentInfo, ...]:
        """The segments, those to give up marked as deleted; no file is touched yet."""
        left = list(segments)
        present = {each.name for each in left if not each.deleted and (self._folder / each.name).exists()}
        left_bytes = sum(each.size_bytes for each in left if each.name in present - self._kept.keys())
        for index, segment in enumerate(left[:-1]):
            if left_bytes <= self._keep_bytes:
                break
            if segment.deleted or segment.name in self._kept:
                continue
            if segment.name in present:
                left_bytes -= segment.size_bytes
                if not self._may_go(segment):
                    continue
            left[index] = segment.model_copy(update={"deleted": True})
        return tuple(left)

    def delete(self) -> None:
        """Deletes the files that were given up; recording.json must say it already, for whoever repairs. What somebody had taken away and
        puts back stays. Raises OSError, naming the first that cannot be deleted, when all others are.
        """
        delete_files(self._folder, self._given_up)
        self._given_up.clear()

    def _may_go(self, segment: SegmentInfo) -> bool:
        if why := self._objection(segment):
            self._kept[segment.name] = f"an older file could not be given up: {why}"
        else:
            self._given_up.add(segment.name)
        return not why

    def _objection(self, segment: SegmentInfo) -> str:
        try:
            return "; ".join(damage_in(self._folder / segment.name, segment.sha256))
        except CaptureError as error:
            return str(error)


def delete_files(folder: Path, names: Iterable[str]) -> None:
    """Raises OSError, naming the first that cannot be deleted, when all others are."""
    failures = []
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]
