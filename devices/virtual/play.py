"""Plays a rendered take in real time: every packet leaves when its transport's delay says, stamped by its sensor's wrong clock.

python -m devices.virtual.play CACHE TAKE [--sent SENT.json] [--wait SECONDS] [--hold SECONDS] [--tied]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.virtual.camera_server import CameraServer, Channel
from devices.virtual.ouster_packets import metadata, restamped
from devices.virtual.rig_truth import CLOCKS
from devices.virtual.take_files import (
    IMU_STREAM,
    LIDAR_STREAM,
    LINE_STREAMS,
    MARKS_STREAM,
    Take,
    image_stream,
    open_take,
)

_SETTLE_S = 1.0  # from the last reader's coming to the take's start
_LEAD_NS = 300_000_000  # from setting the start to the first packet: the threads must be up
HOLD_S = 10.0  # how long the cameras stay for who still reads them behind the last packet: they were not unplugged


@dataclass(slots=True)
class Sent:
    """How many packets of each stream left, and how late the latest was behind its plan."""

    counts: dict[str, int] = field(default_factory=dict)
    latest_ns: int = 0

    def add(self, stream: str, late_ns: int) -> None:
        self.counts[stream] = self.counts.get(stream, 0) + 1
        self.latest_ns = max(self.latest_ns, late_ns)

    def summary(self) -> str:
        late = f"the latest left {self.latest_ns / 1e6:.1f} ms behind its plan"
        return f"sent {sum(self.counts.values())} packets of {len(self.counts)} streams; {late}"


def play(
    cache: Path,
    take_name: str,
    *,
    wait_s: float = 120.0,
    hold_s: float = HOLD_S,
    stop: threading.Event | None = None,
    ready: Callable[[str], None] | None = None,
    played: Callable[[Sent], None] | None = None,
) -> Sent:
    """Wait for readers of every camera and of the metadata, play the take once, and say what was sent.

    ready: told the cameras' address as soon as they can be reached. played: told what was sent as soon as all of it is; the cameras stay for
    hold_s longer, or until nobody reads them. Writes play.json beside truth.json. Raises DeviceError when the take was not rendered, a port is in use, or nobody comes.
    """
    take = open_take(cache, take_name)
    addresses = _addresses(cache / "rig.toml")
    datagrams = _Datagrams.of(take)
    about = json.dumps(metadata(addresses.udp[LIDAR_STREAM], addresses.udp[IMU_STREAM])).encode()
    server = CameraServer("127.0.0.1", addresses.http, list(take.jpegs), about)
    try:
        if ready:
            ready(f"http://127.0.0.1:{addresses.http}")
        _await_readers(server, wait_s)
        sent = _play(take, datagrams, server, addresses, stop or threading.Event())
        if played:
            played(sent)
        _hold(server, hold_s)
    finally:
        server.stop()
    return sent


def save_counts(sent: Sent, path: Path) -> None:
    """As JSON: stream -> packets."""
    path.write_text(json.dumps(sent.counts, indent=2) + "\n", encoding="utf-8")


def _hold(server: CameraServer, hold_s: float) -> None:
    deadline = time.monotonic() + hold_s
    while time.monotonic() < deadline and any(channel.watched for channel in server.channels.values()):
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class _Addresses:
    udp: dict[str, int]
    http: int


def _addresses(rig_file: Path) -> _Addresses:
    """Where rig.toml says that the streams arrive."""
    try:
        sensors = tomllib.loads(rig_file.read_text(encoding="utf-8"))["sensors"]
        udp = {LIDAR_STREAM: sensors["lidar"]["lidar_port"], IMU_STREAM: sensors["lidar"]["imu_port"]}
        udp |= {f"robot/{topic}": port for topic, port in sensors["robot"]["ports"].items()}
        udp[MARKS_STREAM] = sensors["operator"]["port"]
        http = urlsplit(sensors["lidar"]["metadata"]).port
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(
            f"{rig_file} is not the virtual rig's ({error!r}); `fieldrig virtual render` writes it"
        ) from None
    return _Addresses(udp, http or 80)


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
            raise DeviceError(
                f"after {wait_s:g} s nobody reads {what}; start `fieldrig record` with the virtual rig's rig.toml"
            )
        time.sleep(0.01)


def _play(
    take: Take, datagrams: _Datagrams, server: CameraServer, addresses: _Addresses, stop: threading.Event
) -> Sent:
    start_host_ns = HOST_CLOCK.now_ns() + _LEAD_NS
    played = {"take": take.folder.name, "start_host_ns": start_host_ns, "latest_ns": 0}
    (take.folder / "play.json").write_text(json.dumps(played), encoding="utf-8")
    sents = [Sent() for _ in range(1 + len(take.jpegs))]
    threads = [
        threading.Thread(
            target=_send_datagrams, args=(datagrams, addresses, start_host_ns, stop, sents[0]), daemon=True
        )
    ]
    for sent, (camera, channel) in zip(sents[1:], server.channels.items(), strict=True):
        arguments = (take, camera, channel, start_host_ns, stop, sent)
        threads.append(threading.Thread(target=_send_pictures, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Sent(dict.fromkeys(take.timing, 0), max(sent.latest_ns for sent in sents))
    for sent in sents:
        whole.counts |= sent.counts
    (take.folder / "play.json").write_text(json.dumps({**played, "latest_ns": whole.latest_ns}), encoding="utf-8")
    return whole


def _send_pictures(
    take: Take, camera: str, channel: Channel, start_host_ns: int, stop: threading.Event, sent: Sent
) -> None:
    timing = take.timing[image_stream(camera)]
    stamps = CLOCKS[camera].device_ns(timing.captured_ns, start_host_ns).tolist()
    for index, departs in enumerate((timing.departs_ns + start_host_ns).tolist()):
        jpeg = take.jpeg(camera, index)
        _sleep_until(departs, stop)
        if stop.is_set():
            return
        late = HOST_CLOCK.now_ns() - departs
        if channel.send(jpeg, stamps[index], index):
            sent.add(image_stream(camera), late)


def _send_datagrams(
    datagrams: _Datagrams, addresses: _Addresses, start_host_ns: int, stop: threading.Event, sent: Sent
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        for stream, index, departs in datagrams.in_order():
            packet = datagrams.stamped(stream, index, start_host_ns)
            _sleep_until(departs + start_host_ns, stop)
            if stop.is_set():
                return
            late = HOST_CLOCK.now_ns() - departs - start_host_ns
            udp.sendto(packet, ("127.0.0.1", addresses.udp[stream]))
            sent.add(stream, late)


@dataclass(frozen=True, slots=True, eq=False)
class _Datagrams:
    """All UDP streams of a take, with what takes time to prepare prepared. column_ns: (P, COLUMNS_A_PACKET) since the take's start."""

    take: Take
    column_ns: NDArray[np.int64]

    @staticmethod
    def of(take: Take) -> _Datagrams:
        column_ns = take.lidar["columns"]["t_ns"].astype(np.int64)
        restamped(take.lidar[0], column_ns[0])  # builds the checksum's tables
        return _Datagrams(take, column_ns)

    def in_order(self) -> Iterator[tuple[str, int, int]]:
        """Stream, index and departure (ns since the take's start) of every datagram, by departure."""
        streams = [LIDAR_STREAM, IMU_STREAM, *LINE_STREAMS]
        departs = [self.take.timing[stream].departs_ns for stream in streams]
        which = np.repeat(np.arange(len(streams)), [len(times) for times in departs])
        index = np.concatenate([np.arange(len(times)) for times in departs])
        order = np.argsort(np.concatenate(departs), kind="stable")
        rows = zip(which[order].tolist(), index[order].tolist(), np.concatenate(departs)[order].tolist(), strict=True)
        return ((streams[k], i, at) for k, i, at in rows)

    def stamped(self, stream: str, index: int, start_host_ns: int) -> bytes:
        """The bytes that leave, on the sensor's clock."""
        clock = CLOCKS[stream.partition("/")[0]]
        if stream == LIDAR_STREAM:
            return restamped(self.take.lidar[index], clock.device_ns(self.column_ns[index], start_host_ns))
        stamp = clock.device_ns(self.take.timing[stream].captured_ns[index : index + 1], start_host_ns)
        if stream == IMU_STREAM:
            packet = self.take.imu[index].copy()
            packet["t_ns"] = stamp[0]
            return bytes(packet.tobytes())
        return json.dumps({"t_ns": int(stamp[0]), **self.take.lines[stream][index]}).encode() + b"\n"


