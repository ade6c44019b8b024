"""Livox command frames, of both generations of their protocol: building them, reading them, their checksums.

Sources as in livox_packet.py. Little-endian throughout.
"""

from __future__ import annotations

import binascii
import socket
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

_START = 0xAA
_FROM_HOST = 0
REQUEST, ACK = 0, 1


class Command(IntEnum):
    """Of the second protocol."""

    DISCOVER = 0x0000
    CONFIGURE = 0x0100


class Key(IntEnum):
    """What the second protocol's CONFIGURE sets."""

    POINT_TYPE = 0x0000
    POINT_DESTINATION = 0x0006
    IMU_DESTINATION = 0x0007
    WORK_MODE = 0x001A
    IMU_ON = 0x001C


class General(IntEnum):
    """Commands of the first protocol's set 0."""

    BROADCAST = 0
    HANDSHAKE = 1
    HEARTBEAT = 3
    SAMPLE = 4
    COORDINATES = 5
    DISCONNECT = 6


class Lidar(IntEnum):
    """Commands of the first protocol's set 1."""

    RETURN_MODE = 6
    IMU_RATE = 8


@dataclass(frozen=True, slots=True)
class SecondFrame:
    """A frame of the second protocol. kind: REQUEST or ACK."""

    sequence: int
    command: int
    kind: int
    data: bytes = b""

    def to_bytes(self) -> bytes:
        head = struct.pack(
            "<BBHIHBB6x", _START, 0, 24 + len(self.data), self.sequence, self.command, self.kind, _FROM_HOST
        )
        return head + struct.pack("<HI", crc16(head), zlib.crc32(self.data) if self.data else 0) + self.data


def second_frame(data: bytes) -> SecondFrame | None:
    """The frame in a datagram; None when it is none, or damaged."""
    if len(data) < 24 or data[0] != _START or int.from_bytes(data[2:4], "little") != len(data):
        return None
    sequence, command, kind = struct.unpack_from("<IHB", data, 4)
    header_crc, data_crc = struct.unpack_from("<HI", data, 18)
    payload = data[24:]
    if header_crc != crc16(data[:18]) or (payload and data_crc != zlib.crc32(payload)):
        return None
    return SecondFrame(sequence, command, kind, payload)


def settings(values: dict[Key, bytes]) -> bytes:
    """The data of a CONFIGURE."""
    pairs = (struct.pack("<HH", key, len(value)) + value for key, value in values.items())
    return struct.pack("<HH", len(values), 0) + b"".join(pairs)


def destination(host: str, host_port: int, lidar_port: int) -> bytes:
    return socket.inet_aton(host) + struct.pack("<HH", host_port, lidar_port)


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """A frame of the first protocol. kind: REQUEST, ACK, or 2 where the lidar speaks unasked. set_: 0 for what every device knows, 1 for lidars."""

    sequence: int
    set_: int
    command: int
    kind: int
    data: bytes = b""

    def to_bytes(self) -> bytes:
        head = struct.pack("<BBHBH", _START, 1, 15 + len(self.data), self.kind, self.sequence)
        body = head + struct.pack("<HBB", crc16_reflected(head), self.set_, self.command) + self.data
        return body + struct.pack("<I", zlib.crc32(body, _SEED_32))


def first_frame(data: bytes) -> FirstFrame | None:
    """The frame in a datagram; None when it is none, or damaged."""
    if len(data) < 15 or data[0] != _START or int.from_bytes(data[2:4], "little") != len(data):
        return None
    kind, sequence, header_crc, set_, command = struct.unpack_from("<BHHBB", data, 4)
    if header_crc != crc16_reflected(data[:7]):
        return None
    if int.from_bytes(data[-4:], "little") != zlib.crc32(data[:-4], _SEED_32):
        return None
    return FirstFrame(sequence, set_, command, kind, data[11:-4])


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value all ones."""
    return binascii.crc_hqx(data, 0xFFFF)


_SEED_16, _SEED_32 = 0x4C49, 0x564F580A


def crc16_reflected(data: bytes) -> int:
    """Polynomial 0x1021, reflected, from Livox's own initial value."""
    register = _SEED_16
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return register
