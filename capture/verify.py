"""Checks a recording against what its own files say of it: hashes, counts, gaps, stamps, health; and whether its packets decode."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from capture import checksums, recording_info
from capture.bag import rosbag
from capture.bag.diagnostics import Status, unpack_diagnostics
from capture.bag.file_pass import FilePass
from capture.bag.mcap_file import StoredMessage
from capture.bag.packing import Packing
from capture.bag.rosbag import HEALTH_TOPIC, topic_of
from capture.checksums import files_of, read_sums, sha256_of
from capture.errors import CaptureError
from capture.flipped_bit import unflipped_info
from capture.gap_check import unexplained_gaps
from capture.health import losses_of
from capture.kept import given_up_count
from capture.preflight.sensors import FOREIGN
from capture.recording import Recording, open_recording
from capture.recording_info import Losses, Verdict
from capture.segment_files import UNDER_WAY, missing_segments
from capture.stream_check import StreamCheck
from devices.device import Decoder
from devices.errors import DeviceError, UndecodableError
from devices.samples import Packet, Sample, Stamps

_LINES_MAX = 8  # of one file


@dataclass(slots=True)
class Verified:
    """What a check found. damage: bytes are not what they were, or do not add up. doubts: known losses and uncertainties.

    mendable: files that `fieldrig repair` can make anew, as far as they can be had. read_bytes: of all files, each once.
    """

    recording: Recording
    streams: list[StreamCheck] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    mendable: list[str] = field(default_factory=list)
    read_bytes: int = 0

    @property
    def damaged_in_words(self) -> str:
        """All damage, and what can be done about it."""
        folder = self.recording.folder
        advice = f"; run: fieldrig repair {shlex.quote(str(folder))}" if self.mendable else ""
        return f"{folder} is damaged: {'; '.join(self.damage)}{advice}"

    @property
    def verdict(self) -> Verdict:
        """Never better than what the recorder said."""
        is_bad = bool(self.damage) or self.recording.info.verdict == "bad"
        return "bad" if is_bad else "doubtful" if self.doubts else "good"


def verify(folder: Path, progress: Callable[[int, int], None] | None = None, *, decode: bool = True) -> Verified:
    """Reads every byte of a recording once; progress gets (bytes read, bytes in all). Raises CaptureError when it cannot be opened.

    Streams are followed through all files: what is missing between two of them is missing. decode: whether every packet is decoded,
    too, which takes a few times as long; one that means nothing is a doubt.
    """
    try:
        recording = open_recording(folder)
    except CaptureError:
        if unflipped_info(folder) is None:
            raise
        advice = f"run: fieldrig repair {shlex.quote(str(folder))}"
        raise CaptureError(f"{folder / recording_info.NAME} is damaged, but can be made whole; {advice}") from None
    found = Verified(recording, doubts=list(recording.info.reasons))
    sums = _check_files(folder, found)
    total = sum((folder / name).stat().st_size for name in files_of(folder))
    reading = _Reading(recording, found, decode=decode)
    for path in recording.files:
        _read_segment(path, sums.get(path.name), reading, found, progress, total)
    for name in sorted(sums.keys() - {path.name for path in recording.files}):
        if (folder / name).is_file():
            _check_other(folder, name, sums[name], found)
    found.damage += rosbag.unnamed_topics(recording.streams, reading.counts)
    found.damage += [f"{count} x {what}" for what, count in reading.strange.items()]
    for check in found.streams:
        _check_stream(recording, check, found)
        found.doubts += unexplained_gaps(recording, check)
        _check_decoded(check, reading.decoders.get(check.name), found)
    _check_health(recording, reading.last_health, found)
    return found


def _check_files(folder: Path, found: Verified) -> dict[str, str]:
    """The recording's hashes; which files are there, and which ought to be."""
    try:
        sums = read_sums(folder)
    except CaptureError as error:
        advice = f"run: fieldrig repair {shlex.quote(str(folder))}"
        raise CaptureError(f"{error}" if advice in str(error) else f"{error}; {advice}") from None
    present, segments = set(files_of(folder)), found.recording.info.segments
    named = {segment.name for segment in segments if not segment.deleted}
    found.damage += [f"{name} is missing" for name in sorted({rosbag.NAME, *sums} - present - named)]
    found.damage += missing_segments(folder, segments)
    unlisted = present - sums.keys()
    own = unlisted & {recording_info.NAME, rosbag.NAME, *named}
    found.doubts += [f"{name} stands in no line of {checksums.NAME}" for name in sorted(unlisted - own)]
    if own:
        found.damage.append(f"{checksums.NAME} has no line for {', '.join(sorted(own))}")
        found.mendable.append(checksums.NAME)
    if UNDER_WAY in present:
        found.damage.append("a repair of it did not come to its end")
        found.mendable.append(UNDER_WAY)
    if rosbag.NAME not in present:
        found.mendable.append(rosbag.NAME)
    return sums


