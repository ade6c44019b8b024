"""What a small receive buffer, a slow disk and a full disk cost, counted to the last packet: real sockets, real files."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from capture.errors import CaptureError
from capture.health import WARNING
from capture.limits import Limits
from capture.recorder import record
from capture.recorder_state import RecorderState
from capture.recording import Recording, open_recording
from capture.repair import last_health
from capture.verify import verify
from capture.workspace import Workspace
from devices import udp
from tests.capture.rigs import Sender, free_ports, line, robot_rig

STREAMS = ("robot/state", "robot/action")


def sequences_are_whole(recording: Recording, stream: str) -> bool:
    """Whether a stream's numbers leave out exactly those that never reached the disk, and none stands twice."""
    lost = recording.info.losses[stream]
    numbers = [each.sequence for each in recording.packets([stream])]
    received = recording.counts[stream] + lost.queue + lost.not_written
    return len(set(numbers)) == len(numbers) and sorted(numbers) == numbers and numbers[-1] < received


def test_what_a_small_receive_buffer_loses_is_sent_less_recorded_to_the_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(opened: socket.socket, size_bytes: int) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)

    monkeypatch.setattr(udp, "_ask_for_buffer", small)
    state, action = free_ports(2)
    stop, sent = threading.Event(), dict.fromkeys(STREAMS, 0)

    def burst(now: RecorderState) -> None:
        """Again and again: a reader that is quick today loses nothing in one."""
        if sum(stream.lost for stream in now.streams) > 100 or sent["robot/state"] > 200_000:
            stop.set()
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for number in range(4000):
                for stream, port, every in (("robot/state", state, 1), ("robot/action", action, 3)):
                    if number % every == 0:
                        out.sendto(line(number, stream.partition("/")[2], number), ("127.0.0.1", port))
                        sent[stream] += 1

    recording = open_recording(
        record(robot_rig(state, action), Workspace(tmp_path), duration_s=20, stop=stop, progress=burst)
    )
    for stream in STREAMS:
        lost = recording.info.losses[stream]
        assert lost.before_read == sent[stream] - recording.counts[stream]
        assert (lost.queue, lost.not_written) == (0, 0)
        assert sequences_are_whole(recording, stream)
    assert sum(recording.info.losses[stream].before_read for stream in STREAMS) > 100
    assert recording.info.verdict == "doubtful"


class SlowDisk:
    """Takes so many bytes a second, in whatever portions: a write returns when a disk of that speed would have taken it."""

    def __init__(self, bytes_s: float) -> None:
        self.bytes_s = bytes_s
        self._writev = os.writev

    def writev(self, descriptor: int, buffers: Sequence[bytes]) -> int:
        done = self._writev(descriptor, buffers)
        time.sleep(done / self.bytes_s)
        return done


def recorded_to_a_slow_disk(
    place: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, queue_bytes: int
) -> tuple[Recording, dict[str, int], list[RecorderState]]:
    """~6 MB/s of two streams, of which the disk takes 2: the recording, what was sent of each stream, and how the recorder was."""
    monkeypatch.setattr("capture.bag.appended_file.os.writev", SlowDisk(2e6).writev)
    state, action = free_ports(2)
    sender = Sender({"state": state, "action": action}, 150, padding=900)
    states: list[RecorderState] = []
    stop = threading.Event()

    def send() -> None:
        with sender:
            time.sleep(seconds)
        time.sleep(0.2)
        stop.set()

    def begin(now: RecorderState) -> None:
        if not states:
            threading.Thread(target=send).start()
        states.append(now)

    folder = record(
        robot_rig(state, action),
        Workspace(place),
        duration_s=30,
        stop=stop,
        progress=begin,
        limits=Limits(queue_bytes=queue_bytes),
    )
    return open_recording(folder), {f"robot/{topic}": len(times) for topic, times in sender.sent.items()}, states


def test_a_slow_disk_costs_nothing_while_the_queue_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, sent, states = recorded_to_a_slow_disk(tmp_path, monkeypatch, 1.0, 64 << 20)
    assert {stream: recording.counts[stream] for stream in STREAMS} == sent
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert max(now.queue_bytes for now in states) > 2_000_000
    assert verify(recording.folder).damage == []


def test_what_a_slow_disk_costs_beyond_the_queue_is_counted_for_each_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound_bytes = 3_000_000
    recording, sent, states = recorded_to_a_slow_disk(tmp_path, monkeypatch, 2.5, bound_bytes)
    for stream in STREAMS:
        lost = recording.info.losses[stream]
        assert lost.queue > 10
        assert recording.counts[stream] + lost.queue == sent[stream]
        assert (lost.before_read, lost.not_written) == (0, 0)
        assert sequences_are_whole(recording, stream)
    assert bound_bytes // 2 < max(now.queue_bytes for now in states) <= bound_bytes
    first_loss = next(now for now in states if any(row.lost for row in now.streams))
    assert sum(row.received for row in first_loss.streams) > bound_bytes // 20_000
    assert recording.info.verdict == "doubtful"
    assert verify(recording.folder).damage == []


def test_a_disk_that_does_not_sync_is_told_on_the_health_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("capture.bag.syncer._sync_data", failing)
    monkeypatch.setattr("capture.session.UNSYNCED_S", 0.8)
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 50):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=1.8)
    statuses = {status.name: status for status in last_health(open_recording(folder).files[0])}
    assert statuses["recorder"].level == WARNING
    assert re.fullmatch(r"the disk has kept nothing safe from a power cut for \d+ s", statuses["recorder"].message)
    assert int(statuses["recorder"].values["synced_ms_ago"]) > 800


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB, of which the reserve takes 8."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "none", place]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", place], capture_output=True)


def test_a_full_disk_leaves_a_complete_readable_file_and_an_exact_account(small_disk: Path) -> None:
    state, action = free_ports(2)
    with (
        Sender({"state": state, "action": action}, 200, padding=900),
        pytest.raises(
            CaptureError, match=r"the disk refused a write at 1\d\.\d MB: No space left on device; free some"
        ),
    ):
        record(robot_rig(state, action), Workspace(small_disk), duration_s=30, limits=Limits(free_bytes=0))
    (folder,) = (small_disk / "recordings").iterdir()
    recording = open_recording(folder)
    assert recording.info.state == "finished"
    assert min(recording.counts[stream] for stream in STREAMS) > 200
    for stream in STREAMS:
        numbers = [each.sequence for each in recording.packets([stream])]
        assert numbers == list(range(recording.counts[stream]))
    lost = recording.info.losses
    assert sum(loss.not_written for loss in lost.values()) > 0
    assert all((loss.before_read, loss.queue) == (0, 0) for loss in lost.values())
    assert verify(folder).damage == []
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".json", ".mcap", ".yaml"]
