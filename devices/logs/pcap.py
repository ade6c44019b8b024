"""UDP datagrams out of capture files: pcap and pcapng, as tcpdump and Wireshark write them.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, RFC 791 (fragments), RFC 8200, tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from devices.errors import DeviceError
from devices.logs.ip import Datagram, FragmentStore, ip_packet

_PCAP_MAGICS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}  # -> ns a tick of the fraction
_NG_SECTION, _NG_INTERFACE, _NG_SIMPLE = 0x0A0D0D0A, 1, 3
# Enhanced and obsolete packet blocks: interface, high and low half of the time, bytes captured, bytes there were.
_NG_PACKETS = {6: "5I", 2: "H2x4I"}
_NG_BYTE_ORDER = 0x1A2B3C4D
_NG_RESOLUTION, _NG_OFFSET = 9, 14  # interface options
_FRAME_BYTES_MAX = 1 << 24  # beyond this the length is taken for broken, not for a frame


@dataclass(slots=True)
class PcapCounts:
    """What reading came across. ``truncated``: the file ends in the middle of a record, all before it was read."""

    datagrams: int = 0
    other_frames: int = 0  # not UDP over IP, damaged, or of a link type that is not known
    cut_frames: int = 0  # captured shorter than they were
    unfinished: int = 0  # fragmented datagrams of which a fragment is missing
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    t_ns: int
    link_type: int
    data: bytes
    cut: bool


@dataclass(slots=True)
class PcapReader:
    """Iterate over it: the UDP datagrams of the file in its order, in bounded memory; ``counts`` then tells what was passed over.

    Raises DeviceError when the file cannot be opened or is no capture file.
    """

    path: Path
    counts: PcapCounts = field(default_factory=PcapCounts)

    def __iter__(self) -> Iterator[Datagram]:
        self.counts = PcapCounts()
        fragments = FragmentStore()
        try:
            with self.path.open("rb") as file:
                for frame in _frames(file, self.path, self.counts):
                    yield from self._datagram(frame, fragments)
        except OSError as error:
            raise DeviceError(f"cannot read {self.path}: {error.strerror or error}") from None
        self.counts.unfinished = fragments.unfinished
        self.counts.other_frames += fragments.broken

    def _datagram(self, frame: _Frame, fragments: FragmentStore) -> Iterator[Datagram]:
        if frame.cut:
            self.counts.cut_frames += 1
            return
        packet = ip_packet(frame.link_type, frame.data)
        found = fragments.add(frame.t_ns, packet) if packet is not None else None
        if found is not None:
            self.counts.datagrams += 1
            yield found
        elif packet is None or not packet.is_udp:
            self.counts.other_frames += 1


def _frames(file: BinaryIO, path: Path, counts: PcapCounts) -> Iterator[_Frame]:
    magic = file.read(4)
    for order in "<>":
        if len(magic) == 4 and struct.unpack(order + "I", magic)[0] in _PCAP_MAGICS:
            return _pcap_frames(file, order, _PCAP_MAGICS[struct.unpack(order + "I", magic)[0]], path, counts)
    if magic == struct.pack("<I", _NG_SECTION):
        return _pcapng_frames(file, path, counts)
    raise DeviceError(
        f"{path} is no pcap or pcapng file (it begins with '{magic.hex(' ')}'); record one with tcpdump -w FILE.pcap udp"
    )


def _pcap_frames(file: BinaryIO, order: str, tick_ns: int, path: Path, counts: PcapCounts) -> Iterator[_Frame]:
    head = file.read(20)
    if len(head) < 20:
        raise DeviceError(f"{path} ends within its header; it holds no packets")
    link_type = struct.unpack(order + "I", head[16:20])[0] & 0xFFFF
    while record := file.read(16):
        if len(record) < 16:
            break
        seconds, fraction, size, real_size = struct.unpack(order + "4I", record)
        data = file.read(size) if size <= _FRAME_BYTES_MAX else b""
        if len(data) < size:
            break
        yield _Frame(seconds * 1_000_000_000 + fraction * tick_ns, link_type, data, size < real_size)
    counts.truncated = bool(record)


@dataclass(slots=True)
class _Interface:
    link_type: int
    ticks_a_second: int = 1_000_000
    offset_s: int = 0
    snap_bytes: int = 0


def _pcapng_frames(file: BinaryIO, path: Path, counts: PcapCounts) -> Iterator[_Frame]:
    file.seek(0)
    order, interfaces, last_ns = "<", list[_Interface](), 0
    while head := file.read(8):
        if len(head) == 8 and head[:4] == struct.pack("<I", _NG_SECTION):  # the same read either way round
            order, interfaces = _section_order(file, path), []
        body = _block_body(file, head, order)
        if body is None:
            counts.truncated = True
            return
        kind = struct.unpack(order + "I", head[:4])[0]
        try:
            if kind == _NG_INTERFACE:
                interfaces.append(_interface(body, order))
            elif kind in _NG_PACKETS:
                frame = _packet_frame(body, order + _NG_PACKETS[kind], interfaces)
                last_ns = frame.t_ns
                yield frame
            elif kind == _NG_SIMPLE:  # it has no time of its own
                yield _simple_frame(body, order, interfaces, last_ns)
        except (struct.error, IndexError):
            counts.other_frames += 1


def _section_order(file: BinaryIO, path: Path) -> str:
    """The byte order of the section whose block header was just read; the file stays where it is."""
    at = file.tell()
    magic = file.read(4)
    file.seek(at)
    for order in "<>":
        if magic == struct.pack(order + "I", _NG_BYTE_ORDER):
            return order
    raise DeviceError(
        f"{path}: a pcapng section of no known byte order ('{magic.hex(' ')}'); the file is damaged there"
    )


def _block_body(file: BinaryIO, head: bytes, order: str) -> bytes | None:
    """What stands between a block's two lengths; None when the file ends before, or the length is nonsense."""
    if len(head) < 8:
        return None
    size = struct.unpack(order + "I", head[4:])[0]
    if size < 12 or size % 4 or size > _FRAME_BYTES_MAX:
        return None
    rest = file.read(size - 8)
    return rest[:-4] if len(rest) == size - 8 else None


def _interface(body: bytes, order: str) -> _Interface:
    link_type, _, snap_bytes = struct.unpack_from(order + "HHI", body)
    interface = _Interface(link_type, snap_bytes=snap_bytes)
    at = 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0:
            break
        if code == _NG_RESOLUTION and size == 1:
            interface.ticks_a_second = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == _NG_OFFSET and size == 8:
            interface.offset_s = struct.unpack(order + "q", value)[0]
        at += 4 + (size + 3) // 4 * 4
    return interface


def _packet_frame(body: bytes, head: str, interfaces: list[_Interface]) -> _Frame:
    number, high, low, size, real_size = struct.unpack_from(head, body)
    interface = interfaces[number]
    ticks = high << 32 | low
    t_ns = ticks * 1_000_000_000 // interface.ticks_a_second + interface.offset_s * 1_000_000_000
    return _Frame(t_ns, interface.link_type, body[20 : 20 + size], size < real_size or len(body) < 20 + size)


def _simple_frame(body: bytes, order: str, interfaces: list[_Interface], t_ns: int) -> _Frame:
    real_size = struct.unpack_from(order + "I", body)[0]
    data = body[4 : 4 + real_size]
    snap_bytes = interfaces[0].snap_bytes
    cut = len(data) < real_size or 0 < snap_bytes < real_size
    return _Frame(t_ns, interfaces[0].link_type, data, cut)
