"""Finishes a recording whose recorder was killed: the same files as a clean end would have left, from what reached the disk."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capture import checksums
from capture.bag.hash_beside import HashBeside
from capture.bag.mcap_file import FileSummary
from capture.bag.mcap_index import rare_messages
from capture.bag.messages import Status, unpack_diagnostics
from capture.bag.rosbag import HEALTH_TOPIC, message_counts
from capture.bag.salvage import damaged_parts, finish_file, is_half_repaired
from capture.clock.filter import ClockFilter, ClockFit
from capture.clock.samples import clock_samples, clocks_from_samples
from capture.errors import CaptureError
from capture.health import losses_of
from capture.lock import FolderLock, hold
from capture.recording import open_recording
from capture.recording_folder import close_folder
from capture.recording_info import Losses, RecordingInfo, SegmentInfo, load_info
from capture.retention import delete_given_up

_LAST_WORD_NS = 10_000_000_000  # health is written every second; no queue makes it later than this


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
    with FolderLock(folder):
        return _repaired(folder)


def _repaired(folder: Path) -> Repaired:
    info = load_info(folder)
    delete_given_up(folder, info.segments)
    numbers = re.compile(re.escape(info.id) + r"_(\d+)\.mcap")
    found = {int(match[1]): path for path in folder.iterdir() if (match := numbers.fullmatch(path.name))}
    paths = [found[number] for number in sorted(found)] or [folder / f"{info.id}_0.mcap"]
    beside = _hash_beside(info, paths[-1])
    try:
        files = {path.name: _finished(path) for path in paths}
    except BaseException:
        if beside is not None:
            beside.stop()
        raise
    messages = sum(file.messages for file in files.values())
    rescued, cut_bytes = (sum(getattr(file, name) for file in files.values()) for name in ("rescued", "cut_bytes"))
    if info.state != "recording" and all(file.intact for file in files.values()) and (folder / checksums.NAME).exists():
        return Repaired(folder, False, messages, 0, 0)
    for leftover in (*folder.glob("*.reserve"), *folder.glob("*.tmp")):
        leftover.unlink()
    completed = _completed(info, folder, paths, files)
    segments = _segments(info, paths, files, beside)
    sums = {segment.name: segment.sha256 for segment in segments if not segment.deleted}
    close_folder(folder, completed.model_copy(update={"segments": segments}), files, sums)
    return Repaired(folder, True, messages, rescued, cut_bytes)


def _finished(path: Path) -> FileSummary:
    with path.open("ab") as file:
        hold(file.fileno(), path)
        return finish_file(path)


def _hash_beside(info: RecordingInfo, path: Path) -> HashBeside | None:
    """Hashing takes longer than all the rest: for the file in which the recorder was killed it begins at once."""
    is_torn = (
        info.state == "recording" and path.exists() and path.name not in {segment.name for segment in info.segments}
    )
    return HashBeside(path) if is_torn and not is_half_repaired(path) else None


def _segments(
    info: RecordingInfo, paths: Sequence[Path], files: Mapping[str, FileSummary], beside: HashBeside | None
) -> tuple[SegmentInfo, ...]:
    """Of each file; one that its recorder had closed already keeps the hash that it was given then. beside: of the last one."""
    known = {segment.name: segment for segment in info.segments}
    deleted = [segment for segment in info.segments if segment.deleted]
    hashes = {paths[-1]: beside}
    return (*deleted, *(_segment(path, files[path.name], known.get(path.name), hashes.get(path)) for path in paths))


def _segment(path: Path, file: FileSummary, known: SegmentInfo | None, beside: HashBeside | None) -> SegmentInfo:
    size_bytes = path.stat().st_size
    if known is not None and file.intact and known.size_bytes == size_bytes:
        return known
    kept_bytes = size_bytes if file.intact else file.kept_bytes
    return SegmentInfo(
        name=path.name,
        sha256=checksums.sha256_of(path) if beside is None else beside.sha256(kept_bytes),
        size_bytes=size_bytes,
        start_ns=file.start_ns,
        end_ns=file.end_ns,
        counts=file.counts,
    )


def _completed(
    info: RecordingInfo, folder: Path, paths: Sequence[Path], files: Mapping[str, FileSummary]
) -> RecordingInfo:
    """recording.json as it would have been written at the end, as far as that can still be known."""
    counts = message_counts(info.streams, files.values())
    damaged = [f"{part.name} holds bytes that could not be read" for path in paths for part in damaged_parts(path)]
    if info.state == "recording":
        info = _as_of_last_health(info, files, [status for path in reversed(paths) for status in last_health(path)])
        info = info.model_copy(update={"clocks": dict(clocks_from_samples(clock_samples(paths)))})
        reasons = ["the recorder was ended by force; up to a quarter second before it may be missing", *info.reasons]
    else:
        lacking = sum(info.counts.values()) - sum(counts.values())
        if not lacking:
            return info
        reasons = [*info.reasons, f"the file was cut short after it was recorded: {lacking} messages are missing"]
    if not any(counts.values()):
        reasons.insert(0, "nothing was recorded")
    cut_bytes = sum(file.cut_bytes for file in files.values())
    completed = info.model_copy(
        update={
            "state": "repaired",
            "verdict": "doubtful" if any(counts.values()) else "bad",
            "reasons": tuple(dict.fromkeys((*reasons, *damaged))),
            "notes": (*info.notes, f"repaired: {cut_bytes} bytes of a torn end were taken off"),
        }
    )
    unknown = [name for name in info.streams if counts.get(name) and name not in completed.clocks]
    if not unknown:
        return completed
    completed.save(folder)
    began_ns = completed.ended_ns - _LAST_WORD_NS if completed.ended_ns else None
    return completed.model_copy(update={"clocks": completed.clocks | _clocks_from_packets(folder, unknown, began_ns)})


def _as_of_last_health(
    info: RecordingInfo, files: Mapping[str, FileSummary], statuses: Sequence[Status]
) -> RecordingInfo:
    """Losses that a killed recorder last knew of. statuses: of each stream, the newest first."""
    health = {status.name: status for status in reversed(statuses)}
    losses = {name: losses_of(health[name]) if name in health else Losses() for name in info.streams}
    return info.model_copy(
        update={
            "ended_ns": max((file.end_ns for file in files.values() if file.messages), default=info.started_ns),
            "losses": losses,
            "pauses": tuple(
                each.ended(max((file.end_ns for file in files.values() if file.messages), default=info.started_ns))
                for each in info.pauses
            ),
            "reasons": tuple(f"{name}: {loss.total} packets lost" for name, loss in losses.items() if loss.total),
        }
    )


def last_health(path: Path) -> list[Status]:
    """The statuses of a finished file's last health message that can be read; none when it has none."""
    for message in rare_messages(path, HEALTH_TOPIC, newest_first=True):
        with contextlib.suppress(CaptureError):  # in a damaged chunk
            return unpack_diagnostics(message.data)
    return []


def _clocks_from_packets(folder: Path, streams: Sequence[str], start_ns: int | None) -> dict[str, tuple[ClockFit, ...]]:
    """Clocks of streams that had said nothing when the last clock sample was written."""
    filters: dict[str, ClockFilter] = {}
    with contextlib.suppress(CaptureError):  # a damaged chunk: what came before it must do
        for recorded in open_recording(folder).packets(streams, start_ns):
            stamps = recorded.packet.stamps
            if stamps.device_ns is not None:
                filters.setdefault(recorded.packet.stream, ClockFilter()).add(stamps.device_ns, stamps.host_ns)
    return {name: clock.history() for name, clock in filters.items() if clock.fit() is not None}