def _check_other(folder: Path, name: str, stated: str, found: Verified) -> None:
    """A file that holds no messages."""
    try:
        found.read_bytes += (folder / name).stat().st_size
        sha256 = sha256_of(folder / name)
    except OSError as error:
        found.damage.append(f"{name} cannot be read: {error.strerror or error}")
        return
    _compare(name, sha256, stated, found)
    if sha256 != stated and (name == rosbag.NAME or (name == recording_info.NAME and unflipped_info(folder))):
        found.mendable.append(name)


def _compare(name: str, sha256: str, stated: str | None, found: Verified) -> None:
    if stated is not None and sha256 != stated:
        found.damage.append(f"{name} is not the file that was recorded: its SHA-256 differs")


def _compare_segment(name: str, sha256: str, stated: str | None, found: Verified) -> None:
    """With recording.json, too: what changes a file and hashes it anew leaves that as it was."""
    recorded = {segment.name: segment.sha256 for segment in found.recording.info.segments}.get(name, stated)
    if sha256 == recorded != stated is not None:
        found.damage.append(
            f"{checksums.NAME} states another SHA-256 of {name} than recording.json does, and than it has"
        )
        found.mendable.append(checksums.NAME)
    elif sha256 != recorded and stated in {None, sha256}:
        found.damage.append(
            f"{name} is not the file that was recorded: its SHA-256 differs from the one in recording.json"
        )
    else:
        _compare(name, sha256, stated, found)


class _Reading:
    """Streams, decoders and the newest health message, carried from one file to the next."""

    def __init__(self, recording: Recording, found: Verified, *, decode: bool) -> None:
        found.streams = [StreamCheck(name) for name in recording.streams]
        self.checks = {topic_of(check.name): check for check in found.streams}
        self.decoders = _decoders(recording, found) if decode else {}
        self.last_health = b""
        self.counts: list[dict[str, int]] = []  # topic -> messages, of each file
        self.strange: dict[str, int] = {}  # what is wrong with a message -> how many there are
        self._packings = {topic_of(name): Packing(stream) for name, stream in recording.streams.items()}

    def take(self, message: StoredMessage) -> None:
        if message.topic == HEALTH_TOPIC:
            self.last_health = message.data
        check = self.checks.get(message.topic)
        if check is None:
            return
        check.take(message.sequence, message.log_ns, message.device_ns)
        decoder = self.decoders.get(check.name)
        if decoder is None:
            return
        try:
            _, payload = self._packings[message.topic].unpack(message.data)
        except CaptureError as error:
            self.strange[str(error)] = self.strange.get(str(error), 0) + 1
            return
        _exhaust(decoder.decode(Packet(check.name, Stamps(message.log_ns, message.device_ns), payload)))


def _read_segment(
    path: Path,
    stated: str | None,
    reading: _Reading,
    found: Verified,
    progress: Callable[[int, int], None] | None,
    total: int,
) -> None:
    before = found.read_bytes
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            whole = FilePass(file, size, None if progress is None else lambda done: progress(before + done, total))
            for message in whole:
                reading.take(message)
    except OSError as error:
        found.damage.append(f"{path.name} cannot be read: {error.strerror or error}")
        return
    found.read_bytes += size
    reading.counts.append(whole.counts)
    _compare_segment(path.name, whole.sha256, stated, found)
    found.damage += [f"{path.name}: {line}" for line in _shortened(whole.damage)]
    if whole.damage:
        found.mendable.append(path.name)


