"""Another writer behind fieldrig's own sources and queue, or sockets that are only emptied: what benchmarks.load compares with.

    python -m benchmarks.peer_recorder drain|mcap|rosbags|foxglove RIG.toml FOLDER

Prints on SIGINT, as JSON, what came of each stream. The peers neither sync nor hash nor follow clocks nor watch health.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peer_writers import PEER_WRITERS
from capture.intake import Intake
from capture.limits import Limits
from devices.rig import Rig, load_rig


def main() -> None:
    kind, rig, folder, stop = sys.argv[1], load_rig(Path(sys.argv[2])), Path(sys.argv[3]), threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    found = _drained(rig, stop) if kind == "drain" else _written(kind, rig, folder, stop)
    print(json.dumps(found), flush=True)


def _written(kind: str, rig: Rig, folder: Path, stop: threading.Event) -> dict[str, Any]:
    intake = Intake(rig, Limits().queue_bytes)
    streams = [inlet.stream for inlet in intake.inlets]
    path, counts = folder / "peer.mcap", [0] * len(streams)
    writer = PEER_WRITERS[kind](path, streams)
    intake.start()
    while not stop.is_set():
        for queued in intake.queue.take(0.1) or ():
            writer.add(queued.inlet.index, queued.sequence, queued.packet)
            counts[queued.inlet.index] += 1
            intake.queue.release(queued)
    intake.close()
    writer.finish()
    counted = {stream.name: count for stream, count in zip(streams, counts, strict=True)}
    return {"counts": counted, "bytes": sum(file.stat().st_size for file in folder.rglob("*.mcap"))}


def _drained(rig: Rig, stop: threading.Event) -> dict[str, Any]:
    """Receives into one buffer and counts; pictures by their parts' boundaries. The receive calls are those of fieldrig's sources."""
    selector, buffer = selectors.DefaultSelector(), bytearray(1 << 20)
    counts: dict[str, int] = {}
    for name, sensor in rig.sensors.items():
        for stream, opened in _sockets(sensor.config()).items():
            counts[f"{name}/{stream}"] = 0
            selector.register(opened, selectors.EVENT_READ, f"{name}/{stream}")
    received = 0
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            size, pictures = _receive(key.fileobj, buffer)  # type: ignore[arg-type]
            received += size
            counts[key.data] += pictures
        time.sleep(0.01)
    return {"counts": counts, "bytes": received}


def _receive(opened: socket.socket, buffer: bytearray) -> tuple[int, int]:
    """(bytes, packets) of what was waiting."""
    received = packets = 0
    while True:
        try:
            if opened.type == socket.SOCK_DGRAM:
                size, packets = opened.recvmsg_into([buffer])[0], packets + 1
            else:
                size = opened.recv_into(buffer)
                packets += buffer.count(b"--frame\r\n", 0, size)
        except BlockingIOError:
            return received, packets
        if not size:
            return received, packets
        received += size


def _sockets(config: Any) -> Mapping[str, socket.socket]:
    """A sensor's sockets by stream."""
    if url := getattr(config, "url", ""):
        parts = urlsplit(url)
        camera = socket.create_connection((parts.hostname or "", parts.port or 80))
        camera.sendall(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        camera.setblocking(False)
        return {"image": camera}
    found = {}
    for stream, port in (("points", config.lidar_port), ("imu", config.imu_port)):
        found[stream] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found[stream].setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        found[stream].setblocking(False)
        found[stream].bind((config.host, port))
    return found


if __name__ == "__main__":
    main()
