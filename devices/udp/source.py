"""Sensors that send UDP: one port, one stream, each datagram a packet."""

from __future__ import annotations

import errno
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from weakref import WeakValueDictionary

from devices.device import ClockSource, Rejections, Stream
from devices.errors import DeviceError
from devices.samples import Packet, Stamps
from devices.udp.captured import comes_out_of_a_capture, list_made
from devices.udp.socket import UdpSocket

# A read() lets datagrams gather for so long once the first is there, where the kernel stamps and holds them: one wake-up for many is
# most of what receiving costs. The fastest lidar sends 1 MB in that time.
_GATHER_S = 0.01
_GATHER_BUFFER_BYTES = 8 << 20
_GATHERS = sys.platform == "linux"

# The default 208 kB loses 4-8 % of an Ouster's datagrams while another process has the core; 64 MB lost none.
RECEIVE_BUFFER_BYTES = 64 << 20

_AT_PORT: WeakValueDictionary[int, UdpSource] = WeakValueDictionary()  # the last that listened there
_ARRIVAL_NS: ContextVar[int] = ContextVar("arrival_ns")


def arrival_ns() -> int:
    """When the datagram arrived whose own stamp is being read: for sensors whose stamps are to be understood by the time of day."""
    return _ARRIVAL_NS.get()


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
        self._reading = threading.Lock()
        self._closed = False
        self.asked_port = port
        if comes_out_of_a_capture():
            list_made(self)
            host, port, receive_buffer_bytes = "127.0.0.1", 0, 1
        self._socket = _bound_socket(stream.name, host, port, receive_buffer_bytes)
        self._port = self._socket.port
        self._gather_s = _GATHER_S if _GATHERS and self.receive_buffer_bytes >= _GATHER_BUFFER_BYTES else 0.0
        self._wake, self._waker = socket.socketpair()
        _AT_PORT[self._port] = self

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
    def is_open(self) -> bool:
        return not self._closed

    @property
    def port(self) -> int:
        """The port listened at: what was asked for, or what the system chose when that was 0."""
        return self._port

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel granted (it counts its own bookkeeping in)."""
        return self._socket.receive_buffer_bytes

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The datagrams waiting, oldest first; empty when none came in time. Raises EOFError once closed.

        DeviceError when the socket fails, and nothing is left that it has received.
        """
        with self._reading:
            if self._closed:
                raise EOFError(f"{self._stream.name} was closed")
            if self._socket.failure is None and not self._wait(timeout_s):
                return []
            packets = []
            for data, sender, host_ns in self._socket.waiting():
                if sender != self._sender:
                    self._note_sender(sender)
                packets.append(self.packet(data, host_ns))
            if (failure := self._socket.failure) is not None and not packets:
                raise DeviceError(f"{self._stream.name}: cannot receive at port {self.port}: {failure}")
            return packets

    @property
    def lost(self) -> int:
        """Datagrams that the kernel dropped because nobody read them in time (Linux only), or that the sensor's counting misses."""
        return max(self._socket.dropped, self._gaps())

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> packets that are kept, but are none of the sensor's, as far as their size, head and sender tell."""
        return dict(self._rejections.counts)

    def close(self) -> None:
        if self._closed:
            return
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


def _bound_socket(name: str, host: str, port: int, receive_buffer_bytes: int) -> UdpSocket:
    try:
        return UdpSocket(host, port, receive_buffer_bytes)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            own = _AT_PORT.get(port)
            if own is not None and own.is_open and own.stream.name != name:
                raise DeviceError(
                    f"{name}: UDP port {port} is that of {own.stream.name} already, in the same rig.toml; "
                    "have one of the two send to another port, and change it there"
                ) from None
            raise DeviceError(
                f"{name}: UDP port {port} is in use by another program; stop that one (ss -lunp names it), "
                "or have the sensor send elsewhere and change the port in rig.toml"
            ) from None
        raise DeviceError(f"{name}: cannot listen at UDP {host}:{port}: {error}") from None
