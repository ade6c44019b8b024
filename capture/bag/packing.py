"""How packets become the ROS 2 messages of a recording, and back, by hand: a recorder packs thousands a second.

Everything but time, counters and payload is the same in all messages of a stream and packed once.
"""

from __future__ import annotations

import struct

from capture.bag.cdr import ENCAPSULATION, fill, put_string, string
from capture.bag.message_types import COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE, POINT_CLOUD, RAW_PACKET, message_type
from capture.errors import CaptureError
from devices.cameras import raw_picture
from devices.device import Stream
from devices.ros.schema import RosSchema, message_type_of

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
        frame = string(stream.sensor)
        self._verbatim = message_type_of(stream.encoding) is not None
        self._last = string(stream.encoding) if self.type is COMPRESSED_VIDEO else b""
        self._stamped = self._verbatim and RosSchema.parse(stream.description).begins_with_header
        if self._verbatim:
            self._constants: tuple[bytes, ...] = ()
            self._layout = struct.Struct("")
        elif self.type is RAW_PACKET:
            lead = frame + fill(8 + len(frame), 8)
            encoding = string(stream.encoding)
            self._constants = (lead, encoding + fill(len(encoding), 4))
            self._layout = struct.Struct(f"<4siI{len(lead)}sQQ{len(self._constants[1])}sI")
        elif self.type in _ONE_LEAD:
            lead = frame + fill(len(frame), 4) + _lead(stream)
            self._constants = (lead + fill(len(lead), 4),)
            self._layout = struct.Struct(f"<4siI{len(self._constants[0])}sI")
        else:
            self._constants = (frame + fill(len(frame), 4), _point_fields())
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
                ENCAPSULATION, seconds, rest, constants[0], device_ns, sequence, constants[1], length
            )
        if self.type in _ONE_LEAD:
            return self._layout.pack(ENCAPSULATION, seconds, rest, constants[0], length)
        points = length // _POINT_BYTES
        return self._layout.pack(
            ENCAPSULATION,
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
        return fill(length, 4) + self._last if self._last else b""

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
        return string(stream.encoding)
    if kind is COMPRESSED_VIDEO:
        return b""
    layout = raw_picture.RawLayout.of(stream)
    lead = struct.pack("<II", layout.height_px, layout.width_px) + string(layout.ros_name) + b"\0"  # is_bigendian
    return lead + fill(len(lead), 4) + struct.pack("<I", layout.row_bytes)


def _header_stamp(message: bytes) -> int | None:
    if len(message) < 12:
        return None
    seconds, rest = struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)
    return int(seconds * _SECOND + rest)


def holds_stamp(stamp_ns: int) -> bool:
    """Whether a message can state this instant: builtin_interfaces/Time counts its seconds in an int32, up to January 2038."""
    return -_STAMP_LIMIT_NS <= stamp_ns < _STAMP_LIMIT_NS


def _point_fields() -> bytes:
    packed = bytearray(struct.pack("<I", 4))
    for index, name in enumerate(("x", "y", "z", "intensity")):
        put_string(packed, name)
        packed += fill(len(packed), 4) + struct.pack("<IB", index * 4, 7) + bytes(3) + struct.pack("<I", 1)
    packed += b"\0"  # is_bigendian
    return bytes(packed + fill(len(packed), 4))
