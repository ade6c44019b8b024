"""Lidars as the public protocols describe them, on loopback: they are found, shaken hands with, configured, and then send.

Frames are written and checked here field by field, with checksums bit by bit; nothing comes from devices/.
"""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.devices.livox_packets import second_imu, second_packet


def crc16_ccitt(data: bytes) -> int:
    register = 0xFFFF
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ (0x1021 if register & 0x8000 else 0)) & 0xFFFF
    return register


def crc16_mcrf4xx(data: bytes, register: int = 0x4C49) -> int:
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return register


def second_ack(sequence: int, command: int, data: bytes) -> bytes:
    head = struct.pack("<BBHIHBB", 0xAA, 0, 24 + len(data), sequence, command, 1, 1) + bytes(6)
    return head + struct.pack("<HI", crc16_ccitt(head), zlib.crc32(data)) + data


@dataclass
class Mid360:
    """settings: key -> the value last set. refuses: keys that it answers with an error. Sends point and IMU packets once told to."""

    address: str = "127.0.0.1"
    command_port: int = 0
    discovery_port: int = 0
    point_port: int = 0
    refuses: frozenset[int] = frozenset()
    deaf: int = 0  # how many requests it does not hear
    settings: dict[int, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    serial: bytes = b"47MDL1234567890"

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._commands = self._socket(self.command_port)
        self.command_port = self._commands.getsockname()[1]
        self._discovery = self._socket(self.discovery_port)
        self.discovery_port = self._discovery.getsockname()[1]
        self._points = self._socket(self.point_port)
        jobs = (
            lambda: self._serve(self._commands, self._configured),
            lambda: self._serve(self._discovery, self._discovered),
            self._measure,
        )
        self._threads = [threading.Thread(target=job) for job in jobs]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fall_silent()
        for each in (self._commands, self._discovery, self._points):
            each.close()

    def fall_silent(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def announcement(self) -> bytes:
        """What a lidar answers to the question who is there."""
        ip = socket.inet_aton(self.address)
        return struct.pack("<BB16s4sH", 0, 9, self.serial, ip, self.command_port)

    def announce(self, host: str, port: int) -> None:
        self._discovery.sendto(second_ack(0, 0x0000, self.announcement()), (host, port))

    def _socket(self, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.address, port))
        made.settimeout(0.02)
        return made

    def _serve(self, at: socket.socket, reply: Callable[[int, bytes], tuple[int, bytes] | None]) -> None:
        while not self._stop.is_set():
            try:
                data, sender = at.recvfrom(2048)
            except OSError:
                continue
            if self.deaf:
                self.deaf -= 1
                continue
            frame = self._request(data)
            answer = frame and reply(frame[1], frame[2])
            if frame and answer:
                at.sendto(second_ack(frame[0], *answer), sender)

    def _request(self, data: bytes) -> tuple[int, int, bytes] | None:
        """Sequence, command, data; None and a line in faults when a lidar would not take it."""
        start, version, length, sequence, command, kind, sender = struct.unpack_from("<BBHIHBB", data)
        header_crc, data_crc = struct.unpack_from("<HI", data, 18)
        checks = {
            "start": start == 0xAA, "version": version == 0, "length": length == len(data), "a request": kind == 0,
            "sent by a host": sender == 0, "CRC-16": header_crc == crc16_ccitt(data[:18]),
            "CRC-32": data_crc == (zlib.crc32(data[24:]) if len(data) > 24 else 0),
        }  # fmt: skip
        self.faults += [name for name, holds in checks.items() if not holds]
        return (sequence, command, data[24:]) if all(checks.values()) else None

    def _discovered(self, command: int, data: bytes) -> tuple[int, bytes] | None:
        return (0x0000, self.announcement()) if command == 0x0000 and not data else None

    def _configured(self, command: int, data: bytes) -> tuple[int, bytes] | None:
        if (
            command == 0x0101
        ):  # what is there: keys of two bytes each; 0x8010 is the kind of firmware, 1 the application
            return command, struct.pack("<BHHHB", 0, 1, 0x8010, 1, 1)
        if command != 0x0100:
            return None
        (count,), at, values = struct.unpack_from("<H", data), 4, {}
        for _ in range(count):
            key, size = struct.unpack_from("<HH", data, at)
            values[key], at = data[at + 4 : at + 4 + size], at + 4 + size
        if at != len(data):
            self.faults.append("a list of settings of another length")
        for key in values:
            if key in self.refuses:
                return command, struct.pack("<BH", 0x21, key)
        self.settings |= values
        return command, struct.pack("<BH", 0, 0)

    def _measure(self) -> None:
        """96 points 5 us apart in a packet, an IMU reading with each; 10 packets a second are enough here."""
        counter = 0
        while not self._stop.wait(0.01):
            if self.settings.get(0x001A) != b"\x01":
                continue
            t_ns = 1_000_000_000 + counter * 480_000
            points = second_packet([(1.0, 2.0, 0.5)] * 96, t_ns, counter=counter, interval_100ns=4800, time_type=1)
            self._send(0x0006, points)
            if self.settings.get(0x001C) == b"\x01":
                self._send(0x0007, second_imu(t_ns, (0.1, 0.2, 0.3), (0.0, 0.0, 1.0), counter))
            counter += 1

    def _send(self, key: int, data: bytes) -> None:
        if key in self.settings:
            ip, host_port, _ = struct.unpack("<4sHH", self.settings[key])
            self._points.sendto(data, (socket.inet_ntoa(ip), host_port))


def first_reply(kind: int, sequence: int, set_: int, command: int, data: bytes) -> bytes:
    head = struct.pack("<BBHBH", 0xAA, 1, 15 + len(data), kind, sequence)
    body = head + struct.pack("<HBB", crc16_mcrf4xx(head), set_, command) + data
    return body + struct.pack("<I", zlib.crc32(body, 0x564F580A))


@dataclass
class Avia:
    """A lidar of the first protocol. heard: (set, command, data) of what it was told, heartbeats left out."""

    refuses: frozenset[tuple[int, int]] = frozenset()
    heard: list[tuple[int, int, bytes]] = field(default_factory=list)
    heartbeats: int = 0
    faults: list[str] = field(default_factory=list)
    dead: bool = False

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.02)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def announcement(self) -> bytes:
        """The broadcast of an Avia: its code, its type, two spare bytes."""
        return first_reply(2, 1, 0, 0, struct.pack("<16sBH", b"3JEDK1234567891", 7, 0))

    def send(self, data: bytes, port: int) -> None:
        self._socket.sendto(data, ("127.0.0.1", port))

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(2048)
            except OSError:
                continue
            if self.dead:
                continue
            length, kind, sequence, crc16 = struct.unpack_from("<HBHH", data, 2)
            set_, command = data[9], data[10]
            intact = crc16 == crc16_mcrf4xx(data[:7]) and data[-4:] == struct.pack(
                "<I", zlib.crc32(data[:-4], 0x564F580A)
            )
            if not intact or length != len(data) or kind != 0 or data[:2] != b"\xaa\x01":
                self.faults.append(data.hex())
                continue
            if (set_, command) == (0, 3):
                self.heartbeats += 1
                self._socket.sendto(first_reply(1, sequence, 0, 3, struct.pack("<BBBI", 0, 1, 0, 0)), sender)
                continue
            self.heard.append((set_, command, data[11:-4]))
            code = 1 if (set_, command) in self.refuses else 0
            self._socket.sendto(first_reply(1, sequence, set_, command, bytes([code])), sender)
