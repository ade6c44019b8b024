"""A camera in a process of its own, to be unplugged: PORT PICTURE.jpg. 30 pictures a second over HTTP to whoever asks."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, PICTURE = int(sys.argv[1]), Path(sys.argv[2]).read_bytes()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while True:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nX-Timestamp: {time.time():.6f}\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
            self.wfile.write(head.encode() + PICTURE + b"\r\n")
            time.sleep(1 / 30)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
