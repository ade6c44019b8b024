"""Network cameras that stream H.264 or H.265 over RTSP: recorded as the camera encoded it, one picture's bytes a packet.

    [sensors.gate]
    driver = "rtsp"
    url = "rtsp://user:password@192.168.1.20/stream1"
    transport = "udp"        # default "tcp": loses nothing on the way, and waits instead

The packets' stamps are the camera's capture times as its RTCP sender reports state them, from the first report on; before it there are
none, and the arrival counts. FFmpeg's client (PyAV) is not used to record: its parser holds each picture back until the next one begins,
it keeps the first report for ever, and does not tell how many packets were missing. Done here in Python, a camera of 30 Hz and
8 Mbit/s takes 0.006 of a core.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from devices.cameras.access_unit import AccessUnit, AccessUnits, Codec
from devices.cameras.network_camera import SILENCE_S, CameraAddress, RtspAddress, camera_address, gone, unreachable
from devices.cameras.video import VideoDecoder
from devices.device import ClockSource, Decoder, Found, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.rtsp.error import RtspError
from devices.rtsp.rtp import Received, RtpOrder, SenderClock, receiver_report, rtp_packet
from devices.rtsp.session import RtspSession, wait
from devices.rtsp.session_description import Media
from devices.samples import Image, Packet, Sample, Stamps

_REPORT_S = 5.0


class RtspConfig(SensorConfig):
    url: RtspAddress
    transport: Literal["tcp", "udp"] = "tcp"


class RtspDriver:
    """Stream: ``SENSOR/image``. Its description: JSON of the codec, its clock's rate, and the session's parameter sets in base64."""

    config = RtspConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {Codec.H264: Image, Codec.H265: Image}

    def open(self, name: str, config: RtspConfig) -> Sequence[Source]:
        return [RtspSource(f"{name}/image", config)]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding not in self.yields:
            raise DeviceError(f"{stream.name}: an RTSP camera sends 'h264' or 'h265', not '{stream.encoding}'")
        return VideoDecoder(stream.sensor, Codec(stream.encoding))

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """Nothing in RTSP announces a camera: a person knows its address."""
        return ()


class RtspSource:
    """One session with a camera. A picture's arrival is its last packet's: over UDP by the kernel's stamp, over TCP when it was read."""

    def __init__(self, stream_name: str, config: RtspConfig) -> None:
        self._address = camera_address(config.url, "rtsp")
        self._session = _connected(stream_name, self._address, config.transport)
        self._ports = self._session.ports
        media = self._session.media
        self._stream = Stream(stream_name, media.codec, _description(media, config))
        self._payload_type = media.payload_type
        self._order = RtpOrder()
        self._clock = SenderClock(media.ticks_hz)
        self._units = AccessUnits(media.codec, media.parameter_sets)
        self._own = secrets.randbits(32)  # our name among the session's senders and receivers (SSRC)
        self._reading = threading.Lock()
        self._closed = False
        self._plays = False
        self._heard_at = self._reported_at = time.monotonic()
        self._wake, self._waker = socket.socketpair()

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The pictures that are complete. Raises EOFError once closed; DeviceError when the camera ended the session or fell silent."""
        deadline = time.monotonic() + timeout_s
        with self._reading:
            while not self._closed:
                try:
                    pictures = self._received(deadline - time.monotonic())
                except (RtspError, OSError) as error:
                    raise gone(self._stream.name, error) from None
                if pictures or time.monotonic() >= deadline:
                    return pictures
        raise EOFError(f"{self._stream.name} was closed")

    @property
    def lost(self) -> int:
        """RTP packets missing from the camera's numbering, and those that made no sense. A picture takes one or many."""
        dropped = (
            self._ports.dropped if self._ports else 0
        )  # by the kernel; its numbers tell it, too, once others follow
        return max(self._order.lost, dropped) + self._order.broken + self._units.broken

    @property
    def rejected(self) -> Mapping[str, int]:
        foreign = self._ports.foreign if self._ports else 0
        return {"from another address than the camera's": foreign} if foreign else {}

    @property
    def receive_buffer_bytes(self) -> int | None:
        """What the kernel granted; None over TCP, where the camera waits."""
        return self._ports.receive_buffer_bytes if self._ports else None

    @property
    def clock_source(self) -> ClockSource:
        return self._clock.source(HOST_CLOCK.now_ns())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waker.send(b"\0")
        with self._reading:
            self._session.close()
            self._wake.close()
            self._waker.close()

    def _received(self, timeout_s: float) -> list[Packet]:
        """The pictures that complete within the time. Raises RtspError, OSError when the camera is gone and none is left."""
        if not self._plays:  # only now: what waited to be read would bear the time of its reading
            self._session.play()
            self._plays = True
            self._heard_at = self._reported_at = time.monotonic()
        pictures = self._pictures(self._session.early())
        try:
            for ready in () if pictures else wait(self._session, self._wake, timeout_s):
                pictures += self._pictures(self._session.receive(ready))
            self._keep_up()
        except (RtspError, OSError):
            pictures += self._rest()
            if not pictures:
                raise  # else the next read will find the same
        return pictures

    def _rest(self) -> list[Packet]:
        """What waited for others that will not come any more."""
        units = [unit for packet, gap in self._order.rest() for unit in self._units.take(packet, gap)]
        return [self._packet(unit) for unit in (*units, *self._units.rest())]

    def _pictures(self, received: Iterable[Received]) -> list[Packet]:
        pictures = []
        for is_rtcp, data, host_ns in received:
            self._heard_at = time.monotonic()
            if is_rtcp:
                self._clock.take(data, host_ns)
            else:
                pictures += self._packets(data, host_ns)
        return pictures

    def _packets(self, data: bytes, host_ns: int) -> list[Packet]:
        """The pictures that an RTP packet completes."""
        try:
            arrived = rtp_packet(data, host_ns)
        except ValueError:
            self._order.broken += 1
            return []
        if arrived.payload_type != self._payload_type:
            self._order.broken += 1
            return []
        return [
            self._packet(unit)
            for packet, follows_gap in self._order.take(arrived)
            for unit in self._units.take(packet, follows_gap)
        ]

    def _packet(self, unit: AccessUnit) -> Packet:
        return Packet(self._stream.name, Stamps(unit.host_ns, self._clock.device_ns(unit.ticks)), unit.data)

    def _keep_up(self) -> None:
        """Tells the camera that we are here; raises RtspError when it has said goodbye, or nothing for long."""
        now = time.monotonic()
        if self._clock.ended:
            raise RtspError("it has ended the stream")
        if now - self._heard_at > SILENCE_S:
            raise RtspError(f"it has said nothing for {SILENCE_S:.0f} s{self._but_somebody_else()}")
        self._session.keep_alive()
        if now - self._reported_at > _REPORT_S:
            self._reported_at = now
            self._session.report(receiver_report(self._own, self._order, self._clock, HOST_CLOCK.now_ns()))

    def _but_somebody_else(self) -> str:
        if not self._ports or not self._ports.stranger:
            return ""
        return (
            f', but datagrams came from {self._ports.stranger}; set transport = "tcp" in rig.toml if that is the camera'
        )


def _connected(stream_name: str, address: CameraAddress, transport: str) -> RtspSession:
    try:
        return RtspSession(address, transport)
    except (RtspError, UnicodeError) as error:
        raise unreachable(stream_name, f"{address.shown} does not stream: {error}") from None
    except OSError as error:
        raise unreachable(stream_name, f"no camera at {address.shown}: {error}") from None


def _description(media: Media, config: RtspConfig) -> str:
    said = {
        "codec": media.codec, "clock_hz": media.ticks_hz, "transport": config.transport,
        "parameter_sets": [b64encode(nal).decode() for nal in media.parameter_sets],
    }  # fmt: skip
    return json.dumps(said | ({"rate_hz": media.rate_hz} if media.rate_hz else {}))


DRIVER = RtspDriver()
