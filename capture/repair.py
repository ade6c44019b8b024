"""Finishes a recording whose recorder was killed: the same files as a clean end would have left, from what reached the disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcap.reader import SeekingReader

from capture import checksums
from capture.clock import ClockFilter, ClockFit
from capture.health import clock_of, losses_of
from capture.lock import hold
from capture.mcap_file import FileSummary
from capture.messages import Status, unpack_diagnostics
from capture.recording import open_recording
from capture.recording_folder import close_folder
from capture.recording_info import Losses, RecordingInfo, load_info
from capture.rosbag import HEALTH_TOPIC
from capture.salvage import damaged_parts, finish_file


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair found and did. messages: in all streams, health included. rescued: of them, from the chunk that was cut off."""

    folder: Path
    done: bool  # False: there was nothing to repair
    messages: int
    rescued: int
    cut_bytes: int


def repair(folder: Path) -> Repaired:
    """Makes a recording readable again, in place; does nothing to a whole one. Never takes away an intact message.

    Raises CaptureError when the folder is no recording, or is being recorded at this moment.
    """
    info = load_info(folder)
    numbers = re.compile(re.escape(info.id) + r"_(\d+)\.mcap")
    found = {int(match[1]): path for path in folder.iterdir() if (match := numbers.fullmatch(path.name))}
    paths = [found[number] for number in sorted(found)] or [folder / f"{info.id}_0.mcap"]
    files = {path.name: _finished(path) for path in paths}
    messages = sum(file.messages for file in files.values())
    rescued, cut_bytes = (sum(getattr(file, name) for file in files.values()) for name in ("rescued", "cut_bytes"))
    if info.state != "recording" and all(file.intact for file in files.values()) and (folder / checksums.NAME).exists():
        return Repaired(folder, False, messages, 0, 0)
    for leftover in (*folder.glob("*.reserve"), *folder.glob("*.tmp")):
        leftover.unlink()
    close_folder(folder, _completed(info, folder, paths, files, cut_bytes), files, {})
    return Repaired(folder, True, messages, rescued, cut_bytes)


def _finished(path: Path) -> FileSummary:
    with path.open("ab") as file:
        hold(file.fileno(), path)
        return finish_file(path)


def _completed(
    info: RecordingInfo, folder: Path, paths: Sequence[Path], files: dict[str, FileSummary], cut_bytes: int
) -> RecordingInfo:
    """recording.json's second half, as far as it can still be known: losses and clocks as of the last health message."""
    counts = {name: sum(file.counts.get("/" + name, 0) for file in files.values()) for name in info.streams}
    health = {status.name: status for path in reversed(paths) for status in last_health(path)}
    losses = {name: losses_of(health[name]) if name in health else Losses() for name in info.streams}
    clocks = {name: clock_of(health[name]) for name in info.streams if name in health}
    reasons = ["the recorder was ended by force; its last quarter second may be missing"]
    reasons += [f"{name}: {loss.total} packets lost" for name, loss in losses.items() if loss.total]
    reasons += [f"{part.name} holds bytes that could not be read" for path in paths for part in damaged_parts(path)]
    ends = [file.end_ns for file in files.values() if file.messages]
    completed = info.model_copy(
        update={
            "state": "repaired",
            "ended_ns": max(ends, default=info.started_ns),
            "losses": losses,
            "clocks": {name: clock for name, clock in clocks.items() if clock is not None},
            "verdict": "doubtful" if any(counts.values()) else "bad",
            "reasons": tuple(reasons) if any(counts.values()) else ("nothing was recorded", *reasons),
            "notes": (*info.notes, f"repaired: {cut_bytes} bytes of a torn end were taken off"),
        }
    )
    if completed.clocks or not any(counts.values()):
        return completed
    completed.save(folder)  # killed before its second health message: short enough to be read through
    return completed.model_copy(update={"clocks": _clocks_from_packets(folder)})


def last_health(path: Path) -> list[Status]:
    """The statuses of a finished file's last health message; none when it has none."""
    with path.open("rb") as file:
        for _, _, message in SeekingReader(file).iter_messages([HEALTH_TOPIC], reverse=True):
            return unpack_diagnostics(message.data)
    return []


def _clocks_from_packets(folder: Path) -> dict[str, ClockFit]:
    filters: dict[str, ClockFilter] = {}
    for recorded in open_recording(folder).packets():
        stamps = recorded.packet.stamps
        if stamps.device_ns is not None:
            filters.setdefault(recorded.packet.stream, ClockFilter()).add(stamps.device_ns, stamps.host_ns)
    fits = {name: clock.fit() for name, clock in filters.items()}
    return {name: fit for name, fit in fits.items() if fit is not None}