def _sleep_until(host_ns: int, stop: threading.Event) -> None:
    while not stop.is_set():
        left = host_ns - HOST_CLOCK.now_ns()
        if left <= 0:
            return
        time.sleep(min(left / 1e9, 0.2))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devices.virtual.play", description="Play a rendered take of the virtual rig once."
    )
    parser.add_argument("cache", type=Path, help="the folder that rendering filled")
    parser.add_argument("take", help="calibration or drive")
    parser.add_argument("--sent", type=Path, help="write the number of packets sent on each stream here, as JSON")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for somebody to record (120)")
    parser.add_argument(
        "--hold", type=float, default=HOLD_S, help="seconds that cameras stay behind the last packet (10)"
    )
    parser.add_argument(
        "--tied", action="store_true", help="end when standard input does: with the program that started this"
    )
    given = parser.parse_args(arguments)
    if given.tied:
        threading.Thread(target=_end_with_input, daemon=True).start()

    def tell(sent: Sent) -> None:
        if given.sent:
            save_counts(sent, given.sent)
        sys.stdout.write(sent.summary() + "\n")
        sys.stdout.flush()

    try:
        play(given.cache, given.take, wait_s=given.wait, hold_s=given.hold, ready=_say_ready, played=tell)
    except DeviceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _end_with_input() -> None:
    """However the program at the other end went, its ports are free for the next one."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _say_ready(address: str) -> None:
    sys.stdout.write(f"ready: cameras and metadata at {address}; waiting for `fieldrig record`\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
