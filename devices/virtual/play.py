"""Plays a rendered take in real time: every packet leaves when its transport's delay says, stamped by its sensor's wrong clock.

    python -m devices.virtual.play CACHE TAKE [--sent SENT.json] [--wait SECONDS]
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from devices.errors import DeviceError
from devices.virtual.camera_server import CameraServer
from devices.virtual.ouster_packets import COLUMNS_A_PACKET, metadata, restamped
from devices.virtual.rig_truth import CLOCKS
from devices.virtual.take_files import IMU_STREAM, LIDAR_STREAM, LINE_STREAMS, Take, image_stream, open_take

_SETTLE_S = 1.0  # from the last reader's coming to the take's start
_HOLD_S = 0.5  # from the last packet to the end of the connections


@dataclass(slots=True)
class Sent:
    """How many packets of each stream left, and how late the latest was behind its plan."""

    counts: dict[str, int] = field(default_factory=dict)
    latest_ns: int = 0

    def add(self, stream: str, late_ns: int) -> None:
        self.counts[stream] = self.counts.get(stream, 0) + 1
        self.latest_ns = max(self.latest_ns, late_ns)


def play(cache: Path, take_name: str, *, wait_s: float = 120.0, stop: threading.Event | None = None) -> Sent:
    """Wait for readers of every camera and of the metadata, play the take once, and say what was sent.

    Writes play.json beside truth.json. Raises DeviceError when the take was not rendered, a port is in use, or nobody comes.
    """
    take = open_take(cache, take_name)
    addresses = _addresses(cache / "rig.toml")
    about = json.dumps(metadata(addresses.udp[LIDAR_STREAM], addresses.udp[IMU_STREAM])).encode()
    server = CameraServer("127.0.0.1", addresses.http, list(take.jpegs), about)
    try:
        _await_readers(server, wait_s)
        sent = _play(take, server, addresses, stop or threading.Event())
        time.sleep(_HOLD_S)
    finally:
        server.stop()
    return sent


@dataclass(frozen=True, slots=True)
class _Addresses:
    udp: dict[str, int]
    http: int


def _addresses(rig_file: Path) -> _Addresses:
    """Where rig.toml says that the streams arrive."""
    sensors = tomllib.loads(rig_file.read_text(encoding="utf-8"))["sensors"]
    udp = {LIDAR_STREAM: sensors["lidar"]["lidar_port"], IMU_STREAM: sensors["lidar"]["imu_port"]}
    udp |= {f"robot/{topic}": port for topic, port in sensors["robot"]["ports"].items()}
    udp["operator/marks"] = sensors["operator"]["port"]
    http = int(sensors["lidar"]["metadata"].split(":")[2].split("/")[0])
    return _Addresses(udp, http)


def _await_readers(server: CameraServer, wait_s: float) -> None:
    """Until every camera is watched and the metadata was read, and all still are a second later."""
    deadline = time.monotonic() + wait_s
    while True:
        missing = [camera for camera, channel in server.channels.items() if not channel.watched]
        if not missing and server.metadata_asked.is_set():
            time.sleep(_SETTLE_S)
            if all(channel.watched for channel in server.channels.values()):
                return
            continue
        if time.monotonic() > deadline:
            what = ", ".join(missing) or "the lidar's metadata"
            raise DeviceError(f"after {wait_s:g} s nobody reads {what}; start `fieldrig record` with the virtual rig's rig.toml")
        time.sleep(0.01)


def _play(take: Take, server: CameraServer, addresses: _Addresses, stop: threading.Event) -> Sent:
    start_host_ns = time.time_ns() + 300_000_000
    played = {"take": take.folder.name, "start_host_ns": start_host_ns, "latest_ns": 0}
    (take.folder / "play.json").write_text(json.dumps(played), encoding="utf-8")
    sents = [Sent() for _ in range(1 + len(take.jpegs))]
    jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(_send_datagrams, (take, addresses, start_host_ns, stop, sents[0]))]
    for sent, (camera, channel) in zip(sents[1:], server.channels.items(), strict=True):
        jobs.append((_send_pictures, (take, camera, channel, start_host_ns, stop, sent)))
    threads = [threading.Thread(target=job, args=args, daemon=True) for job, args in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Sent({stream: 0 for stream in take.timing}, max(sent.latest_ns for sent in sents))
    for sent in sents:
        whole.counts |= sent.counts
    (take.folder / "play.json").write_text(json.dumps({**played, "latest_ns": whole.latest_ns}), encoding="utf-8")
    return whole


def _send_pictures(take: Take, camera: str, channel, start_host_ns: int, stop: threading.Event, sent: Sent) -> None:  # type: ignore[no-untyped-def]
    timing = take.timing[image_stream(camera)]
    stamps = CLOCKS[camera].device_ns(timing.captured_ns, start_host_ns).tolist()
    for index, departs in enumerate((timing.departs_ns + start_host_ns).tolist()):
        jpeg = take.jpeg(camera, index)
        _sleep_until(departs, stop)
        if stop.is_set():
            return
        late = time.time_ns() - departs
        if channel.send(jpeg, stamps[index], index):
            sent.add(image_stream(camera), late)


def _send_datagrams(take: Take, addresses: _Addresses, start_host_ns: int, stop: threading.Event, sent: Sent) -> None:
    """All UDP streams from one thread, merged by their time of departure."""
    streams = [LIDAR_STREAM, IMU_STREAM, *LINE_STREAMS]
    makers = {LIDAR_STREAM: _lidar_maker(take, start_host_ns), IMU_STREAM: _imu_maker(take, start_host_ns)}
    makers |= {stream: _line_maker(take, stream, start_host_ns) for stream in LINE_STREAMS}
    departs = np.concatenate([take.timing[stream].departs_ns for stream in streams]) + start_host_ns
    which = np.concatenate([np.full(len(take.timing[stream].departs_ns), k) for k, stream in enumerate(streams)])
    index = np.concatenate([np.arange(len(take.timing[stream].departs_ns)) for stream in streams])
    order = np.argsort(departs, kind="stable")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        for at, k, i in zip(departs[order].tolist(), which[order].tolist(), index[order].tolist(), strict=True):
            stream = streams[k]
            packet = makers[stream](i)
            _sleep_until(at, stop)
            if stop.is_set():
                return
            late = time.time_ns() - at
            udp.sendto(packet, ("127.0.0.1", addresses.udp[stream]))
            sent.add(stream, late)


def _lidar_maker(take: Take, start_host_ns: int) -> Callable[[int], bytes]:
    clock = CLOCKS["lidar"]
    relative = take.lidar["columns"]["t_ns"].astype(np.int64)
    stamps = clock.device_ns(relative.reshape(-1), start_host_ns).reshape(-1, COLUMNS_A_PACKET)
    return lambda i: restamped(take.lidar[i], stamps[i])


def _imu_maker(take: Take, start_host_ns: int) -> Callable[[int], bytes]:
    packets = np.array(take.imu)
    stamps = CLOCKS["lidar"].device_ns(take.timing[IMU_STREAM].captured_ns, start_host_ns)
    packets["t_ns"] = stamps[:, None].astype(np.uint64)
    return lambda i: packets[i].tobytes()


def _line_maker(take: Take, stream: str, start_host_ns: int) -> Callable[[int], bytes]:
    stamps = CLOCKS[stream.partition("/")[0]].device_ns(take.timing[stream].captured_ns, start_host_ns).tolist()
    lines = take.lines[stream]
    return lambda i: json.dumps({"t_ns": stamps[i], **lines[i]}).encode() + b"\n"


def _sleep_until(host_ns: int, stop: threading.Event) -> None:
    while not stop.is_set():
        left = host_ns - time.time_ns()
        if left <= 0:
            return
        time.sleep(min(left / 1e9, 0.2))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m devices.virtual.play", description="Play a rendered take of the virtual rig once.")
    parser.add_argument("cache", type=Path, help="the folder that rendering filled")
    parser.add_argument("take", help="calibration or drive")
    parser.add_argument("--sent", type=Path, help="write the number of packets sent on each stream here, as JSON")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for somebody to record (120)")
    given = parser.parse_args(arguments)
    try:
        sent = play(given.cache, given.take, wait_s=given.wait)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    if given.sent:
        given.sent.write_text(json.dumps(sent.counts, indent=2) + "\n", encoding="utf-8")
    total = sum(sent.counts.values())
    print(f"sent {total} packets of {len(sent.counts)} streams; the latest left {sent.latest_ns / 1e6:.1f} ms behind its plan")
    return 0


if __name__ == "__main__":
    sys.exit(main())