def _shortened(lines: list[str]) -> list[str]:
    return (
        lines
        if len(lines) <= _LINES_MAX
        else [*lines[: _LINES_MAX - 1], f"and {len(lines) - _LINES_MAX + 1} more like these"]
    )


def _check_stream(recording: Recording, check: StreamCheck, found: Verified) -> None:
    name, losses = check.name, recording.info.losses.get(check.name, Losses())
    stated = recording.info.counts.get(name, 0) - _in_missing(recording, name)
    if check.messages != stated:
        found.damage.append(f"{name}: {check.messages} messages, recording.json says {stated}")
    if check.messages != recording.counts[name]:
        found.damage.append(
            f"{name}: {check.messages} messages, the files' own statistics say {recording.counts[name]}"
        )
    accounted = losses.queue + losses.not_written + given_up_count(recording.info, name) + _in_missing(recording, name)
    if check.missing > accounted and recording.info.state == "finished":
        found.damage.append(
            f"{name}: {check.missing} messages are missing between others, only {accounted} are accounted for"
        )
    if check.out_of_order:
        found.damage.append(f"{name}: {check.out_of_order} messages bear a sequence number that was there before")
    if check.host_backwards:
        found.doubts.append(f"{name}: arrivals run backwards {check.host_backwards} times")
    if check.device_backwards:
        found.doubts.append(f"{name}: the sensor's clock went back {check.device_backwards} times")


def _in_missing(recording: Recording, name: str) -> int:
    """Messages of a stream in files that ought to be there."""
    present = {path.name for path in recording.files}
    missing = (each for each in recording.info.segments if not each.deleted and each.name not in present)
    return sum(segment.counts.get(topic_of(name), 0) for segment in missing)


def _decoders(recording: Recording, found: Verified) -> dict[str, Decoder]:
    """One for each stream; a doubt where there is none."""
    made = {}
    for name in recording.streams:
        try:
            made[name] = recording.decoder(name)
        except UndecodableError as error:
            found.doubts.append(f"{name}: {error}")
        except DeviceError as error:
            found.doubts.append(f"{name} cannot be decoded here: {error}")
    return made


def _exhaust(samples: Iterable[Sample]) -> None:
    """What a decoder refuses it counts; what it makes of the rest is not asked here."""
    for _ in samples:
        pass


def _check_decoded(check: StreamCheck, decoder: Decoder | None, found: Verified) -> None:
    if decoder is not None and decoder.rejected:
        why = ", ".join(f"{count} x {reason}" for reason, count in sorted(decoder.rejected.items()))
        found.doubts.append(
            f"{check.name}: {sum(decoder.rejected.values())} of {check.messages} packets do not decode ({why}); {FOREIGN}"
        )


def _check_health(recording: Recording, last_health: bytes, found: Verified) -> None:
    """The last health message of a recording that ended cleanly was written behind its last packet, and says how many there are."""
    if recording.info.state != "finished" or not last_health:
        return
    try:
        statuses = unpack_diagnostics(last_health)
    except CaptureError as error:
        found.damage.append(str(error))
        return
    for status in statuses:
        if status.name in recording.counts:
            _check_status(recording, status, found)


def _check_status(recording: Recording, status: Status, found: Verified) -> None:
    name, losses = status.name, recording.info.losses.get(status.name, Losses())
    count = recording.counts[name] + given_up_count(recording.info, name) + _in_missing(recording, name)
    if status.values.get("recorded") != str(count) and not losses.not_written:
        found.damage.append(f"{name}: {count} messages, its last health message says {status.values.get('recorded')}")
    try:
        said = losses_of(status)
    except CaptureError as error:
        found.damage.append(str(error))
        return
    if said.before_read > losses.before_read or said.queue > losses.queue:
        found.damage.append(
            f"{name}: recording.json accounts for fewer losses ({losses.total}) than its last health message ({said.total})"
        )
