"""The bounds of a recorder: of its queue, its memory, its files, and of what the disk must keep free."""

from __future__ import annotations

from dataclasses import dataclass, field

from capture.bag.segments import Split


@dataclass(frozen=True, slots=True)
class Limits:
    """queue_bytes: what may wait for the disk. free_bytes: what is left free on it. silent_s: how long a sensor may say nothing.

    split: when a new file is begun. keep_bytes: how much of the newest is kept when older files may be given up; None: everything.
    memory_bytes: the most that snapshot mode holds.
    """

    queue_bytes: int = 256 << 20
    free_bytes: int = 512 << 20
    silent_s: float = 5.0
    split: Split = field(default_factory=Split)
    keep_bytes: int | None = None
    memory_bytes: int = 2 << 30
