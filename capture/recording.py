"""A recording on disk, read as a stream of packets or of decoded samples, in memory that does not grow with its length."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from capture.bag.mcap_file import FileSummary, messages_in, read_summary
from capture.bag.packing import Packing
from capture.bag.rosbag import message_counts, topic_of
from capture.clock.filter import ClockFit
from capture.errors import CaptureError
from capture.lock import FolderLock
from capture.recording_info import RecordingInfo, load_info
from capture.segment_files import present_segments
from devices.cameras.video import VIDEO_ENCODINGS, can_begin
from devices.device import Decoder, Stream
from devices.rig import Rig
from devices.samples import Packet, Sample, Stamps

# A sample may be made of packets that came before the time asked for; a GNSS receiver's instants and an action
# camera's telemetry come a second apart, and each is known to be whole when the next one comes.
_LEAD_IN_NS = 3_000_000_000
# A video is decoded from a key frame on: how far back one is looked for. Cameras send one every second to every few.
_KEY_FRAME_REACHES_NS = (3_000_000_000, 12_000_000_000, 60_000_000_000)


@dataclass(frozen=True, slots=True)
class RecordedPacket:
    """A packet, its place in its stream, and its capture time as it was known while recording."""

    packet: Packet
    sequence: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """The messages that something was made of: consecutive ones of a stream, and the SHA-256 over their payloads in order."""

    recording_id: str
    stream: str
    first_sequence: int
    last_sequence: int
    first_host_ns: int
    last_host_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decoded sample, and the messages that it was decoded from.

    Of samples that are put together from several packets the span may take in the packet before the first and the one behind the last:
    where one sweep ends and the next begins lies inside a packet, or shows only by the next.
    """

    sample: Sample
    span: Span


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished or repaired recording. counts: messages of each stream. Times are host arrival; all that was recorded of
    sensors, and of that what --keep left, lies in [start_ns, end_ns).

    summaries: what each file says of itself. rejected: stream -> reason -> how many packets the last samples() passed over.
    """

    folder: Path
    info: RecordingInfo
    files: tuple[Path, ...]
    summaries: tuple[FileSummary, ...]
    streams: Mapping[str, Stream]
    counts: Mapping[str, int]
    start_ns: int
    end_ns: int
    rejected: dict[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def rig(self) -> Rig:
        return self.info.rig

    @property
    def clocks(self) -> Mapping[str, Sequence[ClockFit]]:
        """Stream -> its fits, each of which holds for arrivals from its from_host_ns on; capture.clock.filter.fit_at() finds the one."""
        return self.info.clocks

    def streams_of(self, kind: type[Sample]) -> list[str]:
        """The streams whose packets hold samples of a kind, e.g. Sweep, in the rig's order."""
        return [
            name
            for name, stream in self.streams.items()
            if self.rig.driver_of(stream.sensor).yields.get(stream.encoding) is kind
        ]

    def packets(
        self, streams: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[RecordedPacket]:
        """Packets in order of their arrival in [start_ns, end_ns). Raises CaptureError at a damaged place, naming it."""
        names = self._checked(streams)
        packings = {topic_of(name): (name, Packing(self.streams[name])) for name in names}
        for path in self._files_with(packings.keys(), start_ns, end_ns):
            for message in messages_in(path, packings.keys(), start_ns, end_ns):
                name, packing = packings[message.topic]
                stamp_ns, payload = packing.unpack(message.data)
                stamp_ns = message.log_ns if stamp_ns is None else stamp_ns
                packet = Packet(name, Stamps(message.log_ns, message.device_ns), payload)
                yield RecordedPacket(packet, message.sequence, stamp_ns)

    def samples(
        self, streams: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Recorded]:
        """Decoded samples, in the order in which their last packet arrived in [start_ns, end_ns); t_ns is on the sensor's clock.

        Adjoining ranges give together what one range over both gives. Packets that cannot be decoded are passed over and counted
        in ``rejected``.
        """
        decodings = {name: _Decoding(self, name) for name in self._checked(streams)}
        needed_ns = {} if start_ns is None else {name: self._needed_from_ns(name, start_ns) for name in decodings}
        try:
            for recorded in self.packets(streams, min(needed_ns.values(), default=None), end_ns):
                host_ns, name = recorded.packet.stamps.host_ns, recorded.packet.stream
                wanted = start_ns is None or host_ns >= start_ns
                decoding = decodings[name]
                if wanted or host_ns >= needed_ns[name]:
                    made = decoding.decode(recorded)
                    yield from made if wanted else ()
            for name, decoding in decodings.items():
                if end_ns is None or not any(True for _ in self.packets([name], start_ns=end_ns)):
                    yield from decoding.flush(start_ns)
        finally:
            self.rejected.update({name: dict(decoding.decoder.rejected) for name, decoding in decodings.items()})

    def decoder(self, stream: str) -> Decoder:
        """A fresh decoder for one of the streams."""
        described = self.streams[stream]
        loaded: Decoder = self.rig.driver_of(described.sensor).decoder(described)
        return loaded

    def _files_with(self, topics: Collection[str], start_ns: int | None, end_ns: int | None) -> list[Path]:
        """Those that may hold messages of these topics in [start_ns, end_ns); the others are not even opened."""
        return [
            path
            for path, file in zip(self.files, self.summaries, strict=True)
            if any(file.counts.get(topic) for topic in topics)
            and (start_ns is None or file.end_ns >= start_ns)
            and (end_ns is None or file.start_ns < end_ns)
        ]

    def _needed_from_ns(self, name: str, start_ns: int) -> int:
        """From where on a stream's packets must be decoded for what arrives from start_ns on."""
        encoding = self.streams[name].encoding
        if encoding in VIDEO_ENCODINGS:
            for reach_ns in _KEY_FRAME_REACHES_NS:
                earlier = self.packets([name], start_ns - reach_ns, start_ns)
                begins = [each.packet.stamps.host_ns for each in earlier if can_begin(encoding, each.packet.data)]
                if begins:
                    return begins[-1]
            return start_ns
        return start_ns - _LEAD_IN_NS if self.decoder(name).carries_over else start_ns

    def _checked(self, streams: Collection[str] | None) -> list[str]:
        if streams is None:
            return list(self.streams)
        if unknown := [name for name in streams if name not in self.streams]:
            raise CaptureError(f"{self.id} has no stream '{unknown[0]}'; it has: {', '.join(self.streams)}")
        return list(streams)


def open_recording(path: Path) -> Recording:
    """Opens a recording's folder. Raises CaptureError as finished_info() does, and as recording_of()."""
    return recording_of(path, finished_info(path))


def finished_info(folder: Path) -> RecordingInfo:
    """What recording.json says. Raises CaptureError when there is none, it is not finished yet, or was not finished by its recorder."""
    info = load_info(folder)
    if info.state == "recording":
        FolderLock(folder).release()
        raise CaptureError(
            f"{folder} was not finished by its recorder; run: fieldrig repair {shlex.quote(str(folder))}"
        )
    return info


def recording_of(path: Path, info: RecordingInfo) -> Recording:
    """A folder's files, with what is said of them. Raises CaptureError when one is cut short or cannot be read, or all are missing."""
    files = present_segments(path, info)
    summaries = tuple(_summary(file) for file in files)
    start_ns, end_ns = _bounds_ns(info, summaries)
    return Recording(
        folder=path,
        info=info,
        files=files,
        summaries=summaries,
        streams={stream.name: stream for stream in info.stream_list()},
        counts=message_counts(info.streams, summaries),
        start_ns=start_ns,
        end_ns=end_ns,
    )


def _bounds_ns(info: RecordingInfo, files: Sequence[FileSummary]) -> tuple[int, int]:
    """Of what was recorded of sensors: health is written before their first packet and behind their last."""
    full = [file for file in files if file.messages]
    start_ns = min((file.start_ns for file in full), default=info.started_ns)
    end_ns = max((file.end_ns + 1 for file in full), default=info.started_ns)
    if info.ended_ns is None or info.ended_ns < info.started_ns:  # an end before the start says nothing of it
        return start_ns, end_ns
    start_ns = max(start_ns, info.started_ns)
    return start_ns, max(start_ns, min(end_ns, info.ended_ns + 1))


def _summary(path: Path) -> FileSummary:
    summary = stated_summary(path)
    if summary is None:
        raise CaptureError(f"{path} is cut short; run: fieldrig repair {shlex.quote(str(path.parent))}")
    return summary


def stated_summary(path: Path) -> FileSummary | None:
    """What a segment says of itself; None when it does not end as it should. Raises CaptureError when it cannot be read at all."""
    try:
        with path.open("rb") as file:
            return read_summary(file)
    except OSError as error:
        raise CaptureError(
            f"cannot read {path}: {error.strerror or error}; see whether you may, and its disk is well"
        ) from None


class _Decoding:
    """Of one stream: its decoder, and the messages taken in since its last sample."""

    def __init__(self, recording: Recording, name: str) -> None:
        self.decoder = recording.decoder(name)
        self._recording_id = recording.id
        self._first: RecordedPacket | None = None
        self._last: RecordedPacket | None = None
        self._hash = hashlib.sha256()

    def decode(self, recorded: RecordedPacket) -> list[Recorded]:
        if self._first is None or not self.decoder.carries_over:
            self._begin(recorded)
        else:
            self._hash.update(recorded.packet.data)
            self._last = recorded
        samples = list(self.decoder.decode(recorded.packet))
        made = [Recorded(sample, self._span()) for sample in samples]
        if samples:
            self._begin(recorded)  # its end may already belong to the next sample
        return made

    def flush(self, start_ns: int | None) -> Iterator[Recorded]:
        """What the stream's end leaves unfinished; it belongs to the range in which its last packet arrived."""
        if self._last is None or (start_ns is not None and self._last.packet.stamps.host_ns < start_ns):
            return
        for sample in self.decoder.flush():
            yield Recorded(sample, self._span())

    def _begin(self, recorded: RecordedPacket) -> None:
        self._first = self._last = recorded
        self._hash = hashlib.sha256(recorded.packet.data)

    def _span(self) -> Span:
        first, last = self._first, self._last
        if first is None or last is None:
            raise CaptureError(f"{self._recording_id}: a decoder gave a sample before it had a packet")
        return Span(
            self._recording_id,
            first.packet.stream,
            first.sequence,
            last.sequence,
            first.packet.stamps.host_ns,
            last.packet.stamps.host_ns,
            self._hash.hexdigest(),
        )
