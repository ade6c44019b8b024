"""An RTSP camera of which a test writes every word: for what no real server says on request."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

SDP = (
    "v=0\r\ns=camera\r\nm=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAFdkB,aMuMsg==\r\na=control:track1\r\n"
)
DESCRIPTION = json.dumps(
    {"codec": "h264", "clock_hz": 90000, "transport": "tcp", "parameter_sets": ["Z0LAFdkB", "aMuMsg=="]}
)
HEADERS = {
    "DESCRIBE": "Content-Type: application/sdp\r\n",
    "SETUP": "Session: 77;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
}


def rtp(number: int, ticks: int, payload: bytes, *, last: bool = True, kind: int = 96, sender: int = 5) -> bytes:
    return struct.pack(">BBHII", 0x80, kind | last << 7, number & 0xFFFF, ticks & 0xFFFFFFFF, sender) + payload


def sender_report(seconds: int, fraction: int, ticks: int) -> bytes:
    return struct.pack(">BBHIIIIII", 0x80, 200, 6, 5, seconds, fraction, ticks & 0xFFFFFFFF, 1, 1)


def interleaved(channel: int, data: bytes) -> bytes:
    return b"$" + bytes([channel]) + len(data).to_bytes(2, "big") + data


@dataclass
class ScriptedCamera:
    """play: what it sends after its answer to PLAY. sdp, answers: what it says instead of the usual, by method.

    refuse: the answer to a request that it does not like, else nothing. asked: the first lines of the requests that came.
    """

    play: Callable[[socket.socket], None] = lambda connection: None
    sdp: str = SDP
    answers: dict[str, bytes] = field(default_factory=dict)
    refuse: Callable[[str], bytes] = lambda request: b""
    requests: list[str] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [request.partition("\r\n")[0] for request in self.requests]

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}/s?profile=1"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                data = connection.recv(4096)
                if not data:
                    return
                pending += data
                if pending[:1] == b"$" and b"RTSP" not in pending:
                    pending = b""  # a receiver's report
            request, _, pending = pending.partition(b"\r\n\r\n")
            self.requests.append(request.decode("latin-1"))
            method = self.requests[-1].split()[0]
            body = self.sdp if method == "DESCRIBE" else ""
            usual = f"RTSP/1.0 200 OK\r\nCSeq: 1\r\n{HEADERS.get(method, '')}Content-Length: {len(body)}\r\n\r\n{body}"
            if refusal := self.refuse(self.requests[-1]):
                connection.sendall(refusal)
                continue
            connection.sendall(self.answers.get(method, usual.encode()))
            if method == "PLAY":
                self.play(connection)
            if method == "TEARDOWN":
                return
