"""The ROS 2 messages of a recording, packed and unpacked by hand: a recorder packs thousands a second.

CDR (OMG DDS-XTypes, "plain" little-endian as ROS 2 writes it): four bytes of encapsulation, then fields, each aligned to its own size
counted from behind those four. Everything but time, counters and payload is the same in all messages of a stream and packed once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from capture.bag.message_types import COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE, POINT_CLOUD, RAW_PACKET, message_type
from capture.errors import CaptureError
from devices import raw_picture
from devices.device import Stream
from devices.ros_schema import RosSchema, message_type_of

_ENCAPSULATION = b"\x00\x01\x00\x00"
_SECOND = 1_000_000_000
_STAMP_LIMIT_NS = (1 << 31) * _SECOND

_ONE_LEAD = (
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    IMAGE,
)  # between stamp and payload's length all is the same in a stream
_POINT_BYTES = 16  # x y z intensity, float32 each


class Packing:
    """How one stream's packets become messages of its type, and back."""

    def __init__(self, stream: Stream) -> None:
        self.type = message_type(stream)
        frame = _string(stream.sensor)
        self._verbatim = message_type_of(stream.encoding) is not None
        self._last = _string(stream.encoding) if self.type is COMPRESSED_VIDEO else b""
        self._stamped = self._verbatim and RosSchema.parse(stream.description).begins_with_header
        if self._verbatim:
            self._constants: tuple[bytes, ...] = ()
            self._layout = struct.Struct("")
        elif self.type is RAW_PACKET:
            lead = frame + _fill(8 + len(frame), 8)
            encoding = _string(stream.encoding)
            self._constants = (lead, encoding + _fill(len(encoding), 4))
            self._layout = struct.Struct(f"<4siI{len(lead)}sQQ{len(self._constants[1])}sI")
        elif self.type in _ONE_LEAD:
            lead = frame + _fill(len(frame), 4) + _lead(stream)
            self._constants = (lead + _fill(len(lead), 4),)
            self._layout = struct.Struct(f"<4siI{len(self._constants[0])}sI")
        else:
            self._constants = (frame + _fill(len(frame), 4), _point_fields())
            self._layout = struct.Struct(f"<4siI{len(self._constants[0])}sII{len(self._constants[1])}sIII")

    def pack(self, stamp_ns: int, device_ns: int, sequence: int, data: bytes) -> bytes:
        """header.stamp, the device's stamp (0: it has no clock), the stream's counter, and the payload as it came.

        A payload that is a ROS message already is the message: it says its own stamp.
        """
        return self.head(stamp_ns, device_ns, sequence, len(data)) + data + self.tail(len(data))

    def head(self, stamp_ns: int, device_ns: int, sequence: int, length: int) -> bytes:
        """What stands before a payload of this length; tail() stands behind it."""
        if self._verbatim:
            return b""
        seconds, rest = divmod(stamp_ns, _SECOND)
        constants = self._constants
        if self.type is RAW_PACKET:
            return self._layout.pack(
                _ENCAPSULATION, seconds, rest, constants[0], device_ns, sequence, constants[1], length
            )
        if self.type in _ONE_LEAD:
            return self._layout.pack(_ENCAPSULATION, seconds, rest, constants[0], length)
        points = length // _POINT_BYTES
        return self._layout.pack(
            _ENCAPSULATION,
            seconds,
            rest,
            constants[0],
            1,
            points,
            constants[1],
            _POINT_BYTES,
            points * _POINT_BYTES,
            length,
        )

    def tail(self, length: int) -> bytes:
        """What stands behind a payload of this length."""
        if self.type is POINT_CLOUD:
            return b"\x01"  # is_dense
        return _fill(length, 4) + self._last if self._last else b""

    def unpack(self, message: bytes) -> tuple[int | None, bytes]:
        """(header.stamp in ns, None where the type has none; payload). Raises CaptureError when it is no message of pack()."""
        if self._verbatim:
            return (_header_stamp(message) if self._stamped else None), message
        try:
            _, seconds, rest, *_, length = self._layout.unpack_from(message)
        except struct.error:
            length = -1
        if length < 0 or self._layout.size + length + len(self.tail(length)) != len(message):
            raise CaptureError(
                f"a {self.type.name} of {len(message)} bytes is broken; run `fieldrig verify` on the recording"
            )
        return seconds * _SECOND + rest, message[self._layout.size : self._layout.size + length]


