"""H.264 and H.265 in RTP (RFC 6184, RFC 7798) put together to access units: one picture's NAL units, each behind a start code (Annex B).

Not supported, and counted: interleaved modes and decoding order numbers, which no camera sends live.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from devices.rtsp.rtp import RtpPacket

_START_CODE = b"\x00\x00\x00\x01"


class Codec(StrEnum):
    """The values are the encodings of streams, and foxglove_msgs' own names."""

    H264 = "h264"
    H265 = "h265"

    def kind(self, nal: bytes) -> int:
        """A NAL unit's type."""
        return nal[0] & 0x1F if self is Codec.H264 else nal[0] >> 1 & 0x3F

    def is_picture(self, nal: bytes) -> bool:
        """Whether it holds a part of the picture itself."""
        return 1 <= self.kind(nal) <= 5 if self is Codec.H264 else self.kind(nal) < 32

    def is_parameter_set(self, nal: bytes) -> bool:
        return self.kind(nal) in ((7, 8) if self is Codec.H264 else (32, 33, 34))

    def is_delimiter(self, nal: bytes) -> bool:
        """Whether it is an access unit delimiter, which stands first."""
        return self.kind(nal) == (9 if self is Codec.H264 else 35)

    def starts_here(self, nal: bytes) -> bool:
        """Whether decoding can begin with its picture: IDR, or a recovery point's SEI (H.264); an IRAP picture (H.265)."""
        if self is Codec.H264:
            return self.kind(nal) == 5 or (self.kind(nal) == 6 and nal[1:2] == b"\x06")
        return 16 <= self.kind(nal) <= 23


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture in Annex B. ticks: of the media's clock. host_ns: arrival of its last packet."""

    ticks: int
    host_ns: int
    data: bytes


class AccessUnits:
    """RTP packets in order -> access units, each as soon as its last packet is there.

    A NAL unit of which a part is missing is dropped (RFC 6184 section 5.8), what else came of its picture is kept. Parameter sets that
    came in the session's description are put before each picture at which decoding can begin and that does not bring its own: a
    recording then decodes from every such picture.
    """

    def __init__(self, codec: Codec, parameter_sets: Sequence[bytes] = ()) -> None:
        self.broken = 0  # payloads that make no sense
        self._codec = codec
        self._parameter_sets = self._sets_of(parameter_sets)
        self._nals: list[bytes] = []
        self._fragments: list[bytes] = []
        self._ticks = 0
        self._host_ns = 0

    def take(self, packet: RtpPacket, follows_gap: bool) -> Iterator[AccessUnit]:
        if packet.ticks != self._ticks:
            yield from self.rest()  # its marker was lost
            self._ticks = packet.ticks
        if follows_gap:
            self._fragments.clear()
        self._host_ns = packet.host_ns
        try:
            self._unpack(packet.payload)
        except (IndexError, ValueError):
            self.broken += 1
        # Some cameras set the marker on parameter sets that they send by themselves.
        if packet.is_last and any(map(self._codec.is_picture, self._nals)):
            yield from self.rest()

    def rest(self) -> Iterator[AccessUnit]:
        """The picture in hand, whose end has not come."""
        self._fragments.clear()
        nals, self._nals = self._nals, []
        self._parameter_sets |= self._sets_of(nals)
        if any(map(self._codec.is_picture, nals)):
            lead = 1 if self._codec.is_delimiter(nals[0]) else 0
            whole = [*nals[:lead], *self._missing_sets(nals), *nals[lead:]]
            yield AccessUnit(self._ticks, self._host_ns, b"".join(_START_CODE + nal for nal in whole))

    def _missing_sets(self, nals: Sequence[bytes]) -> list[bytes]:
        if not any(map(self._codec.starts_here, nals)):
            return []
        brought = {self._codec.kind(nal) for nal in nals}
        return [nal for kind, sets in sorted(self._parameter_sets.items()) if kind not in brought for nal in sets]

    def _sets_of(self, nals: Sequence[bytes]) -> dict[int, list[bytes]]:
        """Kind -> the parameter sets of that kind, of which there may be several."""
        sets: dict[int, list[bytes]] = {}
        for nal in nals:
            if nal and self._codec.is_parameter_set(nal):
                sets.setdefault(self._codec.kind(nal), []).append(nal)
        return sets

    def _unpack(self, payload: bytes) -> None:
        """Raises ValueError, IndexError for what is neither NAL unit nor aggregate nor fragment."""
        kind = self._codec.kind(payload)
        if self._codec is Codec.H264:
            if 1 <= kind <= 23:
                self._nals.append(payload)
            elif kind == 24:  # STAP-A
                self._nals.extend(_aggregated(payload[1:]))
            elif kind == 28:  # FU-A: indicator (F, NRI, type), header (start, end, R, type)
                self._fragment(payload[1], bytes([payload[0] & 0xE0 | payload[1] & 0x1F]), payload[2:])
            else:
                raise ValueError(kind)
        elif kind < 48:
            if len(payload) < 3:
                raise ValueError(kind)
            self._nals.append(payload)
        elif kind == 48:  # aggregation packet
            self._nals.extend(_aggregated(payload[2:]))
        elif kind == 49:  # fragmentation unit: two bytes of NAL header, then (start, end, type)
            head = bytes([payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]])
            self._fragment(payload[2], head, payload[3:])
        else:
            raise ValueError(kind)

    def _fragment(self, flags: int, head: bytes, part: bytes) -> None:
        if flags & 0x80:
            self._fragments = [head]
        if not self._fragments:
            return  # its beginning was lost, and counted there
        self._fragments.append(part)
        if flags & 0x40:
            self._nals.append(b"".join(self._fragments))
            self._fragments = []


def _aggregated(data: bytes) -> list[bytes]:
    nals, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        nal = data[at + 2 : at + 2 + size]
        if not size or len(nal) < size:
            raise ValueError(size)
        nals.append(nal)
        at += 2 + size
    return nals


def nal_units(data: bytes) -> list[bytes]:
    """The NAL units of Annex B bytes."""
    found = []
    for part in data.split(b"\x00\x00\x01")[1:]:
        nal = part.rstrip(b"\0")  # the zero of a four-byte start code, and trailing zeros
        if nal:
            found.append(nal)
    return found
