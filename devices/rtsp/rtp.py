"""RTP (RFC 3550): packets in their order with an exact count of the missing ones, and the sender's clock from its reports."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from devices.device import ClockSource

_NTP_UNIX_S = 2_208_988_800  # from 1900, where NTP counts from, to 1970
_WALL_CLOCK_S = _NTP_UNIX_S + 946_684_800  # a sender that says it is before 2000 counts from its power-up
_SENDER_REPORT, _GOODBYE = 200, 203
_REPORT_LIFE_NS = 30_000_000_000  # senders report every 5 s or so
_TICKS_LEAP_S = 100  # a sender whose ticks go on otherwise counts them anew
_REORDER_PACKETS = 64
_REORDER_NS = 100_000_000
_PACE_NS = 5_000_000_000
_LEAP_PACKETS = 3000  # a step so far ahead (RFC 3550 A.1: MAX_DROPOUT) or back may be a sender that counts anew


class Received(NamedTuple):
    """An RTP or RTCP packet. host_ns: its arrival, over UDP by the kernel's stamp, over TCP when it was read."""

    is_rtcp: bool
    data: bytes
    host_ns: int


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """number: its 16-bit sequence number. ticks: its 32-bit stamp in the media's clock. is_last: the marker bit, a frame's end."""

    source: int
    payload_type: int
    number: int
    ticks: int
    is_last: bool
    payload: bytes
    host_ns: int


def rtp_packet(data: bytes, host_ns: int) -> RtpPacket:
    """Raises ValueError when the bytes are no RTP packet of version 2."""
    if len(data) < 12 or data[0] >> 6 != 2:
        raise ValueError("no RTP packet")
    flags, kind, number, ticks, source = struct.unpack_from(">BBHII", data)
    start = 12 + 4 * (flags & 0x0F)
    if flags & 0x10:
        if len(data) < start + 4:
            raise ValueError("an RTP packet that ends in its header")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - (data[-1] if flags & 0x20 else 0)
    if start > end:
        raise ValueError("an RTP packet that ends in its header")
    return RtpPacket(source, kind & 0x7F, number, ticks, bool(kind & 0x80), data[start:end], host_ns)


class RtpOrder:
    """Packets of one sender in the order of their numbers. One that is late is waited for, one that is missing is counted."""

    def __init__(self) -> None:
        self.lost = 0
        self.broken = 0  # datagrams that are no RTP, of another payload type, or alone with their number
        self._next: int | None = None
        self._sender = 0
        self._early: dict[int, RtpPacket] = {}
        self._leapt: RtpPacket | None = None  # far off the others: one behind it would show that the sender counts anew
        self._count, self._began_ns, self._heard_ns = 0, 0, 0

    @property
    def next_number(self) -> int:
        return self._next or 0

    @property
    def sender(self) -> int:
        return self._sender

    def take(self, packet: RtpPacket) -> Iterator[tuple[RtpPacket, bool]]:
        """(packet, whether one is missing before it): all whose turn has come. A sender that counts anew has lost nothing by it."""
        if self._next is None or packet.source != self._sender:
            yield from self.rest()
            self._begin(packet)
        elif self._leaps(packet):
            before, self._leapt = self._leapt, packet
            if before is None or not 0 < (packet.number - before.number) & 0xFFFF <= _REORDER_PACKETS:
                self.broken += before is not None
                return
            self._leapt = None
            yield from self.rest()
            self._begin(before)
            self._early[before.number] = before
        elif (packet.number - self._next) & 0xFFFF >= 0x8000:
            return  # a duplicate, or one that comes after it was given up
        else:
            self._give_up_the_leap()
        self._note_pace(packet)
        self._early[packet.number] = packet
        yield from self._in_turn()
        while self._early and self._waited_long_enough(packet.host_ns):
            self.lost += self._skip()
            yield self._pop(), True
            yield from self._in_turn()

    def _in_turn(self) -> Iterator[tuple[RtpPacket, bool]]:
        while self._next in self._early:
            yield self._pop(), False

    def rest(self) -> Iterator[tuple[RtpPacket, bool]]:
        """All that wait for others: those will not come any more."""
        self._give_up_the_leap()
        while self._early:
            missing = self._skip()
            self.lost += missing
            yield self._pop(), missing > 0

    def _begin(self, packet: RtpPacket) -> None:
        self._sender, self._next = packet.source, packet.number
        self._count, self._began_ns, self._heard_ns = 0, packet.host_ns, packet.host_ns

    def _note_pace(self, packet: RtpPacket) -> None:
        """That of the last seconds: a camera in a street sends more than one that is parked."""
        self._count += 1
        self._heard_ns = packet.host_ns
        if self._heard_ns - self._began_ns > _PACE_NS:
            self._count //= 2
            self._began_ns = (self._began_ns + self._heard_ns) // 2

    def _leaps(self, packet: RtpPacket) -> bool:
        """Whether its number is where no detour leads, and no loss: so many were hardly sent since the last one came."""
        ahead = (packet.number - self.next_number) & 0xFFFF
        if ahead >= 0x8000:
            return ahead <= 0x10000 - _LEAP_PACKETS
        sent_ns, silent_ns = self._heard_ns - self._began_ns, packet.host_ns - self._heard_ns
        return ahead >= _LEAP_PACKETS and ahead * sent_ns >= 2 * self._count * silent_ns

    def _give_up_the_leap(self) -> None:
        self.broken += self._leapt is not None
        self._leapt = None

    def _pop(self) -> RtpPacket:
        number = self.next_number
        self._next = (number + 1) & 0xFFFF
        return self._early.pop(number)

    def _skip(self) -> int:
        """Goes to the first packet that is there; how many were passed by."""
        start = self.next_number
        missing = min((number - start) & 0xFFFF for number in self._early)
        self._next = (start + missing) & 0xFFFF
        return missing

    def _waited_long_enough(self, now_ns: int) -> bool:
        oldest_ns = min(packet.host_ns for packet in self._early.values())
        return len(self._early) > _REORDER_PACKETS or now_ns - oldest_ns > _REORDER_NS


