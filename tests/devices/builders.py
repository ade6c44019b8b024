"""What the tests of devices/ build: packets, capture files, sources on a free port, a camera's server."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import numpy as np

from devices.device import Decoder, Source
from devices.errors import DeviceError
from devices.ouster.crc64 import crc64
from devices.ouster.metadata import OusterMetadata, read_metadata
from devices.ouster.packet import LidarPackets
from devices.ouster.scan import OusterScan
from devices.samples import Packet, Sample, Stamps


def packet(data: bytes, host_ns: int = 1_700_000_000_000_000_000, device_ns: int | None = None) -> Packet:
    return Packet("sensor/stream", Stamps(host_ns, device_ns), data)


def decoded(decoder: Decoder, datas: Iterable[bytes]) -> list[Sample]:
    samples = [sample for data in datas for sample in decoder.decode(packet(data))]
    return [*samples, *decoder.flush()]


@dataclass
class Reader:
    """Reads sources in a thread each, as a recorder does, until stopped."""

    sources: Sequence[Source]
    packets: dict[str, list[Packet]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(source,)) for source in self.sources]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for source in self.sources:
            source.close()

    def wait_for(self, stream: str, count: int, timeout_s: float = 60.0) -> None:
        until = time.monotonic() + timeout_s
        while len(self.packets.get(stream, ())) < count and time.monotonic() < until:
            time.sleep(0.01)

    def _read(self, source: Source) -> None:
        kept = self.packets.setdefault(source.stream.name, [])
        while not self._stop.is_set():
            try:
                kept.extend(source.read(0.05))
            except (EOFError, DeviceError):
                return


def ouster_metadata(**changes: Any) -> str:
    """A small sensor of 4 beams and 32 columns in packets of 8; changes go into the data format."""
    layout = {
        "pixels_per_column": 4,
        "columns_per_frame": 32,
        "columns_per_packet": 8,
        "column_window": [0, 31],
        "pixel_shift_by_row": [0, 0, 0, 0],
        "udp_profile_lidar": "RNG19_RFL8_SIG16_NIR16",
        "udp_profile_imu": "LEGACY",
    }
    return json.dumps({
        "beam_altitude_angles": [15.0, 5.0, -5.0, -15.0],
        "beam_azimuth_angles": [0.0, 0.0, 0.0, 0.0],
        "lidar_to_sensor_transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
        "lidar_origin_to_beam_origin_mm": 0.0,
        "lidar_mode": "32x10",
        "prod_line": "OS-1-4",
        "initialization_id": 0x123456,
        "data_format": layout | changes,
    })  # fmt: skip


def with_rows(rows: int, profile: str, columns: int = 32) -> str:
    """The metadata of a made-up sensor of so many beams."""
    said = json.loads(ouster_metadata(udp_profile_lidar=profile, columns_per_packet=16, pixels_per_column=rows))
    said["data_format"] |= {
        "columns_per_frame": columns, "column_window": [0, columns - 1], "pixel_shift_by_row": [0] * rows,
    }  # fmt: skip
    angles = np.linspace(20, -20, rows).tolist()
    said |= {"beam_altitude_angles": angles, "beam_azimuth_angles": angles, "lidar_mode": f"{columns}x10"}
    return json.dumps(said | {"lidar_origin_to_beam_origin_mm": 15.806, "prod_line": f"OS-1-{rows}"})


def ouster_turn(
    metadata: str, frame_id: int, *, range_mm: int = 2000, start_ns: int = 1000, with_crc: bool = True
) -> list[bytes]:
    """The packets of one turn in which every beam of every column of the window measures the same."""
    meta = read_metadata(metadata)
    columns = meta.columns_per_packet
    return [
        ouster_packet(meta, frame_id, first, range_mm, start_ns + first * 1000, with_crc)
        for first in range(0, meta.columns, columns)
    ]


def ouster_packet(
    meta: OusterMetadata,
    frame_id: int,
    first: int,
    range_mm: int | np.ndarray,
    t_ns: int,
    with_crc: bool = True,
) -> bytes:
    """A packet of any profile. range_mm: what each pixel's first word holds, or all words, (columns, rows, words)."""
    layout = LidarPackets(meta)
    columns = np.zeros(meta.columns_per_packet, dtype=layout.column_dtype)
    columns["t_ns"] = t_ns + 1000 * np.arange(len(columns))
    columns["id"] = first + np.arange(len(columns))
    window = set(meta.window_columns().tolist())
    valid = 0xFFFFFFFF if layout.profile.legacy else 1
    columns["status"] = [valid * (number in window) for number in columns["id"].tolist()]
    if isinstance(range_mm, int):
        columns["pixels"][..., 0] = range_mm
    else:
        columns["pixels"] = range_mm
    if layout.profile.legacy:
        columns["frame"] = frame_id
        return columns.tobytes()
    body = ouster_head(meta, frame_id) + columns.tobytes() + bytes(24)
    return body + struct.pack("<Q", crc64(body) if with_crc and not meta.fusa else 0)


