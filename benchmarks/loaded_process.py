"""One run under load: senders started, a recording process fed by them and watched, and what came of it."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from benchmarks import rig_sender
from benchmarks.page_viewer import PageViewer

_READY_S, _END_S = 60.0, 120.0
_STARTED_S = 2.0  # the recorder's page has been loaded by then: starting is not the load
_SETTLE_S = 0.5  # for what is on its way when the last packet has been sent; a second would be a silence


class RecordedBy(StrEnum):
    FIELDRIG = "fieldrig"
    DRAIN = "drain"
    MCAP = "mcap"
    ROSBAGS = "rosbags"
    FOXGLOVE = "foxglove"


@dataclass(frozen=True, slots=True)
class Loaded:
    """unequal_streams: whose count in the files is not the count sent. own_cores: without children, of which the page is one.

    delay: from host arrival to handed to the disk. unsynced: the longest time that the disk held nothing newer.
    """

    seconds: float
    streams: int
    unequal_streams: int
    sent: int
    recorded: int
    mb_s: float
    cores: float
    own_cores: float
    peak_mb: float
    late_ms: float
    delay_p99_ms: float = 0.0
    delay_longest_ms: float = 0.0
    unsynced_ms: float = 0.0
    verdict: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether the run could be carried out at all, whatever it found."""
        return self.sent > 0 and self.recorded > 0


def load_by(by: RecordedBy, rigs: int, seconds: float, folder: Path, *, is_looked_at: bool = False) -> Loaded:
    """``folder`` takes rig.toml and what is recorded; it is left to the caller to delete. is_looked_at: whether fieldrig's page is open."""
    (page_port,) = free_ports(1, socket.SOCK_STREAM)
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(Sender.started(number, folder)) for number in range(rigs)]
        rig = folder / "rig.toml"
        rig.write_text("\n".join(['name = "load"', *(sender.sensors for sender in senders)]), encoding="utf-8")
        process = stack.enter_context(_recording(by, rig, folder, page_port))
        for sender in senders:
            sender.wait_until_read(process)
        if by is RecordedBy.FIELDRIG:
            _wait_for_recording(folder)
        if is_looked_at:
            stack.enter_context(PageViewer.looking(page_port))
        time.sleep(_STARTED_S)
        watched = Watched(process.pid)
        for sender in senders:
            sender.go(seconds)
        watched.begin()
        for sender in senders:
            sender.take_account()
        passed_s, cores, own_cores = watched.end()
        time.sleep(_SETTLE_S)
        peak_mb = watched.peak_mb()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=_END_S)
    recorded = _recorded_by_fieldrig(folder) if by is RecordedBy.FIELDRIG else json.loads(said or "{}")
    if not recorded:
        raise RuntimeError(f"{by} has recorded nothing: {errors[-2000:]}")
    sent = {name: count for sender in senders for name, count in sender.sent.items()}
    counts = recorded["counts"]
    return Loaded(
        seconds=passed_s,
        streams=len(sent),
        unequal_streams=sum(counts.get(name, 0) != count for name, count in sent.items()),
        sent=sum(sent.values()),
        recorded=sum(counts.get(name, 0) for name in sent),
        mb_s=recorded["bytes"] / seconds / 1e6,
        cores=cores,
        own_cores=own_cores,
        peak_mb=peak_mb,
        late_ms=max(sender.late_s for sender in senders) * 1e3,
        delay_p99_ms=recorded.get("delay_p99_ms", 0.0),
        delay_longest_ms=recorded.get("delay_longest_ms", 0.0),
        unsynced_ms=recorded.get("unsynced_ms", 0.0),
        verdict=recorded.get("verdict", ""),
    )


@contextlib.contextmanager
def _recording(by: RecordedBy, rig: Path, folder: Path, page_port: int) -> Iterator[subprocess.Popen[str]]:
    if by is RecordedBy.FIELDRIG:
        command = ["-m", "fieldrig", "record", str(rig), "--workspace", str(folder), "--page-port", str(page_port)]
    else:
        command = ["-m", "benchmarks.peer_recorder", by, str(rig), str(folder)]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait_for_recording(folder: Path) -> None:
    until_s = time.monotonic() + _READY_S
    while not any(file.stat().st_size for file in folder.glob("recordings/*/*.mcap")):
        if time.monotonic() > until_s:
            raise RuntimeError(f"no recording has begun within {_READY_S:.0f} s")
        time.sleep(0.05)


