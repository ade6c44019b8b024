"""Checks a recording against what its own files say of it: hashes, counts, gaps, stamps, health; and whether its packets decode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from capture import checksums
from capture.checksums import files_of, read_sums, sha256_of
from capture.errors import CaptureError
from capture.recording import RecordedPacket, Recording, open_recording
from capture.recording_info import Losses, Verdict
from capture.repair import last_health
from devices.device import Decoder
from devices.errors import DeviceError
from devices.samples import Sample


@dataclass(slots=True)
class StreamCheck:
    """One stream as it was read. missing: sequence numbers that do not occur; backwards: stamps that fall behind the one before."""

    name: str
    messages: int = 0
    missing: int = 0
    out_of_order: int = 0
    device_backwards: int = 0
    longest_gap_ns: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    last_sequence: int = -1
    last_device_ns: int | None = None

    def take(self, recorded: RecordedPacket) -> None:
        stamps = recorded.packet.stamps
        if recorded.sequence <= self.last_sequence:
            self.out_of_order += 1
        else:
            self.missing += recorded.sequence - self.last_sequence - 1
            self.last_sequence = recorded.sequence
        if stamps.device_ns is not None:
            if self.last_device_ns is not None and stamps.device_ns < self.last_device_ns:
                self.device_backwards += 1
            self.last_device_ns = stamps.device_ns
        if self.first_ns is None:
            self.first_ns = stamps.host_ns
        else:
            self.longest_gap_ns = max(self.longest_gap_ns, stamps.host_ns - self.last_ns)
        self.last_ns = stamps.host_ns
        self.messages += 1


@dataclass(slots=True)
class Verified:
    """What a check found. damage: bytes are not what they were, or do not add up. doubts: known losses and uncertainties."""

    recording: Recording
    streams: list[StreamCheck] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Never better than what the recorder said."""
        is_bad = bool(self.damage) or self.recording.info.verdict == "bad"
        return "bad" if is_bad else "doubtful" if self.doubts else "good"


def verify(folder: Path, progress: Callable[[int, int], None] | None = None, *, decode: bool = True) -> Verified:
    """Reads every byte of a recording; progress gets (messages read, messages in all). Raises CaptureError when it cannot be opened.

    decode: whether every packet is decoded, too, which takes a few times as long; one that means nothing is a doubt.
    """
    recording = open_recording(folder)
    found = Verified(recording, doubts=list(recording.info.reasons))
    _check_hashes(folder, found)
    checks = {name: StreamCheck(name) for name in recording.streams}
    found.streams = list(checks.values())
    decoders = _decoders(recording, found) if decode else {}
    total = sum(recording.counts.values())
    try:
        for done, recorded in enumerate(recording.packets(), start=1):
            checks[recorded.packet.stream].take(recorded)
            if (decoder := decoders.get(recorded.packet.stream)) is not None:
                _exhaust(decoder.decode(recorded.packet))
            if progress is not None and done % 256 == 0:
                progress(done, total)
        for check in found.streams:
            _check_stream(recording, check, found)
        for name, decoder in decoders.items():
            _check_decoded(checks[name], decoder, found)
        _check_health(recording, found)
    except CaptureError as error:
        found.damage.append(str(error))
    return found


def _check_hashes(folder: Path, found: Verified) -> None:
    sums = read_sums(folder)
    present = set(files_of(folder))
    found.damage += [f"{name} is missing" for name in sorted(sums.keys() - present)]
    found.doubts += [f"{name} stands in no line of {checksums.NAME}" for name in sorted(present - sums.keys())]
    found.damage += [
        f"{name} is not the file that was recorded: its SHA-256 differs"
        for name in sorted(sums.keys() & present)
        if sha256_of(folder / name) != sums[name]
    ]


def _check_stream(recording: Recording, check: StreamCheck, found: Verified) -> None:
    name, losses = check.name, recording.info.losses.get(check.name, Losses())
    stated = recording.info.counts.get(name, 0)
    if check.messages != stated:
        found.damage.append(f"{name}: {check.messages} messages, recording.json says {stated}")
    if check.messages != recording.counts[name]:
        found.damage.append(
            f"{name}: {check.messages} messages, the file's own statistics say {recording.counts[name]}"
        )
    if check.missing > losses.queue + losses.not_written and recording.info.state == "finished":
        found.damage.append(
            f"{name}: {check.missing} messages are missing between others, only {losses.queue} are accounted for"
        )
    if check.out_of_order:
        found.doubts.append(
            f"{name}: {check.out_of_order} messages lie before their predecessor; this machine's clock was set back"
        )
    if check.device_backwards:
        found.doubts.append(f"{name}: the sensor's clock went back {check.device_backwards} times")


def _decoders(recording: Recording, found: Verified) -> dict[str, Decoder]:
    """One for each stream; a doubt where there is none."""
    made = {}
    for name in recording.streams:
        try:
            made[name] = recording.decoder(name)
        except DeviceError as error:
            found.doubts.append(f"{name} cannot be decoded here: {error}")
    return made


def _exhaust(samples: Iterable[Sample]) -> None:
    """What a decoder refuses it counts; what it makes of the rest is not asked here."""
    for _ in samples:
        pass


def _check_decoded(check: StreamCheck, decoder: Decoder, found: Verified) -> None:
    if decoder.rejected:
        why = ", ".join(f"{count} x {reason}" for reason, count in sorted(decoder.rejected.items()))
        found.doubts.append(
            f"{check.name}: {sum(decoder.rejected.values())} of {check.messages} packets do not decode ({why}); see whether "
            "something else sends to its port, and whether rig.toml describes this sensor"
        )


def _check_health(recording: Recording, found: Verified) -> None:
    """The last health message of a recording that ended cleanly was written behind its last packet, and says how many there are."""
    if recording.info.state != "finished":
        return
    for status in last_health(recording.files[-1]):
        said = status.values.get("recorded")
        if (
            status.name in recording.counts
            and said != str(recording.counts[status.name])
            and not _refused(recording, status.name)
        ):
            found.damage.append(
                f"{status.name}: {recording.counts[status.name]} messages, its last health message says {said}"
            )


def _refused(recording: Recording, name: str) -> bool:
    return recording.info.losses.get(name, Losses()).not_written > 0
