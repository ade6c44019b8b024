"""Cameras that send JPEGs over HTTP (multipart/x-mixed-replace), as IP cameras and most streaming servers do.

    [sensors.camera_left]
    driver = "mjpeg"
    url = "http://192.168.1.20:8080/stream"      # with user:password@ where the camera asks for it (Basic or Digest)

Part headers that are read: ``X-Timestamp`` (when the picture was taken, on the camera's clock), ``X-Sequence`` (the picture's
number, so that gaps are known), ``Content-Length``. All may be absent.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import ClassVar
from urllib.parse import urlsplit

from devices.cameras.authorization import Authorization, preferred
from devices.cameras.multipart import MultipartReader, Part
from devices.cameras.network_camera import SILENCE_S, CameraAddress, HttpAddress, camera_address, gone, unreachable
from devices.cameras.picture import picture_decoder
from devices.device import ClockSource, Decoder, Found, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.samples import Image, Packet, Sample, Stamps

ENCODING = "jpeg"
_CONNECT_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 1 << 20
_HEAD_BYTES_MAX = 1 << 16


class MjpegConfig(SensorConfig):
    url: HttpAddress


class MjpegDriver:
    """Stream: ``SENSOR/image``."""

    config = MjpegConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: Image}

    def open(self, name: str, config: MjpegConfig) -> Sequence[Source]:
        return [MjpegSource(Stream(f"{name}/image", ENCODING), config.url)]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: an MJPEG camera sends '{ENCODING}', not '{stream.encoding}'")
        return picture_decoder(stream.sensor)

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """Nothing in HTTP announces a camera: a person knows its address."""
        return ()


class MjpegSource:
    """One connection to a camera. A picture's arrival is when its last byte was read off the socket.

    Asks as HTTP/1.0, to which no server may answer in chunks: the body is then the multipart stream itself.
    """

    def __init__(self, stream: Stream, url: str) -> None:
        self._stream = stream
        self._address = camera_address(url, "http")
        self._reading = threading.Lock()
        self._closed = False
        self._last_number: int | None = None
        self._gaps = 0
        self._is_stamped = False
        self._socket, boundary, rest = _connected(stream.name, self._address)
        self._heard_at = time.monotonic()
        self._parts = MultipartReader(boundary)
        self._waiting = rest  # what came along with the answer's head
        self._wake, self._waker = socket.socketpair()

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The pictures that are complete. Raises EOFError once closed; DeviceError when the camera ended the stream or the connection broke."""
        deadline = time.monotonic() + timeout_s
        with self._reading:
            while not self._closed:
                data, self._waiting = self._waiting or self._receive(deadline - time.monotonic()), b""
                packets = [self._packet(part, HOST_CLOCK.now_ns()) for part in self._parts.feed(data)]
                if not packets and self._parts.ended:
                    raise self._gone("it has ended the stream")
                if packets or time.monotonic() >= deadline:
                    return packets
        raise EOFError(f"{self._stream.name} was closed")

    @property
    def lost(self) -> int:
        """Pictures missing between the numbers that the camera gives, and parts too broken to be read."""
        return self._gaps + self._parts.broken

    @property
    def clock_source(self) -> ClockSource:
        return ClockSource.FREE if self._is_stamped else ClockSource.NONE

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waker.send(b"\0")
        with self._reading:
            for each in (self._socket, self._wake, self._waker):
                each.close()

    def _receive(self, timeout_s: float) -> bytes:
        """What has come; empty after the time-out."""
        ready, _, _ = select.select([self._socket, self._wake], [], [], max(0.0, timeout_s))
        if self._socket not in ready:
            if time.monotonic() - self._heard_at > SILENCE_S:
                raise self._gone(f"it has said nothing for {SILENCE_S:.0f} s")
            return b""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from None
        if not data:
            raise self._gone("it closed the connection")
        self._heard_at = time.monotonic()
        return data

    def _gone(self, why: object) -> DeviceError:
        self._parts.end()
        return gone(self._stream.name, why)

    def _packet(self, part: Part, host_ns: int) -> Packet:
        device_ns = device_ns_from_text(part.headers.get("x-timestamp", ""))
        self._is_stamped = device_ns is not None
        number = part.headers.get("x-sequence", "")
        if number.isdecimal() and len(number) < 20:
            self._count_gap(int(number))
        return Packet(self._stream.name, Stamps(host_ns, device_ns), part.body)

    def _count_gap(self, number: int) -> None:
        if self._last_number is not None and number > self._last_number:
            self._gaps += number - self._last_number - 1
        self._last_number = number  # a smaller number: the camera counts anew


