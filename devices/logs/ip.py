"""UDP datagrams out of link-layer frames: Ethernet, Linux "cooked" and raw frames, IPv4 and IPv6, fragments put together.

Sources: RFC 791, RFC 768, RFC 8200, tcpdump.org/linktypes.html. Checksums are not checked: captures on the sending machine hold
checksums that the network card was still to fill in.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

_UDP, _IPV6_FRAGMENT = 17, 44
_IPV4, _IPV6, _VLANS = 0x0800, 0x86DD, (0x8100, 0x88A8)
_IPV6_OPTIONS = (0, 43, 60)  # hop-by-hop, routing, destination
_UNFINISHED_MAX = (
    256  # datagrams that await fragments; beyond that the oldest is given up, so that memory stays bounded
)
# RFC 791 wants a limit: the 16 bits that number datagrams come round, after 102 s at 640 a second. Linux waits as long.
_PATIENCE_NS = 30_000_000_000


@dataclass(frozen=True, slots=True)
class Datagram:
    """t_ns: when its last fragment was captured, UTC."""

    t_ns: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class IpPacket:
    """offset: where ``payload`` belongs in the whole, in bytes. more: whether further fragments follow."""

    source: str
    destination: str
    protocol: int
    identification: int
    offset: int
    more: bool
    payload: bytes

    @property
    def is_udp(self) -> bool:
        return self.protocol == _UDP


def ip_packet(link_type: int, frame: bytes) -> IpPacket | None:
    """The IP packet in a frame; None when there is none, or it is damaged."""
    try:
        packet = _network_layer(link_type, frame)
        version = packet[0] >> 4
        return _ipv4(packet) if version == 4 else _ipv6(packet) if version == 6 else None
    except (IndexError, struct.error):
        return None


def _network_layer(link_type: int, frame: bytes) -> bytes:
    """What follows the link's own header; empty when that is not IP or the link type is not known."""
    if link_type == 1:  # Ethernet
        at = 12
        while (kind := _u16(frame, at)) in _VLANS:
            at += 4
        return frame[at + 2 :] if kind in (_IPV4, _IPV6) else b""
    if link_type == 113:  # Linux cooked capture, tcpdump -i any
        return frame[16:] if _u16(frame, 14) in (_IPV4, _IPV6) else b""
    if link_type == 276:  # its second version
        return frame[20:] if _u16(frame, 0) in (_IPV4, _IPV6) else b""
    if link_type in (0, 108):  # BSD loopback: an address family of 4 bytes
        return frame[4:]
    if link_type in (12, 14, 101, 228, 229):  # raw IP
        return frame
    return b""


def _ipv4(packet: bytes) -> IpPacket | None:
    head = (packet[0] & 15) * 4
    total = _u16(packet, 2) or len(packet)  # 0: left to the network card (segmentation offload)
    if head < 20 or total < head or len(packet) < total:
        return None
    flags = _u16(packet, 6)
    return IpPacket(
        source=socket.inet_ntop(socket.AF_INET, packet[12:16]),
        destination=socket.inet_ntop(socket.AF_INET, packet[16:20]),
        protocol=packet[9],
        identification=_u16(packet, 4),
        offset=(flags & 0x1FFF) * 8,
        more=bool(flags & 0x2000),
        payload=packet[head:total],
    )


def _ipv6(packet: bytes) -> IpPacket | None:
    total = 40 + _u16(packet, 4)
    if len(packet) < total:
        return None
    protocol, at, identification, offset, more = packet[6], 40, 0, 0, False
    while protocol in (*_IPV6_OPTIONS, _IPV6_FRAGMENT):
        if protocol == _IPV6_FRAGMENT:
            field_ = _u16(packet, at + 2)
            identification = struct.unpack_from(">I", packet, at + 4)[0]
            offset, more, size = field_ & 0xFFF8, bool(field_ & 1), 8
        else:
            size = 8 * (packet[at + 1] + 1)
        protocol, at = packet[at], at + size
    return IpPacket(
        source=socket.inet_ntop(socket.AF_INET6, packet[8:24]),
        destination=socket.inet_ntop(socket.AF_INET6, packet[24:40]),
        protocol=protocol,
        identification=identification,
        offset=offset,
        more=more,
        payload=packet[at:total],
    )


_Key = tuple[str, str, int]


@dataclass(slots=True)
class _Unfinished:
    """since_ns: when the first of its parts was captured."""

    since_ns: int
    parts: list[IpPacket] = field(default_factory=list)


@dataclass(slots=True)
class FragmentStore:
    """Puts fragmented datagrams together. broken: those of a length that cannot be. unfinished: those that still miss a fragment, or were given up."""

    broken: int = 0
    _waiting: dict[_Key, _Unfinished] = field(default_factory=dict)
    _given_up: int = 0

    @property
    def unfinished(self) -> int:
        return self._given_up + len(self._waiting)

    def add(self, t_ns: int, packet: IpPacket) -> Datagram | None:
        """The datagram that this packet is, or completes."""
        if not packet.is_udp:
            return None
        if not packet.more and packet.offset == 0:
            return self._whole(t_ns, packet, packet.payload)
        key = (packet.source, packet.destination, packet.identification)
        if key in self._waiting and abs(t_ns - self._waiting[key].since_ns) > _PATIENCE_NS:
            self._give_up(key)
        waiting = self._waiting.setdefault(key, _Unfinished(t_ns))
        waiting.parts.append(packet)
        whole = _joined(waiting.parts)
        if whole is None:
            if len(self._waiting) > _UNFINISHED_MAX:
                self._give_up(next(iter(self._waiting)))
            return None
        del self._waiting[key]
        return self._whole(t_ns, packet, whole)

    def _whole(self, t_ns: int, packet: IpPacket, udp: bytes) -> Datagram | None:
        found = _datagram(t_ns, packet, udp)
        self.broken += found is None
        return found

    def _give_up(self, key: _Key) -> None:
        del self._waiting[key]
        self._given_up += 1


def _joined(parts: list[IpPacket]) -> bytes | None:
    """The whole, once there is no gap from the first byte to the last; what came twice counts once."""
    if all(part.more for part in parts):
        return None
    whole = b""
    for part in sorted(parts, key=lambda each: each.offset):
        if part.offset > len(whole):
            return None
        whole = whole[: part.offset] + part.payload if part.offset + len(part.payload) > len(whole) else whole
    return whole


def _datagram(t_ns: int, packet: IpPacket, udp: bytes) -> Datagram | None:
    if len(udp) < 8:
        return None
    source_port, destination_port, size = struct.unpack_from(">HHH", udp)
    if size and not 8 <= size <= len(udp):
        return None
    payload = udp[8 : size or len(udp)]
    return Datagram(t_ns, packet.source, source_port, packet.destination, destination_port, payload)


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])
