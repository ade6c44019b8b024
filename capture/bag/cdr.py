"""CDR (OMG DDS-XTypes), "plain" and little-endian as ROS 2 writes it: how a message's texts, counts and padding are laid out.

Four bytes of encapsulation, then fields, each aligned to its own size counted from behind those four.
"""

from __future__ import annotations

import struct

ENCAPSULATION = b"\x00\x01\x00\x00"


def string(text: str) -> bytes:
    """Its length, itself, and the zero that ends it."""
    raw = text.encode() + b"\0"
    return struct.pack("<I", len(raw)) + raw


def fill(position: int, size: int) -> bytes:
    """The zeros that bring a position to a multiple of size."""
    return bytes(-position % size)


def put_count(body: bytearray, count: int) -> None:
    """Appends a count to what stands behind the encapsulation."""
    body += fill(len(body), 4) + struct.pack("<I", count)


def put_string(body: bytearray, text: str) -> None:
    body += fill(len(body), 4) + string(text)


def take_count(message: bytes, at: int) -> tuple[int, int]:
    """(a count, where it ends). Raises struct.error when the message ends before."""
    at += -at % 4  # the encapsulation's four bytes do not disturb an alignment of four
    return struct.unpack_from("<I", message, at)[0], at + 4


def take_string(message: bytes, at: int) -> tuple[str, int]:
    """(a text, where it ends). Raises struct.error, IndexError or UnicodeDecodeError when it is none."""
    length, at = take_count(message, at)
    if at + length > len(message):
        raise IndexError(at + length)
    return message[at : at + length - 1].decode(), at + length
