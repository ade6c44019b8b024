"""NMEA sentences, UBX and RTCM 3 frames in a receiver's stream of bytes, mixed in any way, and all that lies between them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

# NMEA 0183 allows 82 characters; receivers' own sentences are longer.
_SENTENCE = re.compile(rb"[$!][ -#%-~]{1,512}\r?\n")
_SENTENCE_BEGUN = re.compile(rb"[$!][ -#%-~]{0,512}\r?")
_UBX_SYNC = b"\xb5\x62"
_UBX_HEAD, _UBX_TAIL = 6, 2
_UBX_PAYLOAD_MAX = 4096  # the longest that receivers send are about 3 kB; what claims more is taken for foreign bytes
_RTCM3_SYNC = 0xD3
_RTCM3_HEAD, _RTCM3_TAIL = 3, 3
_START = re.compile(rb"[$!\xb5\xd3]")
_JUNK_MAX = 4096


class Kind(StrEnum):
    NMEA = "nmea"
    UBX = "ubx"
    RTCM3 = "rtcm3"
    JUNK = "junk"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that belong together. junk: what stood before them and is neither a sentence nor a frame; an all-junk piece has no body."""

    kind: Kind
    junk: bytes
    body: bytes

    @property
    def data(self) -> bytes:
        return self.junk + self.body


@dataclass(slots=True)
class PieceSplitter:
    """Cuts what feed() is given at the end of each sentence or frame. No byte is dropped: the pieces' bytes in order are the stream's.

    Frames are told from chance by their checksum. A sentence is cut out whatever its checksum says: its end is plain.
    """

    _waiting: bytearray = field(default_factory=bytearray)
    _begun: int = 0  # where in ``waiting`` something began that is not whole yet

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._waiting += data
        while (piece := self._next()) is not None:
            yield piece

    def rest(self) -> Iterator[Piece]:
        """What waits for its end in vain, and what is whole behind where that seemed to begin."""
        while self._begun < len(self._waiting):
            self._begun += 1
            yield from iter(self._next, None)
        if self._waiting:
            yield self._cut(Kind.JUNK, self._begun, self._begun)

    @property
    def waiting(self) -> bytes:
        return bytes(self._waiting)

    def _next(self) -> Piece | None:
        while (start := _START.search(self._waiting, self._begun)) is not None:
            at = start.start()
            kind, end = self._whole(at)
            if end:
                return self._cut(kind, at, end)
            if kind is not Kind.JUNK:  # it may still become whole
                self._begun = at
                break
            self._begun = at + 1
        else:
            self._begun = len(self._waiting)
        return self._cut(Kind.JUNK, self._begun, self._begun) if self._begun > _JUNK_MAX else None

    def _whole(self, at: int) -> tuple[Kind, int]:
        """What begins there and where it ends: 0 when the end has not come yet. (JUNK, 0) when nothing begins there."""
        if self._waiting[at] == _UBX_SYNC[0]:
            return self._ubx(at)
        if self._waiting[at] == _RTCM3_SYNC:
            return self._rtcm3(at)
        match = _SENTENCE.match(self._waiting, at)
        if match is not None:
            return Kind.NMEA, match.end()
        begun = _SENTENCE_BEGUN.fullmatch(self._waiting, at)
        return (Kind.NMEA if begun else Kind.JUNK), 0

    def _ubx(self, at: int) -> tuple[Kind, int]:
        head = self._waiting[at : at + _UBX_HEAD]
        if not _UBX_SYNC.startswith(bytes(head[:2])):
            return Kind.JUNK, 0
        if len(head) < _UBX_HEAD:
            return Kind.UBX, 0
        (length,) = struct.unpack_from("<H", head, 4)
        if length > _UBX_PAYLOAD_MAX:
            return Kind.JUNK, 0
        end = at + _UBX_HEAD + length + _UBX_TAIL
        if end > len(self._waiting):
            return Kind.UBX, 0
        frame = bytes(self._waiting[at:end])
        return (Kind.UBX, end) if ubx_checksum(frame[2:-2]) == frame[-2:] else (Kind.JUNK, 0)

    def _rtcm3(self, at: int) -> tuple[Kind, int]:
        """0xD3, six bits that are 0, ten of the payload's length, the payload, and a CRC over all of it (RTCM 10403, transport layer)."""
        head = self._waiting[at : at + _RTCM3_HEAD]
        if len(head) > 1 and head[1] >> 2:
            return Kind.JUNK, 0
        if len(head) < _RTCM3_HEAD:
            return Kind.RTCM3, 0
        end = at + _RTCM3_HEAD + (head[1] << 8 | head[2]) + _RTCM3_TAIL
        if end > len(self._waiting):
            return Kind.RTCM3, 0
        frame = bytes(self._waiting[at:end])
        return (Kind.RTCM3, end) if crc24q(frame) == 0 else (Kind.JUNK, 0)

    def _cut(self, kind: Kind, at: int, end: int) -> Piece:
        piece = Piece(kind, bytes(self._waiting[:at]), bytes(self._waiting[at:end]))
        del self._waiting[:end]
        self._begun = 0
        return piece


def ubx_checksum(content: bytes) -> bytes:
    """Of class, id, length and payload: Fletcher's sums modulo 256 (RFC 1145)."""
    a = b = 0
    for byte in content:
        a = (a + byte) & 0xFF
        b = (b + a) & 0xFF
    return bytes((a, b))


def crc24q(content: bytes) -> int:
    """Qualcomm's CRC of 24 bits, as RTCM 3 uses it: 0 over content with its own CRC behind it."""
    crc = 0
    for byte in content:
        crc = (crc << 8 & 0xFFFFFF) ^ _CRC24Q[crc >> 16 ^ byte]
    return crc


def _crc24q_of(byte: int) -> int:
    crc = byte << 16
    for _ in range(8):
        crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc


_CRC24Q = tuple(map(_crc24q_of, range(256)))
