"""The workspace's disk: how fast it takes what a recorder writes, how long it stalls, how many hours it holds."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture.limits import Limits
from capture.preflight.finding import Finding, amber, green, red
from capture.workspace import Workspace
from devices.progress import Progress

_BLOCK_BYTES = 1 << 20  # the size of the recorder's chunks
_SYNC_BYTES = 32 << 20  # what a fast rig writes between two of the recorder's syncs
_MOST_BYTES = 1 << 30
_MEASURE_S = 2.0
_SPEED_GREEN, _SPEED_AMBER = 2.0, 1.0  # times the rig's own rate
_HOURS_AMBER = 0.25  # of the hours that are wanted
_MORE_SPACE = "free some space (fieldrig offload ... --delete), or give a larger disk by --workspace"
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as measured. bytes_s: 0 where it has no room to measure. worst_stall_s: the longest that one write or sync took.

    trouble: why it could not be measured.
    """

    folder: Path
    free_bytes: int
    bytes_s: float = 0.0
    worst_stall_s: float = 0.0
    trouble: str = ""


def measure_disk(workspace: Workspace, progress: Progress | None = None, most_bytes: int = _MOST_BYTES) -> Disk:
    """Writes and syncs as the recorder does, for two seconds and at most a tenth of what is free; leaves nothing behind."""
    folder = next(each for each in (workspace.root, *workspace.root.parents) if each.is_dir())
    free_bytes = shutil.disk_usage(folder).free
    room_bytes = min(most_bytes, free_bytes // 10)
    if room_bytes < _BLOCK_BYTES:
        return Disk(folder, free_bytes)  # how fast it is matters to nobody: disk_space() says that it is full
    try:
        bytes_s, worst_stall_s = _written(folder, room_bytes, progress)
    except OSError as error:
        return Disk(folder, free_bytes, trouble=error.strerror or str(error))
    return Disk(folder, free_bytes, bytes_s, worst_stall_s)


def _written(folder: Path, most_bytes: int, progress: Progress | None) -> tuple[float, float]:
    """(bytes a second, the longest call in s). Random bytes: some disks are quicker with what they can compress."""
    block, sync = os.urandom(_BLOCK_BYTES), getattr(os, "fdatasync", os.fsync)
    written, worst_s, started_s = 0, 0.0, time.perf_counter()
    with tempfile.TemporaryFile(dir=folder, prefix=".fieldrig-preflight-", buffering=0) as file:
        while written + _BLOCK_BYTES <= most_bytes:
            for _ in range(min(_SYNC_BYTES, most_bytes - written) // _BLOCK_BYTES):
                worst_s = max(worst_s, _timed(lambda: file.write(block)))
                written += _BLOCK_BYTES
            worst_s = max(worst_s, _timed(lambda: sync(file.fileno())))
            passed_s = time.perf_counter() - started_s
            if progress is not None:
                progress("writing to the disk", min(1.0, passed_s / _MEASURE_S))
            if passed_s >= _MEASURE_S:
                break
        passed_s = time.perf_counter() - started_s
    return written / passed_s, worst_s


def _timed(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return time.perf_counter() - started_s


def disk_speed(disk: Disk, rig_bytes_s: float) -> list[Finding]:
    """At least twice what the rig gives, and no stall that the recorder's queue could not bridge."""
    subject = str(disk.folder)
    if disk.trouble:
        return [
            red(
                "disk speed",
                subject,
                f"cannot be written to: {disk.trouble}",
                "give another --workspace, or make this one writable",
            )
        ]
    if not disk.bytes_s:
        return []
    measured = f"{disk.bytes_s / _MB:.0f} MB/s written and synced, the rig gives {rig_bytes_s / _MB:.3g} MB/s"
    if disk.bytes_s >= _SPEED_GREEN * rig_bytes_s:
        speed = green("disk speed", subject, measured)
    else:
        colour = amber if disk.bytes_s >= _SPEED_AMBER * rig_bytes_s else red
        speed = colour(
            "disk speed", subject, measured, "record to a faster disk (--workspace), or lower the cameras' rates"
        )
    return [speed, _stall(disk, rig_bytes_s)]


def _stall(disk: Disk, rig_bytes_s: float) -> Finding:
    queue_bytes, waiting_bytes = Limits().queue_bytes, disk.worst_stall_s * rig_bytes_s
    measured = f"{disk.worst_stall_s * 1e3:.0f} ms the longest, in which {waiting_bytes / _MB:.1f} MB come; {queue_bytes / _MB:.0f} MB may wait"
    if waiting_bytes <= queue_bytes / 2:
        return green("disk stalls", str(disk.folder), measured)
    colour = amber if waiting_bytes <= queue_bytes else red
    return colour("disk stalls", str(disk.folder), measured, "record to another disk, and let nothing else write to it")


def disk_space(disk: Disk, rig_bytes_s: float, hours: float) -> list[Finding]:
    """hours: how long is to be recorded."""
    kept_bytes, subject = Limits().free_bytes, str(disk.folder)
    usable_bytes = disk.free_bytes - kept_bytes
    if usable_bytes <= 0:
        measured = (
            f"full: {disk.free_bytes / _MB:.0f} MB are free, of which a recorder keeps {kept_bytes / _MB:.0f} MB free"
        )
        return [red("disk space", subject, measured, _MORE_SPACE)]
    if not rig_bytes_s:
        measured = f"{usable_bytes / 1e9:.1f} GB; for how long, nobody can tell while the sensors are silent"
        return [amber("disk space", subject, measured, "see to the sensors first")]
    left_h = usable_bytes / rig_bytes_s / 3600
    measured = f"{usable_bytes / 1e9:.1f} GB, {_hours(left_h)} at this rig's rate ({_hours(hours)} wanted)"
    if left_h >= hours:
        return [green("disk space", subject, measured)]
    colour = amber if left_h >= _HOURS_AMBER * hours else red
    return [colour("disk space", subject, measured, _MORE_SPACE)]


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h" if hours < 100 else "more than 100 h"
    return f"{hours * 60:.0f} min"
