"""Checks one closed file of a recording, also while the next one is being recorded: before it may be deleted, or after it was moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture.bag.file_pass import FilePass
from capture.errors import CaptureError
from capture.stream_check import StreamCheck


@dataclass(frozen=True, slots=True)
class SegmentCheck:
    """What one file holds. damage: why it must not be relied on, a line each. streams: topic -> its messages as they were read."""

    path: Path
    sha256: str
    size_bytes: int
    damage: tuple[str, ...]
    streams: dict[str, StreamCheck]


def verify_segment(path: Path, sha256: str, progress: Callable[[int], None] | None = None) -> SegmentCheck:
    """Reads every byte of a closed file once: its hash, its CRCs, its indexes, its statistics, its sequence numbers.

    sha256: what it was when it was written. Damage is told in the result; raises CaptureError when the file cannot be read.
    progress gets the bytes read so far.
    """
    try:
        with path.open("rb") as file:
            whole = FilePass(file, path.stat().st_size, progress)
            streams: dict[str, StreamCheck] = {}
            for message in whole:
                check = streams.get(message.topic)
                if check is None:  # a file begins where the one before it ended
                    check = streams[message.topic] = StreamCheck(message.topic, last_sequence=message.sequence - 1)
                device_ns = None if message.publish_ns == message.log_ns else message.publish_ns
                check.take(message.sequence, message.log_ns, device_ns)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}; see whether its disk is well") from None
    damage = [f"{path.name}: {line}" for line in whole.damage]
    if whole.sha256 != sha256:
        damage.insert(0, f"{path.name} is not the file that was recorded: its SHA-256 differs")
    return SegmentCheck(path, whole.sha256, whole.size_bytes, tuple(damage), streams)
