"""The one socket that every UDP sensor uses: kernel arrival stamps, and a count of every datagram that the kernel dropped."""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from devices.device import ClockSource, Rejections, Stream
from devices.errors import DeviceError
from devices.host_clock import WallStamps
from devices.samples import Packet, Stamps

# From Linux' asm-generic/socket.h; Python 3.11's socket module does not name them.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL, _SO_MEMINFO = 33, 35, 40, 55
_MEMINFO_DROPS = 8  # index of SK_MEMINFO_DROPS among SO_MEMINFO's u32 values (linux/sock_diag.h)
_LINUX = sys.platform == "linux"
_ANCILLARY_BYTES = socket.CMSG_SPACE(16) + socket.CMSG_SPACE(4) if _LINUX else 0
_BATCH = 256  # datagrams a read() at the most, so that its caller sees them before the next batch comes
_TIMESPEC, _COUNTER = struct.Struct("@ll"), struct.Struct("@I")
_SECOND = 1_000_000_000

# A read() lets datagrams gather for so long once the first is there, where the kernel stamps and holds them: one wake-up for many is
# most of what receiving costs. The fastest lidar sends 1 MB in that time.
_GATHER_S = 0.01
_GATHER_BUFFER_BYTES = 8 << 20

# The default 208 kB loses 4-8 % of an Ouster's datagrams while another process has the core; 64 MB lost none.
RECEIVE_BUFFER_BYTES = 64 << 20


_ARRIVAL_NS: ContextVar[int] = ContextVar("arrival_ns")
_CAPTURED: ContextVar[list[UdpSource] | None] = ContextVar("captured", default=None)


def arrival_ns() -> int:
    """When the datagram arrived whose own stamp is being read: for sensors whose stamps are to be understood by the time of day."""
    return _ARRIVAL_NS.get()


@contextmanager
def out_of_a_capture() -> Iterator[list[UdpSource]]:
    """Within it no UdpSource takes the port that it is asked for; those made are listed. Their datagrams come out of a file, by packet()."""
    made: list[UdpSource] = []
    token = _CAPTURED.set(made)
    try:
        yield made
    finally:
        _CAPTURED.reset(token)


def comes_out_of_a_capture() -> bool:
    """Whether what a driver opens now is fed from a file, so that no sensor is to be spoken to."""
    return _CAPTURED.get() is not None


@runtime_checkable
class Buffered(Protocol):
    """A source whose packets wait in a socket's receive buffer of so many bytes until they are read."""

    @property
    def receive_buffer_bytes(self) -> int: ...


