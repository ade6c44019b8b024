"""One RTSP 1.0 conversation with a camera (RFC 2326): what it sends, set up over TCP or UDP, played, kept alive.

Over TCP the packets come interleaved with the answers on the one connection (section 10.12): ``$``, channel, length, bytes.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from devices.cameras.authorization import Authorization, is_stale, preferred
from devices.cameras.network_camera import CameraAddress
from devices.host_clock import HOST_CLOCK
from devices.rtsp.error import RtspError
from devices.rtsp.rtp import Received
from devices.rtsp.rtp_ports import RtpPorts
from devices.rtsp.session_description import described_media
from devices.udp.socket import UdpSocket

_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 1 << 18
_MESSAGE_BYTES_MAX = 1 << 20
_DEFAULT_SESSION_S = 60  # section 12.37
_AGAIN_S = 0.5  # until a sign of life is repeated whose nonce had become stale


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: lower-case name -> value."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class RtspSession:
    """A conversation from its first word on. media: what the camera sends. Raises RtspError and OSError.

    After play() packets come as Received: first those of early(), then those of receive().
    ports: where they arrive over UDP.
    """

    def __init__(self, address: CameraAddress, transport: str) -> None:
        self._url = address.url
        self._user, self._password = address.user, address.password
        self._authorization: Authorization | None = None
        self._number = 0
        self._id = ""
        self._pending = bytearray()
        self._keep_alive_s = _DEFAULT_SESSION_S / 2
        self._early: list[Received] = []
        self._channels: dict[int, bool] = {}  # interleaved channel -> whether it carries RTCP
        self.ports: RtpPorts | None = None
        self._tcp = socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S)
        try:
            self._converse(transport)
        except BaseException:
            self.close()
            raise

    def _converse(self, transport: str) -> None:
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        described = self._ask("DESCRIBE", self._url, {"Accept": "application/sdp"})
        self._base = described.headers.get("content-base") or described.headers.get("content-location") or self._url
        self.media = described_media(described.body.decode("utf-8", "replace"))
        self._set_up(_address(self._base, self.media.control), transport)

    def play(self) -> None:
        """From now on packets arrive."""
        self._ask("PLAY", self._base, {"Range": "npt=0.000-"})
        self._said_at = time.monotonic()
        for each in self.sockets:
            each.setblocking(False)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Where something may arrive: for select()."""
        return (*(self.ports.sockets if self.ports else ()), self._tcp)

    def early(self) -> list[Received]:
        """The packets that came along with the answers and were not asked for yet."""
        early, self._early = self._early, []
        return [*early, *self._interleaved()]

    def receive(self, ready: socket.socket) -> Iterator[Received]:
        """What waits at one of the sockets. Raises RtspError when the camera has hung up."""
        if self.ports and isinstance(ready, UdpSocket):
            yield from self.ports.waiting(ready)
            return
        try:
            data = ready.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise RtspError("it closed the connection")
        self._pending += data
        yield from self._interleaved()

    def keep_alive(self) -> None:
        """Says in time that we are still here (the session's time-out, section 12.37); the answer is passed over when it comes."""
        if time.monotonic() - self._said_at > self._keep_alive_s:
            self._said_at = time.monotonic()
            self._tcp.send(self._request("OPTIONS", self._url, {}))

    def report(self, data: bytes) -> None:
        """Sends an RTCP packet to the camera."""
        if self.ports:
            self.ports.report(data)
        for channel, is_rtcp in self._channels.items():
            if is_rtcp:
                self._tcp.send(b"$" + bytes([channel]) + len(data).to_bytes(2, "big") + data)

    def close(self) -> None:
        """Ends the session, if the camera still listens."""
        try:
            if self._id:
                self._tcp.send(self._request("TEARDOWN", self._url, {}))
        except OSError:
            pass
        for each in self.sockets:
            each.close()

    def _set_up(self, address: str, transport: str) -> None:
        if transport == "udp":
            self.ports = RtpPorts(self._tcp.getsockname()[0], self._tcp.family)
            wanted = "RTP/AVP;unicast;client_port={}-{}".format(*self.ports.numbers)
        else:
            wanted = "RTP/AVP/TCP;unicast;interleaved=0-1"
        answer = self._ask("SETUP", address, {"Transport": wanted})
        self._id, _, timeout = answer.headers.get("session", "").partition(";")
        if stated := re.search(r"timeout\s*=\s*(\d{1,6})\b", timeout):
            self._keep_alive_s = max(1.0, int(stated[1]) / 2)
        said = answer.headers.get("transport", "")
        if self.ports:
            camera = self._tcp.getpeername()[0]
            self.ports.senders = {camera, *re.findall(r"source=([^;]+)", said)}
            if ports := re.search(r"server_port=(\d{1,5})-(\d{1,5})\b", said):
                self.ports.report_to = camera, int(ports[2]) & 0xFFFF
        else:
            found = re.search(r"interleaved=(\d{1,3})-(\d{1,3})\b", said)
            rtp, rtcp = (int(found[1]) & 0xFF, int(found[2]) & 0xFF) if found else (0, 1)
            self._channels = {rtp: False, rtcp: True}

    def _ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer; asks again with a password when the camera wants one."""
        answer = self._exchange(method, url, headers)
        if answer.status == 401 and self._may_ask_again(answer):
            answer = self._exchange(method, url, headers)
        if answer.status != 200:
            raise RtspError(f"it answers '{answer.status} {answer.reason}' to {method}")
        return answer

    def _may_ask_again(self, refusal: Answer) -> bool:
        """Whether there is a password that has not been said, or was under a nonce that has become stale."""
        challenge = refusal.headers.get("www-authenticate", "")
        if self._user is None or not challenge or (self._authorization and not is_stale(challenge)):
            return False
        try:
            self._authorization = Authorization(challenge, self._user, self._password)
        except ValueError as error:
            raise RtspError(str(error)) from None
        return True

    def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        self._tcp.sendall(self._request(method, url, headers))
        deadline = time.monotonic() + _TIMEOUT_S
        while (answer := self._taken_answer()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to {method} within {_TIMEOUT_S:.0f} s")
            data = self._tcp.recv(_RECEIVE_BYTES)
            if not data:
                raise RtspError(f"it closed the connection at {method}")
            self._pending += data
        return answer

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: fieldrig"]
        if self._id:
            lines.append(f"Session: {self._id}")
        if self._authorization:
            lines.append(f"Authorization: {self._authorization.header(method, url)}")
        lines += [f"{key}: {value}" for key, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _taken_answer(self) -> Answer | None:
        """The answer that ``pending`` begins with, taken from it; None while it is not all there."""
        self._early += self._interleaved(until_answer=True)  # some cameras play before they say so
        head, mark, _ = bytes(self._pending).partition(b"\r\n\r\n")
        if not mark:
            if len(head) > _MESSAGE_BYTES_MAX:
                raise RtspError("what it says is not RTSP")
            return None
        answer, size = _parsed(head)
        end = len(head) + 4 + size
        if len(self._pending) < end:
            return None
        body = bytes(self._pending[len(head) + 4 : end])
        del self._pending[:end]
        return Answer(answer.status, answer.reason, answer.headers, body)

    def _interleaved(self, until_answer: bool = False) -> Iterator[Received]:
        """The packets that ``pending`` holds; answers between them are passed over, unless one is waited for."""
        while self._pending:
            if self._pending[0] == 0x24:
                end = 4 + int.from_bytes(self._pending[2:4], "big")
                if len(self._pending) < max(4, end):
                    return
                channel, packet = self._pending[1], bytes(self._pending[4:end])
                del self._pending[:end]
                if channel in self._channels:
                    yield Received(self._channels[channel], packet, HOST_CLOCK.now_ns())
            elif until_answer or self._taken_message() is None:
                return

    def _taken_message(self) -> bool | None:
        """Passes over an answer (to a sign of life) or a request of the camera; None while it is not all there."""
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            if len(self._pending) > _MESSAGE_BYTES_MAX:
                raise RtspError("what it says is not RTSP")
            return None
        head = bytes(self._pending[: end + 2])
        length = re.search(rb"\r\ncontent-length:\s*(\d{1,7})\r", head, re.IGNORECASE)
        end += 4 + (int(length[1]) if length else 0)
        if len(self._pending) < end:
            return None
        del self._pending[:end]
        if re.match(rb"RTSP/\d\.\d 401 ", head) and self._may_ask_again(_parsed(head)[0]):
            self._said_at = time.monotonic() - self._keep_alive_s + _AGAIN_S
        return True


def _address(base: str, control: str) -> str:
    """Of one media. Not joined as RFC 2326 C.1.1 would have it: servers expect it behind the whole base, its query included."""
    if not control or control == "*":
        return base
    return control if "://" in control else f"{base.rstrip('/')}/{control}"


def _parsed(head: bytes) -> tuple[Answer, int]:
    """An answer without its body, and the body's length."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found = re.fullmatch(r"RTSP/\d\.\d (\d{3}) ?(.*)", first)
    if found is None:
        raise RtspError(f"what it says is not RTSP: '{first[:60]}'")
    pairs = [(key.strip().lower(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    headers = dict(pairs)
    headers["www-authenticate"] = preferred([value for key, value in pairs if key == "www-authenticate"])
    length = headers.get("content-length", "0")
    size = int(length) if length.isdecimal() and len(length) < 8 else 0
    return Answer(int(found[1]), found[2][:80], headers, b""), size


def wait(session: RtspSession, wake: socket.socket, timeout_s: float) -> list[socket.socket]:
    """The session's sockets at which something has arrived within the time; ``wake`` ends the wait."""
    ready, _, _ = select.select([*session.sockets, wake], [], [], max(0.0, timeout_s))
    return [each for each in session.sockets if each in ready]
