"""Finishes a recording whose recorder was killed: the same files as a clean end would have left, from what reached the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from capture import checksums
from capture.arrivals import arrivals_in
from capture.bag.asides import damaged_parts, discard_torn
from capture.bag.diagnostics import Status, unpack_diagnostics
from capture.bag.hash_beside import HashBeside
from capture.bag.mcap_file import FileSummary
from capture.bag.mcap_index import rare_messages
from capture.bag.rebuild import made_whole
from capture.bag.rosbag import HEALTH_TOPIC, message_counts, topic_of, unnamed_topics
from capture.bag.salvage import is_half_repaired
from capture.clock.filter import ClockFilter, ClockFit
from capture.clock.samples import clock_samples, clocks_from_samples
from capture.errors import CaptureError
from capture.health import losses_of
from capture.inlet import WAITED_NS
from capture.interruptions import interruptions_in_words
from capture.kept import cut_episodes_in_words
from capture.lock import hold
from capture.recording import Recording, recording_of
from capture.recording_info import Losses, RecordingInfo, SegmentInfo
from capture.repaired import Repaired
from capture.restate import lost_words, restate, segment_info, unproven_words
from capture.retention import delete_files
from capture.segment_files import missing_segments, segment_paths
from devices.device import Stream

_LAST_WORD_NS = 10_000_000_000  # health is written every second; no queue makes it later than this
_BY_FORCE = "the recorder was ended by force"
_NOT_WRITTEN_NS = 250_000_000  # what may be missing before any kill


def finish_cut_off(folder: Path, info: RecordingInfo) -> Repaired:
    """Finishes a recording in state ``recording`` that nobody records any more."""
    delete_files(folder, [segment.name for segment in info.segments if segment.deleted])
    paths = segment_paths(folder, info.id) or _first_file(folder, info)
    streams = info.stream_list()
    beside = _hash_beside(info, paths[-1]) if paths else None
    try:
        files = {path.name: _finished(path, streams) for path in paths}
    except BaseException:
        if beside is not None:
            beside.stop()
        raise
    for leftover in (*folder.glob("*.reserve"), *folder.glob("*.tmp")):
        leftover.unlink()
    completed = _completed(info, folder, paths, files)
    segments = _segments(info, paths, files, beside)
    restate(folder, completed.model_copy(update={"segments": segments}), files)
    for path in paths:
        discard_torn(path)
    recorded = {segment.name: segment.sha256 for segment in segments if not segment.deleted}
    others = {name: checksums.sha256_of(folder / name) for name in checksums.files_of(folder) if name not in recorded}
    checksums.write_lines(folder, others | recorded)
    rescued, cut_bytes = (sum(getattr(file, name) for file in files.values()) for name in ("rescued", "cut_bytes"))
    return Repaired(
        folder,
        done=True,
        messages=sum(file.messages for file in files.values()),
        rescued=rescued,
        cut_bytes=cut_bytes,
        mended=completed.reasons,
        reasons=completed.reasons,
        left=tuple(missing_segments(folder, segments)),
    )


def _first_file(folder: Path, info: RecordingInfo) -> tuple[Path, ...]:
    """Of a recorder that was killed before it had made any."""
    if info.segments:
        return ()
    path = folder / f"{info.id}_0.mcap"
    path.touch()
    return (path,)


def _finished(path: Path, streams: Sequence[Stream]) -> FileSummary:
    with path.open("rb") as file:
        hold(file.fileno(), path)
        return made_whole(path, streams)


def _hash_beside(info: RecordingInfo, path: Path) -> HashBeside | None:
    """Hashing takes longer than all the rest: for the file in which the recorder was killed it begins at once."""
    is_torn = (
        info.state == "recording" and path.exists() and path.name not in {segment.name for segment in info.segments}
    )
    return HashBeside(path) if is_torn and not is_half_repaired(path) else None


def _segments(
    info: RecordingInfo, paths: Sequence[Path], files: Mapping[str, FileSummary], beside: HashBeside | None
) -> tuple[SegmentInfo, ...]:
    """Of each file, in order, missing ones among them; one that its recorder had closed keeps its hash. beside: of the last one."""
    hashes = {paths[-1].name: beside} if paths else {}
    found = {path.name: _segment(path, files[path.name], info, hashes.get(path.name)) for path in paths}
    known = {segment.name: segment for segment in info.segments} | found
    return tuple(known[name] for name in sorted(known, key=lambda name: (len(name), name)))  # ID_9 before ID_10


def _segment(path: Path, file: FileSummary, info: RecordingInfo, beside: HashBeside | None) -> SegmentInfo:
    known = {segment.name: segment for segment in info.segments}.get(path.name)
    if known is not None and file.intact:
        return known
    kept_bytes = path.stat().st_size if file.intact else file.kept_bytes
    sha256 = checksums.sha256_of(path) if beside is None else beside.sha256(kept_bytes)
    return segment_info(path, file, sha256)


def _completed(
    info: RecordingInfo, folder: Path, paths: Sequence[Path], files: Mapping[str, FileSummary]
) -> RecordingInfo:
    """recording.json as it would have been written at the end, as far as that can still be known."""
    counts = message_counts(info.streams, files.values())
    losses = [line for path in paths if (line := _lost_in(path, files[path.name], info, is_last=path == paths[-1]))]
    losses += [unproven_words(name, file.rescued) for name, file in files.items() if file.rescued]
    losses += [f"{line} when it was repaired" for line in missing_segments(folder, info.segments)]
    losses += [f"{part.name} holds bytes that could not be read" for path in paths for part in damaged_parts(path)]
    losses += unnamed_topics(info.streams, (file.counts for file in files.values()))
    last_word_ns = max([info.started_ns, *(file.end_ns for file in files.values() if file.messages)])
    info = _as_of_last_packet(info, paths, last_word_ns)
    by_force = _ended_by_force(info, paths)
    info = _as_of_last_word(info, last_word_ns)
    info = _as_of_last_health(info, [status for path in reversed(paths) for status in last_health(path)])
    with contextlib.suppress(CaptureError):  # a damaged chunk: clocks are then those of its packets
        info = info.model_copy(update={"clocks": dict(clocks_from_samples(clock_samples(paths)))})
    reasons = [
        by_force,
        *interruptions_in_words(info.interruptions, info.started_ns, info.ended_ns or last_word_ns),
        *cut_episodes_in_words(info),
        *info.reasons,
        *losses,
    ]
    if not any(counts.values()):
        reasons.insert(0, "nothing was recorded")
    cut_bytes = sum(file.cut_bytes for file in files.values())
    completed = info.model_copy(
        update={
            "state": "repaired",
            "verdict": "doubtful" if any(counts.values()) else "bad",
            "reasons": tuple(dict.fromkeys(reasons)),
            "notes": (
                *info.notes,
                f"repaired: {cut_bytes} bytes of a torn end were taken off",
                "what was lost in the last second before the recorder was ended is not counted",
                *info.crew_notes,
            ),
        }
    )
    unknown = [name for name in info.streams if counts.get(name) and name not in completed.clocks]
    if not unknown:
        return completed
    began_ns = completed.ended_ns - _LAST_WORD_NS if completed.ended_ns else None
    from_packets = _clocks_from_packets(recording_of(folder, completed), unknown, began_ns)
    return completed.model_copy(update={"clocks": completed.clocks | from_packets})


def _lost_in(path: Path, file: FileSummary, info: RecordingInfo, *, is_last: bool) -> str:
    """What is known to be missing in a file; empty when nothing is."""
    known = {segment.name: segment for segment in info.segments}.get(path.name)
    if known is not None:
        return lost_words(path.name, known.counts, file.counts)
    empty_first = is_last and path.name == f"{info.id}_0.mcap"  # says "nothing was recorded" already
    return "" if file.messages or empty_first else f"{path.name} holds no message"


def _as_of_last_packet(info: RecordingInfo, paths: Sequence[Path], last_word_ns: int) -> RecordingInfo:
    """When it began and ended: a health message may lie far from all packets."""
    topics = [topic_of(name) for name in info.streams]
    started_ns, ended_ns = arrivals_in(paths, topics) or (info.started_ns, info.started_ns)
    if started_ns < info.started_ns - WAITED_NS:
        started_ns = info.started_ns
    if ended_ns < info.started_ns:
        ended_ns = last_word_ns
    return info.model_copy(update={"started_ns": min(info.started_ns, started_ns), "ended_ns": ended_ns})


def _as_of_last_word(info: RecordingInfo, last_word_ns: int) -> RecordingInfo:
    """A pause, or the absence of a sensor, that lasted at the kill did so until its last word, whatever came before that."""
    lasts = None in [*(each.to_ns for each in info.pauses), *(each.to_ns for each in info.interruptions)]
    ended_ns = max(info.ended_ns or 0, last_word_ns) if lasts else info.ended_ns
    pauses = tuple(pause.ended(last_word_ns) for pause in info.pauses)
    return info.model_copy(update={"ended_ns": ended_ns, "pauses": pauses})


def _ended_by_force(info: RecordingInfo, paths: Sequence[Path]) -> str:
    """A snapshot's first health message is written before its packets, and is newer than all of them."""
    first_word_ns = next((word.log_ns for path in paths for word in rare_messages(path, HEALTH_TOPIC)), 0)
    missing_ns = first_word_ns - (info.ended_ns or info.started_ns)
    if missing_ns <= _NOT_WRITTEN_NS:
        return f"{_BY_FORCE}; up to a quarter second before it may be missing"
    return f"{_BY_FORCE} while it wrote a snapshot; its last {missing_ns / 1e9:.1f} s were not written"


