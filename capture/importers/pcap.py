"""Packet captures (pcap, pcapng): the datagrams of a rig's UDP sensors, as if the recorder had received them when they were captured."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from capture.errors import CaptureError
from capture.importers import Progress, check_is_file
from capture.importers.import_session import ImportSession
from capture.workspace import Workspace
from devices.device import SensorConfig
from devices.errors import DeviceError
from devices.logs.ip import Datagram
from devices.logs.pcap import PcapCounts, PcapReader
from devices.rig import Rig
from devices.samples import Packet
from devices.udp.captured import out_of_a_capture
from devices.udp.source import UdpSource

_SUFFIXES = (".pcap", ".pcapng", ".cap")
_FRAME_BYTES = 16 + 14 + 20 + 8  # what a datagram takes in the file beside its payload: record, Ethernet, IP, UDP
_SENDERS_MAX = 8  # remembered a port
_DOUBLES_REACH = 16  # packets; a doubled one comes sooner, a capture that is played again later


class PcapImporter:
    """One capture file, and the rig.toml that says at which ports its sensors are listened to."""

    line = "Import a packet capture (pcap, pcapng) of a rig's UDP sensors."
    example = "drive.pcap --rig rig.toml"
    needs_rig = True

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix in _SUFFIXES

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """A datagram goes to the stream that listens at its destination port; log_time is when it was captured.

        Datagrams to other ports are counted, a line a port. Raises CaptureError when none is for a sensor of the rig.
        """
        if rig is None:
            raise CaptureError(
                f"a capture does not say which sensors are in it; run: fieldrig import pcap {shlex.quote(str(path))} --rig RIG.toml"
            )
        check_is_file(path, "capture")
        sources = _sources(rig)
        session = ImportSession(workspace, rig, [source.stream for source in sources], path, [path], progress=progress)
        with session:
            reader, traffic = PcapReader(path), _Traffic([source.asked_port for source in sources])
            loops = [_Loop(source.stream.name) for source in sources]
            _fill(session, reader, sources, traffic, loops)
            if not traffic.taken:
                raise CaptureError(f"{path} holds nothing for the sensors of rig {rig.name}: {traffic.found()}")
            session.check_understood()
            for source in sources:
                if source.lost:
                    session.lost(source.stream.name, source.lost)
                    session.doubt(f"{source.stream.name}: the sensor's own counting misses {source.lost} packets")
            for text in traffic.doubts({source.asked_port: source.stream.name for source in sources}):
                session.doubt(text)
            for loop in loops:
                if loop.again:
                    session.doubt(loop.in_words)
            for text in _lacking(reader.counts):
                session.doubt(text)
            if reader.counts.other_frames:
                session.note(f"{reader.counts.other_frames} frames that are no UDP over IP were left out")
            for text in traffic.notes():
                session.note(text)
        return session.folder


def _sources(rig: Rig) -> list[UdpSource]:
    """What listens for the rig's UDP sensors, without taking their ports. Raises CaptureError when two listen at the same one."""
    with out_of_a_capture() as sources:
        for sensor in rig.sensors.values():
            config = sensor.config()
            if not _has_udp_port(config):
                continue
            before = len(sources)
            try:
                opened = sensor.loaded_driver().open(sensor.name, config)
            except DeviceError:
                if len(sources) == before:  # else it listened already, and only the sensor itself did not answer
                    raise
            else:
                for source in opened:
                    source.close()
    if not sources:
        raise CaptureError(f"rig {rig.name} has no sensor that is listened to at a UDP port")
    streams: dict[int, str] = {}
    for source in sources:
        source.close()
        other = streams.setdefault(source.asked_port, source.stream.name)
        if other != source.stream.name:
            raise CaptureError(
                f"{other} and {source.stream.name} both listen at UDP port {source.asked_port}; change one in rig.toml"
            )
    return sources


def _has_udp_port(config: SensorConfig) -> bool:
    said = {name: value for name, value in config.model_dump().items() if name.endswith(("port", "ports"))}
    return any(isinstance(value, int | dict) for value in said.values())


@dataclass(slots=True)
class _Traffic:
    """Who sent how much to which port. taken: datagrams that went to a stream."""

    wanted: list[int]
    taken: int = 0
    bytes_read: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    senders: dict[int, set[str]] = field(default_factory=dict)

    def count(self, datagram: Datagram) -> None:
        port = datagram.destination_port
        self.bytes_read += len(datagram.payload) + _FRAME_BYTES
        self.counts[port] = self.counts.get(port, 0) + 1
        known = self.senders.setdefault(port, set())
        if len(known) < _SENDERS_MAX:
            known.add(datagram.source)

    def found(self) -> str:
        listens = f"they are listened to at UDP {', '.join(map(str, sorted(self.wanted)))}"
        seen = ", ".join(f"{port} ({count})" for port, count in self._most()) or "none"
        return f"{listens}; the capture has datagrams to: {seen}"

    def notes(self) -> list[str]:
        others = [f"{port} ({count})" for port, count in self._most() if port not in self.wanted]
        return (
            [f"datagrams to ports at which no sensor of the rig is listened to were left out: {', '.join(others)}"]
            if others
            else []
        )

    def doubts(self, streams: dict[int, str]) -> list[str]:
        return [
            f"{name}: datagrams of {len(self.senders[port])} senders came to port {port} ({', '.join(sorted(self.senders[port]))})"
            for port, name in streams.items()
            if len(self.senders.get(port, ())) > 1
        ]  # fmt: skip

    def _most(self) -> list[tuple[int, int]]:
        return sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))[:20]


@dataclass(slots=True)
class _Loop:
    """Whether a stream begins anew. again: how often its first packet came again, beyond the reach of a network that doubles packets."""

    stream: str
    again: int = 0
    _first: bytes = b""
    _packets: int = 0
    _last_seen: int = 0

    def take(self, packet: Packet) -> None:
        if packet.stamps.device_ns is None:  # without a time in it, it may be the same and yet be new
            return
        if not self._packets:
            self._first = packet.data
        elif packet.data == self._first:
            self.again += self._packets - self._last_seen > _DOUBLES_REACH
            self._last_seen = self._packets
        self._packets += 1

    @property
    def in_words(self) -> str:
        return (
            f"{self.stream}: its first packet comes again {self.again} times, byte for byte: the capture plays the same packets over, "
            "and the sensor's clock goes back each time; import one pass of it"
        )


def _fill(
    session: ImportSession, reader: PcapReader, sources: list[UdpSource], traffic: _Traffic, loops: list[_Loop]
) -> None:
    streams = {source.asked_port: index for index, source in enumerate(sources)}
    size = reader.path.stat().st_size
    for datagram in reader:
        traffic.count(datagram)
        index = streams.get(datagram.destination_port)
        if index is None:
            continue
        traffic.taken += 1
        session.expect(max(traffic.taken, round(traffic.taken * size / traffic.bytes_read)))
        packet = sources[index].packet(datagram.payload, datagram.t_ns)
        session.add(index, packet, clock_ns=packet.stamps.device_ns)
        loops[index].take(packet)


def _lacking(counts: PcapCounts) -> list[str]:
    """What the capture itself lacks."""
    lines = []
    if counts.truncated:
        lines.append("the capture ends in the middle of a packet; all before it was taken")
    if counts.cut_frames:
        lines.append(f"{counts.cut_frames} packets were captured in part (tcpdump -s 0 takes all of them)")
    if counts.unfinished:
        lines.append(f"{counts.unfinished} datagrams lack a fragment")
    return lines


IMPORTER = PcapImporter()
