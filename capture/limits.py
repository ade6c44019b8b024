"""The bounds of a recorder: of its queue, its memory, its files, and of what the disk must keep free."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

from capture.bag.segments import Split

_MACHINE_BYTES = psutil.virtual_memory().total


@dataclass(frozen=True, slots=True)
class Limits:
    """queue_bytes: what may wait for the disk. free_bytes: what is left free on it. silent_s: how long a sensor may say nothing that states no slower rate.

    split: when a new file is begun. keep_bytes: how much of the newest is kept when older files may be given up; None: everything.
    memory_bytes: the most that snapshot mode holds.

    The queue's bound is what a stall of the disk may cost: at 58 MB/s a GiB lasts for 18 s.
    """

    queue_bytes: int = min(1 << 30, _MACHINE_BYTES // 8)
    free_bytes: int = 512 << 20
    silent_s: float = 5.0
    split: Split = field(default_factory=Split)
    keep_bytes: int | None = None
    memory_bytes: int = _MACHINE_BYTES // 4
