"""The health of a recording as ROS 2 messages: diagnostic_msgs/DiagnosticArray, packed and unpacked."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from capture.bag.cdr import ENCAPSULATION, put_count, put_string, take_count, take_string
from capture.errors import CaptureError

_SECOND = 1_000_000_000


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
    put_string(body, "")
    put_count(body, len(statuses))
    for status in statuses:
        body.append(status.level)
        for text in (status.name, status.message, ""):
            put_string(body, text)
        put_count(body, len(status.values))
        for key, value in status.values.items():
            put_string(body, key)
            put_string(body, value)
    return ENCAPSULATION + bytes(body)


def unpack_diagnostics(message: bytes) -> list[Status]:
    """The statuses of a message of pack_diagnostics(). Raises CaptureError when it is cut short."""
    try:
        _, at = take_string(message, 12)
        count, at = take_count(message, at)
        statuses = []
        for _ in range(count):
            level, at = message[at], at + 1
            name, at = take_string(message, at)
            text, at = take_string(message, at)
            _, at = take_string(message, at)
            values = {}
            pairs, at = take_count(message, at)
            for _ in range(pairs):
                key, at = take_string(message, at)
                values[key], at = take_string(message, at)
            statuses.append(Status(level, name, text, values))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise CaptureError(f"a health message of {len(message)} bytes is broken") from None
    return statuses