class Sender:
    """One rig's senders in a process of their own."""

    def __init__(self, number: int, process: subprocess.Popen[str], sensors: str) -> None:
        self.sensors = sensors
        self.sent: dict[str, int] = {}
        self.late_s = 0.0
        self._number = number
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def started(cls, number: int, folder: Path) -> Iterator[Sender]:
        lidar_port, imu_port = free_ports(2)
        metadata = folder / f"metadata_{number}.json"
        metadata.write_text(json.dumps(rig_sender.metadata(lidar_port, imu_port)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.rig_sender", str(lidar_port), str(imu_port), str(metadata)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            sender = cls(number, process, "")
            port = sender._heard()["camera_port"]
            lines = [
                f'[sensors.r{number}_lidar]\ndriver = "ouster"\nmetadata = "{metadata}"\nhost = "127.0.0.1"',
                f"lidar_port = {lidar_port}\nimu_port = {imu_port}",
            ]
            for camera in range(rig_sender.CAMERAS):
                lines.append(f'[sensors.r{number}_camera_{camera}]\ndriver = "mjpeg"')
                lines.append(f'url = "http://127.0.0.1:{port}/{camera}"')
            sender.sensors = "\n".join(lines)
            yield sender
        finally:
            process.kill()
            process.wait()

    def wait_until_read(self, by: subprocess.Popen[Any]) -> None:
        """Raises RuntimeError when that process ends instead of reading the cameras."""
        until_s = time.monotonic() + _READY_S
        while not self._has_spoken(0.1):
            if by.poll() is not None or time.monotonic() > until_s:
                by.kill()
                raise RuntimeError(f"the cameras are not read: {(by.communicate()[1] or '')[-2000:]}")
        self._heard()

    def go(self, seconds: float, slower: float = 1.0) -> None:
        self._write(f"{seconds} {slower}\n")

    def take_account(self) -> None:
        """Once everything is sent."""
        account = self._heard()
        self.sent = {f"r{self._number}_{name}": count for name, count in account["sent"].items()}
        self.late_s = account["late_s"]

    def _has_spoken(self, within_s: float) -> bool:
        return bool(self._process.stdout and select.select([self._process.stdout], [], [], within_s)[0])

    def _heard(self) -> Any:
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise RuntimeError("a sender has ended too early")
        return json.loads(line)

    def _write(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line)
            self._process.stdin.flush()


class Watched:
    """A process and its children: CPU between begin() and end(), and the most memory that they have held."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._began = (0.0, 0.0, 0.0)

    def begin(self) -> None:
        self._began = self._read()

    def end(self) -> tuple[float, float, float]:
        """(seconds, cores with its children, cores without)"""
        passed_s, cpu_s, own_s = (now - then for now, then in zip(self._read(), self._began, strict=True))
        return passed_s, cpu_s / passed_s, own_s / passed_s

    def peak_mb(self) -> float:
        return sum(_peak_kb(process.pid) for process in self._all()) / 1e3

    def _all(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def _read(self) -> tuple[float, float, float]:
        own = self._root.cpu_times()
        return time.monotonic(), self._cpu_s(), own.user + own.system

    def _cpu_s(self) -> float:
        """Children that have ended count through their parent's children_user and children_system."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total


def _peak_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def _recorded_by_fieldrig(folder: Path) -> dict[str, Any]:
    from capture.recording_info import load_info

    found = list((folder / "recordings").glob("*/recording.json"))
    if not found:
        return {}
    recording = found[0].parent
    files = sorted(recording.glob("*.mcap"))
    own = [values for file in files for values in _own_health(file)]
    return {
        "counts": _counted(files),
        "bytes": sum(file.stat().st_size for file in files),
        "verdict": load_info(recording).verdict,
        "delay_p99_ms": max(float(values["written_p99_ms"]) for values in own),
        "delay_longest_ms": max(float(values["written_longest_ms"]) for values in own),
        "unsynced_ms": max(float(values["synced_ms_ago"]) for values in own),
    }


def _counted(files: Sequence[Path]) -> dict[str, int]:
    """Stream -> messages, by the mcap package's reader of the files' own statistics."""
    from mcap.reader import make_reader

    counts: dict[str, int] = {}
    for path in files:
        with path.open("rb") as file:
            summary = make_reader(file).get_summary()
        if summary is None or summary.statistics is None:
            raise RuntimeError(f"{path} has no summary")
        for channel, count in summary.statistics.channel_message_counts.items():
            stream = summary.channels[channel].topic.removeprefix("/")
            counts[stream] = counts.get(stream, 0) + count
    return counts


def _own_health(file: Path) -> Iterator[dict[str, str]]:
    """What the recorder said of itself, once a second."""
    from capture.bag.diagnostics import unpack_diagnostics
    from capture.bag.mcap_index import rare_messages
    from capture.bag.rosbag import HEALTH_TOPIC

    for message in rare_messages(file, HEALTH_TOPIC):
        yield from (status.values for status in unpack_diagnostics(message.data) if status.name == "recorder")


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> list[int]:
    """Ports of loopback that nobody has, of UDP or, SOCK_STREAM, of TCP."""
    sockets = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