def device_ns_from_text(text: str) -> int | None:
    """``X-Timestamp`` -> ns, its unit judged by its magnitude; None when it is no number.

    Unix times of 1973 to 5138 are told apart by a factor of 1000: s, ms, us, ns. What is smaller is taken for seconds since the
    camera's start, as most servers that send an uptime do.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return None
    if not value.is_finite() or not 0 <= value < Decimal(1 << 63):
        return None
    for limit, factor in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if value < limit:
            return int(value * factor)
    return int(value)


def _connected(name: str, address: CameraAddress) -> tuple[socket.socket, bytes, bytes]:
    """The socket after the answer's head, the multipart boundary, and what of the body came with the head."""
    try:
        opened, head, rest = _asked(address, "")
    except TimeoutError:
        why = f"{address.shown} takes the connection but says nothing for {_CONNECT_TIMEOUT_S:.0f} s"
        raise unreachable(name, why) from None
    except OSError as error:
        raise unreachable(name, f"no camera at {address.shown}: {error}") from None
    except ValueError as error:
        raise unreachable(name, f"{address.shown} is no MJPEG stream: {error}") from None
    try:
        boundary = _boundary(head)
    except ValueError as error:
        opened.close()
        raise unreachable(name, f"{address.shown} is no MJPEG stream: {error}") from None
    opened.setblocking(False)
    return opened, boundary, rest


def _asked(address: CameraAddress, answer: str) -> tuple[socket.socket, bytes, bytes]:
    """The socket, the head that came, and what came along with it. answer: to the camera's question for a password.

    The password is sent only when it is asked for, and in the way that is asked for.
    """
    opened = socket.create_connection((address.host, address.port), timeout=_CONNECT_TIMEOUT_S)
    try:
        opened.sendall(_request(address, answer))
        head, rest = _head(opened)
    except BaseException:
        opened.close()
        raise
    challenge = _challenge(head)
    if challenge and not answer and address.user is not None:
        opened.close()
        return _asked(address, Authorization(challenge, address.user, address.password).header("GET", address.path))
    return opened, head, rest


def _request(address: CameraAddress, answer: str) -> bytes:
    lines = [
        f"GET {address.path} HTTP/1.0",
        f"Host: {urlsplit(address.url).netloc}",
        "Accept: multipart/x-mixed-replace, */*",
    ]
    if answer:
        lines.append(f"Authorization: {answer}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _challenge(head: bytes) -> str:
    """What a camera that wants a password asks."""
    status, *lines = head.decode("latin-1").split("\r\n")
    asked = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("www-authenticate:")]
    return preferred(asked) if " 401" in status else ""


def _head(opened: socket.socket) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    received = b""
    while b"\r\n\r\n" not in received:
        if time.monotonic() > deadline:
            raise TimeoutError
        data = opened.recv(_HEAD_BYTES_MAX)
        if not data or len(received) > _HEAD_BYTES_MAX:
            raise ValueError("the answer is not HTTP")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _boundary(head: bytes) -> bytes:
    """Raises ValueError when the answer is not a multipart stream."""
    status, *lines = head.decode("latin-1").split("\r\n")
    if len(status.split()) < 2 or status.split()[1] != "200":
        raise ValueError(f"it answers '{status[:80]}'")
    headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    kind = headers.get("content-type", "")
    if not kind.lower().startswith("multipart/"):
        raise ValueError(f"its Content-Type is '{kind[:80]}', not multipart/x-mixed-replace")
    for parameter in kind.split(";")[1:]:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "boundary" and value.strip().strip('"'):
            return value.strip().strip('"').encode("latin-1")
    raise ValueError("its Content-Type names no boundary")


DRIVER = MjpegDriver()
