"""When the packets came that lie in a recording's files, whatever its recorder wrote beside them and when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from capture.bag.file_pass import FilePass
from capture.bag.mcap_file import messages_in
from capture.errors import CaptureError


def arrivals_in(paths: Sequence[Path], topics: Collection[str]) -> tuple[int, int] | None:
    """Host arrivals of the first and the last packet on any of the topics, ns, in finished files; None when there is none."""
    first_ns, last_ns = _outermost(paths, topics, 0), _outermost(reversed(paths), topics, 1)
    return None if first_ns is None or last_ns is None else (first_ns, last_ns)


def _outermost(paths: Iterable[Path], topics: Collection[str], side: int) -> int | None:
    """Of the first of these files that has any packet. side: 0 its first, 1 its last."""
    for path in paths:
        try:
            found = next(messages_in(path, topics, newest_first=side == 1), None)
            ends = None if found is None else (found.log_ns, found.log_ns)
        except CaptureError:  # a damaged chunk: the others tell
            ends = _read_through(path, topics)
        if ends is not None:
            return ends[side]
    return None


def _read_through(path: Path, topics: Collection[str]) -> tuple[int, int] | None:
    first_ns, last_ns = -1, -1
    with path.open("rb") as file:
        for message in FilePass(file, path.stat().st_size):
            if message.topic in topics:
                first_ns = message.log_ns if first_ns < 0 else min(first_ns, message.log_ns)
                last_ns = max(last_ns, message.log_ns)
    return None if first_ns < 0 else (first_ns, last_ns)
