"""The HTTP side of the virtual rig: each camera an endless multipart answer, and the lidar's metadata.

GET /camera_left.mjpeg  ->  multipart/x-mixed-replace; each part: Content-Type, Content-Length, X-Timestamp (the middle of the
                            exposure on the camera's clock, seconds with nine decimals), X-Sequence (counts from 0)
GET /metadata.json      ->  the Ouster's metadata
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from devices.errors import DeviceError

BOUNDARY = "fieldrigframe"


class Channel:
    """One camera's readers. A frame goes to every reader, and the sender waits until each has taken it: none is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[socket.socket, threading.Event] = {}

    @property
    def watched(self) -> bool:
        with self._lock:
            return bool(self._readers)

    def join(self, reader: socket.socket) -> threading.Event:
        """The event is set when the reader is to be let go."""
        let_go = threading.Event()
        with self._lock:
            self._readers[reader] = let_go
        return let_go

    def send(self, jpeg: bytes, timestamp_ns: int, sequence: int) -> bool:
        """Whether anybody took it."""
        stamp = f"{timestamp_ns // 1_000_000_000}.{timestamp_ns % 1_000_000_000:09d}"
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Timestamp: {stamp}\r\nX-Sequence: {sequence}\r\n\r\n"
        part = head.encode() + jpeg + b"\r\n"
        with self._lock:
            readers = list(self._readers)
        taken = False
        for reader in readers:
            try:
                reader.sendall(part)
                taken = True
            except OSError:  # the reader has hung up
                self._leave(reader)
        return taken

    def close(self) -> None:
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            self._leave(reader)

    def _leave(self, reader: socket.socket) -> None:
        with self._lock:
            let_go = self._readers.pop(reader, None)
        if let_go:
            let_go.set()


class CameraServer(ThreadingHTTPServer):
    """channels: by camera. metadata_asked: set once somebody has read the lidar's metadata. Raises DeviceError when the port is in use."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, cameras: Sequence[str], metadata: bytes) -> None:
        self.channels = {camera: Channel() for camera in cameras}
        self.metadata = metadata
        self.metadata_asked = threading.Event()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise DeviceError(
                f"port {port} for the virtual rig's cameras is in use ({error.strerror}); end the other player or render with another base port"
            ) from None
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="camera-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        for channel in self.channels.values():
            channel.close()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: CameraServer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/metadata.json":
            self._answer(200, "application/json", self.server.metadata)
            self.server.metadata_asked.set()
            return
        channel = self.server.channels.get(self.path.strip("/").removesuffix(".mjpeg"))
        if channel is None:
            choices = " ".join(["/metadata.json", *(f"/{camera}.mjpeg" for camera in self.server.channels)])
            self._answer(404, "text/plain", f"here are only: {choices}\n".encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")
        self.end_headers()
        channel.join(self.connection).wait()
        self.close_connection = True

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Quiet: the player reports what it sent."""