def _lead(stream: Stream) -> bytes:
    """What stands between a picture's frame_id and its payload's length."""
    kind = message_type(stream)
    if kind is COMPRESSED_IMAGE:
        return _string(stream.encoding)
    if kind is COMPRESSED_VIDEO:
        return b""
    layout = raw_picture.RawLayout.of(stream)
    lead = struct.pack("<II", layout.height_px, layout.width_px) + _string(layout.ros_name) + b"\0"  # is_bigendian
    return lead + _fill(len(lead), 4) + struct.pack("<I", layout.row_bytes)


def _header_stamp(message: bytes) -> int | None:
    if len(message) < 12:
        return None
    seconds, rest = struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)
    return int(seconds * _SECOND + rest)


def holds_stamp(stamp_ns: int) -> bool:
    """Whether a message can state this instant: builtin_interfaces/Time counts its seconds in an int32, up to January 2038."""
    return -_STAMP_LIMIT_NS <= stamp_ns < _STAMP_LIMIT_NS


@dataclass(frozen=True, slots=True)
class Status:
    """One diagnostic_msgs/DiagnosticStatus. level: 0 ok, 1 warning, 2 error, 3 stale."""

    level: int
    name: str
    message: str
    values: dict[str, str]


def pack_diagnostics(stamp_ns: int, statuses: Sequence[Status]) -> bytes:
    """A diagnostic_msgs/DiagnosticArray of frame ''."""
    seconds, rest = divmod(stamp_ns, _SECOND)
    body = bytearray(struct.pack("<iI", seconds, rest))
    _put_string(body, "")
    _put_count(body, len(statuses))
    for status in statuses:
        body.append(status.level)
        for text in (status.name, status.message, ""):
            _put_string(body, text)
        _put_count(body, len(status.values))
        for key, value in status.values.items():
            _put_string(body, key)
            _put_string(body, value)
    return _ENCAPSULATION + bytes(body)


def unpack_diagnostics(message: bytes) -> list[Status]:
    """The statuses of a message of pack_diagnostics(). Raises CaptureError when it is cut short."""
    try:
        _, at = _take_string(message, 12)
        count, at = _take_count(message, at)
        statuses = []
        for _ in range(count):
            level, at = message[at], at + 1
            name, at = _take_string(message, at)
            text, at = _take_string(message, at)
            _, at = _take_string(message, at)
            values = {}
            pairs, at = _take_count(message, at)
            for _ in range(pairs):
                key, at = _take_string(message, at)
                values[key], at = _take_string(message, at)
            statuses.append(Status(level, name, text, values))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise CaptureError(f"a health message of {len(message)} bytes is broken") from None
    return statuses


def _string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<I", len(raw)) + raw


def _fill(position: int, size: int) -> bytes:
    return bytes(-position % size)


def _point_fields() -> bytes:
    packed = bytearray(struct.pack("<I", 4))
    for index, name in enumerate(("x", "y", "z", "intensity")):
        _put_string(packed, name)
        packed += _fill(len(packed), 4) + struct.pack("<IB", index * 4, 7) + bytes(3) + struct.pack("<I", 1)
    packed += b"\0"  # is_bigendian
    return bytes(packed + _fill(len(packed), 4))


def _put_count(body: bytearray, count: int) -> None:
    body += _fill(len(body), 4) + struct.pack("<I", count)


def _put_string(body: bytearray, text: str) -> None:
    body += _fill(len(body), 4) + _string(text)


def _take_count(message: bytes, at: int) -> tuple[int, int]:
    at += -at % 4  # the encapsulation's four bytes do not disturb an alignment of four
    return struct.unpack_from("<I", message, at)[0], at + 4


def _take_string(message: bytes, at: int) -> tuple[str, int]:
    length, at = _take_count(message, at)
    if at + length > len(message):
        raise IndexError(at + length)
    return message[at : at + length - 1].decode(), at + length