class UdpSource:
    """Datagrams that arrive at one port, each a Packet of ``stream``.

    device_ns: payload -> the newest instant that it speaks of on the sensor's clock, None where it does not say. It may raise on
    foreign bytes: the packet is then kept without a device stamp.
    clock_source: what the sensor's stamps follow, or how to tell at the moment of asking.
    gaps: how many packets are missing by the sensor's own counting, where it counts; the kernel's drops are among them.
    rejections: where device_ns counts what is none of the sensor's packets; what it cannot read is added. one_sender: whether packets
    that come from two addresses by turns are such, too. remark: what a person ought to know of the stream, or how to tell it.
    The receive buffer is ``receive_buffer_bytes`` or, without the privilege to exceed it, what net.core.rmem_max allows.
    """

    def __init__(
        self,
        stream: Stream,
        port: int,
        device_ns: Callable[[bytes], int | None],
        host: str = "0.0.0.0",
        packet_bytes_max: int = 65536,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        clock_source: ClockSource | Callable[[], ClockSource] = ClockSource.FREE,
        gaps: Callable[[], int] = lambda: 0,
        rejections: Rejections | None = None,
        remark: str | Callable[[], str] = "",
        *,
        one_sender: bool = False,
    ) -> None:
        self._stream = stream
        self._gaps = gaps
        self._rejections = rejections or Rejections()
        self._remark = remark
        self._one_sender = one_sender
        self._sender = ""
        self._senders: set[str] = set()
        self._clock_source = clock_source
        self._device_ns = device_ns
        self._buffer = bytearray(packet_bytes_max)
        self._view = memoryview(self._buffer)
        self._dropped = 0
        self._wall_stamps = WallStamps()
        self._reading = threading.Lock()
        self._closed = False
        self._failure: DeviceError | None = None
        self.asked_port = port
        if (captured := _CAPTURED.get()) is not None:
            captured.append(self)
            host, port, receive_buffer_bytes = "127.0.0.1", 0, 1
        self._socket = _bound_socket(stream.name, host, port, receive_buffer_bytes)
        self._port = int(self._socket.getsockname()[1])
        self._gather_s = _GATHER_S if _LINUX and self.receive_buffer_bytes >= _GATHER_BUFFER_BYTES else 0.0
        self._wake, self._waker = socket.socketpair()

    @property
    def stream(self) -> Stream:
        return self._stream

    @property
    def clock_source(self) -> ClockSource:
        return self._clock_source if isinstance(self._clock_source, ClockSource) else self._clock_source()

    @property
    def remark(self) -> str:
        return self._remark if isinstance(self._remark, str) else self._remark()

    @property
    def port(self) -> int:
        """The port listened at: what was asked for, or what the system chose when that was 0."""
        return self._port

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel granted (it counts its own bookkeeping in)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The datagrams waiting, oldest first; empty when none came in time. Raises EOFError once closed.

        DeviceError when the socket fails, and nothing is left that it has received.
        """
        with self._reading:
            if self._closed:
                raise EOFError(f"{self._stream.name} was closed")
            if self._failure is None and not self._wait(timeout_s):
                return []
            datagrams, stamps_ns = self._waiting()
            if self._failure is not None and not datagrams:
                raise self._failure
            arrivals_ns = self._wall_stamps.host_ns(stamps_ns)
            return [self.packet(data, host_ns) for data, host_ns in zip(datagrams, arrivals_ns, strict=True)]

    @property
    def lost(self) -> int:
        """Datagrams that the kernel dropped because nobody read them in time (Linux only), or that the sensor's counting misses."""
        if not self._closed:
            # SO_RXQ_OVFL rides on the next datagram only; this also knows what was dropped after the last one.
            self._dropped = max(self._dropped, _dropped_so_far(self._socket))
        return max(self._dropped, self._gaps())

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> packets that are kept, but are none of the sensor's, as far as their size, head and sender tell."""
        return dict(self._rejections.counts)

    def close(self) -> None:
        if self._closed:
            return
        _ = self.lost  # the last chance to ask the kernel
        self._closed = True
        self._waker.send(b"\0")
        with self._reading:
            for each in (self._socket, self._wake, self._waker):
                each.close()

    def _wait(self, timeout_s: float) -> bool:
        """Whether something has come within the time; more may then have gathered."""
        ready, _, _ = select.select([self._socket, self._wake], [], [], timeout_s)
        if self._socket in ready and (gather_s := min(self._gather_s, timeout_s)):
            select.select([self._wake], [], [], gather_s)
        return self._socket in ready

    def _waiting(self) -> tuple[list[bytes], list[int]]:
        """A batch of what the kernel holds, and each one's arrival by the wall clock.

        A failure is kept for later: it must cost nothing that came before or waits behind it.
        """
        datagrams: list[bytes] = []
        stamps_ns: list[int] = []
        while len(datagrams) < _BATCH:
            try:
                received = self._receive()
            except DeviceError as error:
                if self._failure is not None:
                    break
                self._failure = error
                continue
            if received is None:
                break
            datagrams.append(received[0])
            stamps_ns.append(received[1])
        return datagrams, stamps_ns

    def _receive(self) -> tuple[bytes, int] | None:
        try:
            if _LINUX:
                size, ancillary, _, address = self._socket.recvmsg_into([self._view], _ANCILLARY_BYTES)
            else:
                (size, address), ancillary = self._socket.recvfrom_into(self._view), []
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:  # an ICMP message come back, or the interface gone
            raise DeviceError(f"{self._stream.name}: cannot receive at port {self.port}: {error}") from None
        if address[0] != self._sender:
            self._note_sender(address[0])
        return bytes(self._view[:size]), self._stamp(ancillary)

    def _note_sender(self, address: str) -> None:
        """A sensor may be given another address once; who speaks again after another has spoken is not alone."""
        if self._one_sender and address in self._senders:
            self._rejections.add(f"from {' and '.join(sorted((address, self._sender)))} by turns")
        self._senders.add(address)
        self._sender = address

    def packet(self, data: bytes, host_ns: int) -> Packet:
        """A datagram that arrived at that time, with the sensor's own stamp."""
        _ARRIVAL_NS.set(host_ns)
        return Packet(self._stream.name, Stamps(host_ns, self._device_stamp(data)), data)

    def _stamp(self, ancillary: Sequence[tuple[int, int, bytes]]) -> int:
        """When it arrived, by the wall clock: the kernel stamps by no other."""
        stamp_ns = 0
        for level, kind, value in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                stamp_ns = seconds * _SECOND + nanoseconds
            elif kind == _SO_RXQ_OVFL:
                self._dropped = max(self._dropped, _COUNTER.unpack_from(value)[0])
        return stamp_ns or time.time_ns()

    def _device_stamp(self, data: bytes) -> int | None:
        try:
            return self._device_ns(data)
        except Exception:  # foreign bytes, or a defect of the driver: neither may cost what came
            self._rejections.add("that its driver cannot read")
            return None


def all_or_none(opening: Iterable[UdpSource]) -> list[UdpSource]:
    """The sources that are opened one after another. Raises DeviceError, and leaves none open, when one cannot be."""
    opened: list[UdpSource] = []
    try:
        for source in opening:
            opened.append(source)  # noqa: PERF402  # what was opened before one fails is to be known
    except DeviceError:
        for source in opened:
            source.close()
        raise
    return opened


def _bound_socket(name: str, host: str, port: int, receive_buffer_bytes: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        _ask_for_buffer(opened, receive_buffer_bytes)
        if _LINUX:
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        opened.setblocking(False)
        opened.bind((host, port))
    except (OSError, OverflowError) as error:
        opened.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise DeviceError(
                f"{name}: UDP port {port} is in use by another program; stop that one (ss -lunp names it), "
                "or have the sensor send elsewhere and change the port in rig.toml"
            ) from None
        raise DeviceError(f"{name}: cannot listen at UDP {host}:{port}: {error}") from None
    return opened


def _ask_for_buffer(opened: socket.socket, size_bytes: int) -> None:
    """As large as allowed: the privileged way past net.core.rmem_max first, else the kernel cuts it down to that."""
    if _LINUX:
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)
            return
        except PermissionError:
            pass
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)


def _dropped_so_far(opened: socket.socket) -> int:
    if not _LINUX:
        return 0
    try:
        values = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
    except OSError:  # a kernel before 4.12, or the socket was closed meanwhile
        return 0
    return int(struct.unpack_from("@I", values, 4 * _MEMINFO_DROPS)[0]) if len(values) > 4 * _MEMINFO_DROPS else 0
