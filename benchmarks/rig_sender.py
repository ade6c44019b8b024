"""One rig's worth of sensors in a process of its own: three 1080p30 MJPEG cameras, an OS1-128 at its full rate, its IMU at 400 Hz; 58 MB/s.

    python -m benchmarks.rig_sender LIDAR_PORT IMU_PORT METADATA.json

Prints the cameras' port once it listens and `connected` once all cameras are being read. Then waits on stdin for a line with the number
of seconds and by how much slower than its sensors it is to send (1: not at all), sends for so long over real sockets, prints as JSON how many packets of each stream it has sent, and ends when stdin ends.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from devices.ouster.metadata import read_metadata
from devices.ouster.packet import LIDAR, LidarPackets
from devices.virtual import ouster_packets

CAMERAS, FRAMES_HZ, PICTURE_BYTES = 3, 30, 300_000
LIDAR_HZ, IMU_HZ = 1280, 400
BEAMS, COLUMNS = 128, 2048
STREAMS = (*(f"camera_{number}/image" for number in range(CAMERAS)), "lidar/points", "lidar/imu")
DEVICE_BEHIND_NS = 7_000_000_000  # the sensors' clocks were set at another time
_BOUNDARY = "frame"


def metadata(lidar_port: int, imu_port: int) -> dict[str, Any]:
    """An OS1-128's at 2048 columns and 10 turns a second."""
    found = ouster_packets.metadata(lidar_port, imu_port)
    found["sensor_info"]["prod_line"] = "OS-1-128"
    found["beam_intrinsics"]["beam_altitude_angles"] = np.linspace(22.5, -22.5, BEAMS).round(2).tolist()
    found["beam_intrinsics"]["beam_azimuth_angles"] = np.tile([4.21, 1.40, -1.41, -4.22], BEAMS // 4).tolist()
    found["lidar_data_format"] |= {
        "pixels_per_column": BEAMS,
        "columns_per_frame": COLUMNS,
        "column_window": [0, COLUMNS - 1],
        "pixel_shift_by_row": [0] * BEAMS,
    }
    found["config_params"] |= {"lidar_mode": f"{COLUMNS}x10", "timestamp_mode": "TIME_FROM_INTERNAL_OSC"}
    return found


def main() -> None:
    lidar_port, imu_port, metadata_path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    cameras, packets = Cameras(), LidarTurn(metadata_path.read_text(encoding="utf-8"))
    _say({"camera_port": cameras.port})
    cameras.wait()
    _say("connected")
    seconds, slower = map(float, sys.stdin.readline().split())
    sent, late_s = _send(seconds, slower, cameras, packets, lidar_port, imu_port)
    _say({"sent": sent, "late_s": late_s})
    sys.stdin.read()


def _send(
    seconds: float, slower: float, cameras: Cameras, packets: LidarTurn, lidar_port: int, imu_port: int
) -> tuple[dict[str, int], float]:
    """(packets sent of each stream, by how much the latest was late)."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def datagram(port: int, made: Callable[[int], Any]) -> Callable[[int], None]:
        def send(number: int) -> None:
            out.sendto(made(number), ("127.0.0.1", port))

        return send

    sensors: dict[str, tuple[int, Callable[[int], None]]] = {
        f"camera_{n}/image": (FRAMES_HZ, cameras.sender(n)) for n in range(CAMERAS)
    }
    sensors["lidar/points"] = (LIDAR_HZ, datagram(lidar_port, packets.next))
    sensors["lidar/imu"] = (IMU_HZ, datagram(imu_port, ImuSamples(IMU_HZ / slower).next))
    jobs = {name: (rate_hz / slower, send) for name, (rate_hz, send) in sensors.items()}
    late_s = dict.fromkeys(jobs, 0.0)
    begin_s = time.monotonic() + 0.1

    def run(name: str) -> None:
        rate_hz, send = jobs[name]
        for number in range(round(seconds * rate_hz)):
            due_s = begin_s + number / rate_hz
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            late_s[name] = max(late_s[name], -wait_s)
            send(number)

    threads = [threading.Thread(target=run, args=(name,)) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: round(seconds * rate_hz) for name, (rate_hz, _) in jobs.items()}, max(late_s.values())


class LidarTurn:
    """One turn's packets with noise for pixels, sent again and again with the time and the frame's number of the moment."""

    def __init__(self, text: str) -> None:
        layout = LidarPackets(read_metadata(text))
        self._count = COLUMNS // ouster_packets.COLUMNS_A_PACKET
        chance = np.random.default_rng(1)
        self._packets, self._times = [], []
        for number in range(self._count):
            packet = bytearray(chance.bytes(layout.size_bytes))
            packet[:32] = bytes(32)
            packet[0] = LIDAR
            packet[4:7] = ouster_packets.SESSION.to_bytes(3, "little")
            packet[-8:] = bytes(8)  # no CRC, as firmware sends that computes none
            columns = np.frombuffer(packet, dtype=layout.column_dtype, count=16, offset=32)
            columns["id"] = number * 16 + np.arange(16)
            columns["status"] = 1
            self._packets.append(packet)
            self._times.append(columns["t_ns"])
        self._offsets_ns = (np.arange(16) - 15) * (1_000_000_000 // (COLUMNS * 10))

    def next(self, number: int) -> bytearray:
        packet = self._packets[number % self._count]
        self._times[number % self._count][:] = time.time_ns() - DEVICE_BEHIND_NS + self._offsets_ns
        packet[2:4] = (number // self._count & 0xFFFF).to_bytes(2, "little")
        return packet


class ImuSamples:
    """Of a sensor that samples evenly, however late this machine sends: uneven times would be those of a sensor with samples missing."""

    def __init__(self, rate_hz: float) -> None:
        self._began_ns = time.time_ns() - DEVICE_BEHIND_NS
        self._rate_hz = rate_hz

    def next(self, number: int) -> bytes:
        packet = np.zeros((), dtype=ouster_packets.IMU_PACKET)
        packet["t_ns"] = self._began_ns + round(number * 1e9 / self._rate_hz)
        packet["acceleration_g"] = (0, 0, 1)
        return packet.tobytes()


class Cameras:
    """An HTTP server that answers every GET with an endless multipart stream; the path's last digit says which camera."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=CAMERAS)
        self.port = int(self._listener.getsockname()[1])
        self._readers: dict[int, socket.socket] = {}
        self._pictures = pictures()

    def wait(self) -> None:
        """Until every camera is being read."""
        while len(self._readers) < CAMERAS:
            reader, _ = self._listener.accept()
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += reader.recv(4096)
            reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader.sendall(
                f"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={_BOUNDARY}\r\n\r\n".encode()
            )
            self._readers[int(asked.split()[1][-1:])] = reader

    def sender(self, camera: int) -> Callable[[int], None]:
        reader = self._readers[camera]

        def send(number: int) -> None:
            taken_ns, jpeg = time.time_ns() - DEVICE_BEHIND_NS, self._pictures[number % len(self._pictures)]
            head = (
                f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
                f"X-Timestamp: {taken_ns // 10**9}.{taken_ns % 10**9:09d}\r\nX-Sequence: {number}\r\n\r\n"
            )
            reader.sendall(head.encode() + jpeg + b"\r\n")

        return send


def pictures() -> list[bytes]:
    """Four 1920 x 1080 JPEGs of about PICTURE_BYTES: smoothed noise, at the quality that gives it that size."""
    import cv2

    chance = np.random.default_rng(2)

    def picture(quality: int) -> bytes:
        small = chance.integers(0, 256, (135, 240, 3), dtype=np.uint8)
        pixels = cv2.resize(small, (1920, 1080), interpolation=cv2.INTER_CUBIC)
        return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])

    quality = next(quality for quality in range(95, 0, -5) if len(picture(quality)) <= PICTURE_BYTES)
    return [picture(quality) for _ in range(4)]


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
