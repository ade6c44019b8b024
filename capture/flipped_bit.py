"""A recording.json in which one bit has flipped, on a disk, a stick or in memory: its line of SHA256SUMS tells which."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from capture.checksums import read_sums
from capture.errors import CaptureError
from capture.recording_info import NAME

_BYTES_MAX = 32 << 10  # eight hashes a byte: a few seconds


def unflipped_info(folder: Path) -> bytes | None:
    """What recording.json was; None where it still is that, or more of it has changed, or nothing tells."""
    with contextlib.suppress(CaptureError, OSError):
        stated, found = read_sums(folder).get(NAME), (folder / NAME).read_bytes()
        if stated is not None and hashlib.sha256(found).hexdigest() != stated:
            return _unflipped(found, stated)
    return None


def _unflipped(damaged: bytes, sha256: str) -> bytes | None:
    """The bytes of this hash that differ from these in one bit."""
    if len(damaged) > _BYTES_MAX:
        return None
    before = hashlib.sha256()
    for at, byte in enumerate(damaged):
        behind = damaged[at + 1 :]
        for bit in range(8):
            other, tried = bytes([byte ^ 1 << bit]), before.copy()
            tried.update(other + behind)
            if tried.hexdigest() == sha256:
                return damaged[:at] + other + behind
        before.update(damaged[at : at + 1])
    return None