class SenderClock:
    """A sender's wall clock as its RTCP reports lay it beside the ticks of its media."""

    def __init__(self, ticks_hz: int) -> None:
        self.ended = False  # the sender said goodbye
        self.newest: tuple[int, int] | None = None  # middle 32 bits of the last report's NTP stamp, its arrival
        self._ticks_hz = ticks_hz
        self._wall_ns = 0
        self._report_ticks = 0
        self._ticks: int | None = None  # the last ones, counted on beyond 32 bits as the report's are
        self._is_wall = False

    def take(self, data: bytes, host_ns: int) -> None:
        """A compound RTCP packet. What is none is passed over."""
        at = 0
        while at + 4 <= len(data) and data[at] >> 6 == 2:
            length = 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == _SENDER_REPORT and length >= 28 and at + 20 <= len(data):
                seconds, fraction, ticks = struct.unpack_from(">III", data, at + 8)
                self._report(seconds, fraction, ticks, host_ns)
            elif data[at + 1] == _GOODBYE:
                self.ended = True
            at += length

    def device_ns(self, ticks: int) -> int | None:
        """When the ticks were on the sender's clock. None without a report, or where they leap and no report has followed them."""
        before = ticks if self._ticks is None else self._ticks
        self._ticks = self._counted_on(ticks)
        leap = min(abs(self._ticks - before), abs(self._ticks - self._report_ticks))
        if self.newest is None or leap > _TICKS_LEAP_S * self._ticks_hz:
            self.newest = None
            return None
        stamp_ns = self._wall_ns + (self._ticks - self._report_ticks) * 1_000_000_000 // self._ticks_hz
        return stamp_ns if stamp_ns >= 0 else None

    def source(self, now_ns: int) -> ClockSource:
        """RTCP while reports come that state a wall clock; FREE when they count from power-up, or have ceased."""
        if self.newest is None:
            return ClockSource.NONE
        alive = now_ns - self.newest[1] < _REPORT_LIFE_NS
        return ClockSource.RTCP if alive and self._is_wall else ClockSource.FREE

    def _report(self, seconds: int, fraction: int, ticks: int, host_ns: int) -> None:
        if not seconds and not fraction:
            return  # RFC 3550 6.4.1: the sender has no clock at all
        self._is_wall = seconds >= _WALL_CLOCK_S
        since = seconds - _NTP_UNIX_S if self._is_wall else seconds
        self._wall_ns = since * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)
        self._report_ticks = self._counted_on(ticks)
        if self._ticks is None:
            self._ticks = ticks
        self.newest = (seconds & 0xFFFF) << 16 | fraction >> 16, host_ns

    def _counted_on(self, ticks: int) -> int:
        if self._ticks is None:
            return ticks
        return self._ticks + (ticks - self._ticks + (1 << 31)) % (1 << 32) - (1 << 31)


def receiver_report(own: int, order: RtpOrder, clock: SenderClock, now_ns: int) -> bytes:
    """What tells a sender that somebody listens (RFC 3550 6.4.2, 6.5): a report on its stream, and our name."""
    middle, arrived_ns = clock.newest or (0, now_ns)
    since = min((now_ns - arrived_ns) * 65536 // 1_000_000_000, 0xFFFFFFFF) if middle else 0
    lost = min(order.lost, 0x7FFFFF)
    highest = (order.next_number - 1) & 0xFFFF
    report = struct.pack(">BBHI", 0x81, 201, 7, own)
    report += struct.pack(">IIIIII", order.sender, lost, highest, 0, middle, max(0, since))
    return report + struct.pack(">BBHIBB", 0x81, 202, 4, own, 1, 8) + b"fieldrig" + bytes(2)
