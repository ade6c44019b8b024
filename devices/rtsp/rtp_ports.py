"""Where a camera's RTP and RTCP arrive over UDP: two neighbouring ports, the first even (RFC 3550 section 11)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from devices.rtsp.error import RtspError
from devices.rtsp.rtp import Received
from devices.udp.socket import UdpSocket

_BUFFER_BYTES = 8 << 20  # a key frame comes as one burst of hundreds of datagrams
_TRIES = 50


class RtpPorts:
    """sockets: for RTP, for RTCP. senders: whose datagrams are the camera's. report_to: where it takes RTCP, if anywhere.

    foreign: datagrams that came from others than the camera, the last time from ``stranger``.
    """

    def __init__(self, host: str, family: int) -> None:
        """Raises RtspError when this machine has no such pair free."""
        self.sockets = self._rtp, self._rtcp = _pair(host, family)
        self.senders: Collection[str] = ()
        self.report_to: tuple[str, int] | None = None
        self.foreign = 0
        self.stranger = ""

    @property
    def numbers(self) -> tuple[int, int]:
        return self._rtp.port, self._rtcp.port

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel granted for RTP."""
        return self._rtp.receive_buffer_bytes

    @property
    def dropped(self) -> int:
        """RTP packets that the kernel dropped because nobody read them in time."""
        return self._rtp.dropped

    def waiting(self, ready: UdpSocket) -> Iterator[Received]:
        """What has come from the camera at one of the sockets. A failure is passed over: an ICMP answer to a report of ours, or else silence follows."""
        for data, sender, host_ns in ready.waiting():
            if sender in self.senders:
                yield Received(ready is self._rtcp, data, host_ns)
            else:
                self.foreign += 1
                self.stranger = sender

    def report(self, data: bytes) -> None:
        """Sends an RTCP packet to the camera."""
        if self.report_to is not None:
            self._rtcp.sendto(data, self.report_to)


def _pair(host: str, family: int) -> tuple[UdpSocket, UdpSocket]:
    for _ in range(_TRIES):
        first = UdpSocket(host, 0, _BUFFER_BYTES, family)
        try:
            if first.port % 2 == 0:
                return first, UdpSocket(host, first.port + 1, _BUFFER_BYTES, family)
        except (OSError, OverflowError):
            pass  # the one beside it is taken
        first.close()
    raise RtspError("this machine has no two neighbouring UDP ports free")