def ouster_head(meta: OusterMetadata, frame_id: int) -> bytes:
    initialization_id = meta.initialization_id or 0
    if meta.fusa:
        return (struct.pack("<I", 1 | initialization_id << 8) + struct.pack("<I", frame_id)).ljust(32, b"\0")
    return struct.pack("<HHI", 1, frame_id & 0xFFFF, initialization_id).ljust(32, b"\0")


def field_of(scan: OusterScan, name: str) -> np.ndarray:
    """(rows, columns) of what the pixels hold by that name; TIMESTAMP is (columns,), ns."""
    if name == "TIMESTAMP":
        return scan.column_t_ns
    return np.ascontiguousarray(scan.profile.fields[name].of(scan.words).T)


def udp_frame(payload: bytes, port: int, source_port: int = 5000) -> bytes:
    """An IPv4 packet with one UDP datagram."""
    udp = struct.pack(">HHHH", source_port, port, len(payload) + 8, 0) + payload
    return ipv4(udp)


def ipv4(payload: bytes, *, offset: int = 0, more: bool = False, identification: int = 1, protocol: int = 17) -> bytes:
    flags = offset // 8 | (0x2000 if more else 0)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identification, flags, 64, protocol, 0)
    return head + bytes([127, 0, 0, 1, 127, 0, 0, 1]) + payload


def ethernet(ip: bytes, *, vlan: bool = False) -> bytes:
    return bytes(12) + (b"\x81\x00\x00\x07" if vlan else b"") + b"\x08\x00" + ip


def pcap(
    path: Path, frames: Sequence[bytes], *, link_type: int = 1, order: str = "<", nanoseconds: bool = False
) -> Path:
    """A pcap file whose frames are 1 ms apart from 1,600,000,000 s on."""
    tick = 1 if nanoseconds else 1000
    head = struct.pack(order + "IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    records = [
        struct.pack(order + "IIII", 1_600_000_000, number * 1_000_000 // tick, len(frame), len(frame)) + frame
        for number, frame in enumerate(frames)
    ]
    path.write_bytes(head + b"".join(records))
    return path


@dataclass
class Camera:
    """An HTTP server on a free port whose answer a test writes byte by byte."""

    answer: Callable[[Callable[[bytes], None]], None]
    content_type: str = "multipart/x-mixed-replace; boundary=frame"
    status: int = 200

    def __enter__(self) -> Self:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(camera.status)
                self.send_header("Content-Type", camera.content_type)
                self.end_headers()
                camera.answer(lambda data: (self.wfile.write(data), self.wfile.flush()))

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/stream"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def velodyne_packet(
    us_past_hour: int, azimuth: int, *, step: int = 20, distance: int = 5000, mode: int = 0x37, model: int = 0x22
) -> bytes:
    """A data packet whose blocks turn on by ``step`` hundredths of a degree and all measure the same (unit 2 mm)."""
    channel = struct.pack("<HB", distance, 50)
    blocks = [b"\xff\xee" + struct.pack("<H", (azimuth + block * step) % 36000) + channel * 32 for block in range(12)]
    return b"".join(blocks) + struct.pack("<IBB", us_past_hour, mode, model)
