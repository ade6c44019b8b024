"""A receiver's bytes as they arrive over a serial port or TCP."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from devices.device import ClockSource, Stream
from devices.errors import DeviceError
from devices.gnss.clock import GnssClock
from devices.gnss.reader import PartReader
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps

_CONNECT_S = 5.0
_BLOCK_BYTES = 65_536
_IDLE_S = 0.2  # what has come by then of a sentence is handed over as it is; the decoder puts it together
# The kernel asks a far side that is silent whether it is still there: it is gone after 13 s. A receiver may have nothing to say for long.
_QUESTIONS = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 4}


class Bytes(Protocol):
    """Where bytes arrive."""

    def read(self, timeout_s: float) -> bytes:
        """What has come, b"" when nothing came in time. Raises DeviceError when the far side is gone."""
        ...

    def close(self) -> None: ...


class SerialBytes:
    def __init__(self, name: str, port: str, baud: int) -> None:
        import serial

        self._where = f"{name}: {port}"
        self._gone: tuple[type[BaseException], ...] = (serial.SerialException, OSError, TypeError)
        try:
            self._serial: Any = serial.Serial(port, baud, timeout=0, exclusive=True)
        except (serial.SerialException, ValueError) as error:
            raise DeviceError(
                f"{self._where} cannot be opened: {_why(error)}; plug the receiver in, close other programs that read it, "
                "and be in the group that owns the port (dialout)"
            ) from None

    def read(self, timeout_s: float) -> bytes:
        try:
            self._serial.timeout = timeout_s
            first = self._serial.read(1)
            return bytes(first + self._serial.read(self._serial.in_waiting)) if first else b""
        except self._gone as error:
            raise DeviceError(f"{self._where} is gone: {error}; plug the receiver in again") from None

    def close(self) -> None:
        self._serial.close()


def _why(error: Exception) -> str:
    """Without the port, which the library names twice."""
    number = getattr(error, "errno", None)
    return str(error) if number is None else os.strerror(number)


class TcpBytes:
    def __init__(self, name: str, address: str) -> None:
        self._where = f"{name}: {address}"
        host, _, port = address.rpartition(":")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S)
        except (OSError, OverflowError) as error:
            raise DeviceError(f"{self._where} does not answer: {error}; check the address and the network") from None
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _QUESTIONS.items():
            if hasattr(socket, option):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def read(self, timeout_s: float) -> bytes:
        try:
            ready, _, _ = select.select([self._socket], [], [], timeout_s)
            data = self._socket.recv(_BLOCK_BYTES) if ready else None
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self._where} is gone: {error}") from None
        if data == b"":
            raise DeviceError(f"{self._where} has closed the connection")
        return data or b""

    def close(self) -> None:
        self._socket.close()


class GnssLink:
    """A Source of a receiver's sentences and frames."""

    def __init__(self, stream: Stream, link: Bytes) -> None:
        self._stream = stream
        self._link = link
        self._reader = PartReader()
        self._clock = GnssClock()
        self._ahead = 0  # bytes that were handed over before their sentence was whole
        self._newest_s = time.monotonic()
        self._reading = threading.Lock()
        self._closed = threading.Event()

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        with self._reading:
            if self._closed.is_set():
                raise EOFError(f"{self._stream.name} was closed")
            until_s = time.monotonic() + timeout_s
            while True:
                wait_s = max(0.0, until_s - time.monotonic())
                packets = self._received(min(wait_s, _IDLE_S))
                if packets or self._closed.is_set() or time.monotonic() >= until_s:
                    return packets

    @property
    def lost(self) -> int:
        """A byte stream says nothing of what it lost; a sentence that lacks bytes fails its checksum and is rejected."""
        return 0

    @property
    def rejected(self) -> Mapping[str, int]:
        """As the decoder counts what was handed over so far."""
        return dict(self._reader.rejections.counts)

    @property
    def clock_source(self) -> ClockSource:
        return self._clock.source

    def close(self) -> None:
        self._closed.set()
        with self._reading:
            self._link.close()

    def _received(self, timeout_s: float) -> list[Packet]:
        """Raises DeviceError when the far side is gone and has said nothing that was not handed over."""
        try:
            data = self._link.read(timeout_s)
        except DeviceError:
            begun = self._begun()
            if not begun:
                raise  # else the next read will find the same
            return begun
        now_s = time.monotonic()
        if data:
            self._newest_s = now_s
            return self._whole(data)
        return self._begun() if now_s - self._newest_s >= _IDLE_S else []

    def _whole(self, data: bytes) -> list[Packet]:
        """Sentences and frames that these bytes complete; of those that were handed over in part, the rest."""
        host_ns, packets = HOST_CLOCK.now_ns(), []
        for piece, part in self._reader.feed(data):
            device_ns = self._clock.instant_ns(part, host_ns)
            if new := piece.data[self._ahead :]:
                packets.append(Packet(self._stream.name, Stamps(host_ns, device_ns), new))
            self._ahead = max(0, self._ahead - len(piece.data))
        return packets

    def _begun(self) -> list[Packet]:
        """What has come of a sentence or frame that is not whole yet, and was not handed over."""
        begun = self._reader.waiting[self._ahead :]
        self._ahead += len(begun)
        return [Packet(self._stream.name, Stamps(HOST_CLOCK.now_ns()), begun)] if begun else []