def _as_of_last_health(info: RecordingInfo, statuses: Sequence[Status]) -> RecordingInfo:
    """Losses that a killed recorder last knew of. statuses: of each stream, the newest first."""
    health = {status.name: status for status in reversed(statuses)}
    losses = {name: _losses(health.get(name)) for name in info.streams}
    reasons = tuple(f"{name}: at least {loss.total} packets lost" for name, loss in losses.items() if loss.total)
    return info.model_copy(update={"losses": losses, "reasons": reasons})


def _losses(status: Status | None) -> Losses:
    """None that its recorder told of, where it told nothing that can be read."""
    with contextlib.suppress(CaptureError):
        return Losses() if status is None else losses_of(status)
    return Losses()


def last_health(path: Path) -> list[Status]:
    """The statuses of a finished file's last health message that can be read; none when it has none."""
    for message in rare_messages(path, HEALTH_TOPIC, newest_first=True):
        with contextlib.suppress(CaptureError):  # in a damaged chunk
            return unpack_diagnostics(message.data)
    return []


def _clocks_from_packets(
    recording: Recording, streams: Sequence[str], start_ns: int | None
) -> dict[str, tuple[ClockFit, ...]]:
    """Clocks of streams that had said nothing when the last clock sample was written."""
    filters: dict[str, ClockFilter] = {}
    with contextlib.suppress(CaptureError):  # a damaged chunk: what came before it must do
        for recorded in recording.packets(streams, start_ns):
            stamps = recorded.packet.stamps
            if stamps.device_ns is not None:
                filters.setdefault(recorded.packet.stream, ClockFilter()).add(stamps.device_ns, stamps.host_ns)
    return {name: clock.history() for name, clock in filters.items() if clock.fit() is not None}
