"""The one socket that every sensor uses that speaks UDP: kernel arrival stamps, and a count of every datagram that the kernel dropped."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from devices.host_clock import WallStamps

# From Linux' asm-generic/socket.h; Python 3.11's socket module does not name them.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL, _SO_MEMINFO = 33, 35, 40, 55
_MEMINFO_DROPS = 8  # index of SK_MEMINFO_DROPS among SO_MEMINFO's u32 values (linux/sock_diag.h)
_LINUX = sys.platform == "linux"
_ANCILLARY_BYTES = socket.CMSG_SPACE(16) + socket.CMSG_SPACE(4) if _LINUX else 0
_DATAGRAM_BYTES_MAX = 65536
_BATCH = 256  # datagrams at a time at the most, so that their reader sees them before the next batch comes
_TIMESPEC, _COUNTER = struct.Struct("@ll"), struct.Struct("@I")
_SECOND = 1_000_000_000


@runtime_checkable
class Buffered(Protocol):
    """A source whose packets wait in a socket's receive buffer of so many bytes until they are read; None where they wait elsewhere."""

    @property
    def receive_buffer_bytes(self) -> int | None: ...


class UdpSocket(socket.socket):
    """Bound, and not blocking. One thread receives; any may ask and send.

    The receive buffer is ``receive_buffer_bytes`` or, without the privilege to exceed it, what net.core.rmem_max allows.
    failure: the first thing that went wrong at receiving (an ICMP message come back, the interface gone).
    """

    def __init__(self, host: str, port: int, receive_buffer_bytes: int, family: int = socket.AF_INET) -> None:
        """Raises OSError, and OverflowError for a port that is none, when it cannot listen there."""
        super().__init__(family, socket.SOCK_DGRAM)
        self.failure: OSError | None = None
        self._dropped = 0
        self._view = memoryview(bytearray(_DATAGRAM_BYTES_MAX))
        self._wall_stamps = WallStamps()
        try:
            self._ask_for_buffer(receive_buffer_bytes)
            if _LINUX:
                self.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                self.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self.setblocking(False)
            self.bind((host, port))
        except BaseException:
            super().close()
            raise

    @property
    def port(self) -> int:
        """The port listened at: what was asked for, or what the system chose when that was 0."""
        return int(self.getsockname()[1])

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel granted (it counts its own bookkeeping in)."""
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def waiting(self) -> Iterable[tuple[bytes, str, int]]:
        """A batch of what the kernel holds, oldest first: each datagram, its sender's address, and its arrival in host time.

        A failure is noted: it must cost nothing that came before or waits behind it.
        """
        datagrams: list[bytes] = []
        senders: list[str] = []
        stamps_ns: list[int] = []
        view = self._view
        while len(datagrams) < _BATCH:
            try:
                if _LINUX:
                    size, ancillary, _, address = self.recvmsg_into([view], _ANCILLARY_BYTES)
                else:
                    (size, address), ancillary = self.recvfrom_into(view), []
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if self.failure is not None:
                    break
                self.failure = error
                continue
            datagrams.append(bytes(view[:size]))
            senders.append(address[0])
            stamps_ns.append(self._stamp(ancillary))
        return zip(datagrams, senders, self._wall_stamps.host_ns(stamps_ns), strict=True)

    @property
    def dropped(self) -> int:
        """Datagrams that the kernel dropped because nobody read them in time (Linux only)."""
        # SO_RXQ_OVFL rides on the next datagram only; this also knows what was dropped after the last one.
        self._dropped = max(self._dropped, self._dropped_so_far())
        return self._dropped

    def close(self) -> None:
        _ = self.dropped  # the last chance to ask the kernel
        super().close()

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

    def _ask_for_buffer(self, size_bytes: int) -> None:
        """As large as allowed: the privileged way past net.core.rmem_max first, else the kernel cuts it down to that."""
        if _LINUX:
            try:
                self.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)
                return
            except PermissionError:
                pass
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)

    def _dropped_so_far(self) -> int:
        if not _LINUX:
            return 0
        try:
            values = self.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        except OSError:  # a kernel before 4.12, or the socket was closed meanwhile
            return 0
        return int(struct.unpack_from("@I", values, 4 * _MEMINFO_DROPS)[0]) if len(values) > 4 * _MEMINFO_DROPS else 0
