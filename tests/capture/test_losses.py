"""What a small receive buffer, a slow disk and a full disk cost, counted to the last packet: real sockets, real files."""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mcap.reader import make_reader

from capture.attend import record
from capture.bag.segments import Split
from capture.cut_off import last_health
from capture.errors import CaptureError
from capture.health import WARNING
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recorder_state import RecorderState
from capture.recording import Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.udp.socket import UdpSocket
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, line, robot_rig

STREAMS = ("robot/state", "robot/action")


def messages_in(recording: Recording) -> Counter[str]:
    """Stream -> how many messages lie in the recording's files, by the `mcap` reader, every CRC checked."""
    found: Counter[str] = Counter()
    for path in recording.files:
        with path.open("rb") as file:
            for _, channel, _ in make_reader(file, validate_crcs=True).iter_messages():
                found[channel.topic.removeprefix("/")] += 1
    return found


def sequences_are_whole(recording: Recording, stream: str) -> bool:
    """Whether a stream's numbers leave out exactly those that never reached the disk, and none stands twice."""
    lost = recording.info.losses[stream]
    numbers = [each.sequence for each in recording.packets([stream])]
    received = recording.counts[stream] + lost.queue + lost.not_written
    return len(set(numbers)) == len(numbers) and sorted(numbers) == numbers and numbers[-1] < received


def last_said(recording: Recording) -> dict[str, tuple[int, int]]:
    """What the recorder's last health message says was lost: before it was read, and in the queue."""
    said = {status.name: status.values for status in last_health(recording.files[-1])}
    return {
        stream: (int(said[stream]["lost_before_read"]), int(said[stream]["dropped_in_queue"])) for stream in STREAMS
    }


def accounted(recording: Recording) -> dict[str, tuple[int, int]]:
    losses = recording.info.losses
    return {stream: (losses[stream].before_read, losses[stream].queue) for stream in STREAMS}


def test_what_a_small_receive_buffer_loses_is_sent_less_recorded_to_the_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(opened: UdpSocket, size_bytes: int) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)

    monkeypatch.setattr(UdpSocket, "_ask_for_buffer", small)
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
    assert last_said(recording) == accounted(recording)
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


def bytes_before_the_first_gap(recording: Recording) -> int:
    """As the queue counts them, of all streams: each packet's, and 200 for itself."""
    packets = {stream: list(recording.packets([stream])) for stream in STREAMS}
    gap = min(next(n for n, each in enumerate(of_one) if each.sequence != n) for of_one in packets.values())
    return sum(len(each.packet.data) + 200 for of_one in packets.values() for each in of_one[:gap])


def test_a_slow_disk_costs_nothing_while_the_queue_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, sent, states = recorded_to_a_slow_disk(tmp_path, monkeypatch, 1.0, 64 << 20)
    assert {stream: messages_in(recording)[stream] for stream in STREAMS} == sent
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert max(now.queue_bytes for now in states) > 2_000_000
    assert verify(recording.folder).damage == []


def test_what_a_slow_disk_costs_beyond_the_queue_is_counted_for_each_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound_bytes = 3_000_000
    recording, sent, states = recorded_to_a_slow_disk(tmp_path, monkeypatch, 2.5, bound_bytes)
    files = messages_in(recording)
    for stream in STREAMS:
        lost = recording.info.losses[stream]
        assert lost.queue > 10
        assert files[stream] + lost.queue == sent[stream]
        assert (lost.before_read, lost.not_written) == (0, 0)
        assert sequences_are_whole(recording, stream)
    assert bound_bytes - 50_000 < max(now.queue_bytes for now in states) <= bound_bytes, "packets are of 20 kB"
    assert bytes_before_the_first_gap(recording) > bound_bytes - 20_000, "something was lost while there was room"
    assert last_said(recording) == accounted(recording)
    assert recording.info.verdict == "doubtful"
    assert verify(recording.folder).damage == []


def test_what_is_lost_while_a_take_is_being_closed_is_not_its_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.bag.appended_file.os.writev", SlowDisk(2e6).writev)
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(queue_bytes=3_000_000)) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 150, padding=900) as sender:
            recorder.start()
            time.sleep(2)
            recording = open_recording(recorder.stop())
    info = recording.info
    ended_ns = info.ended_ns or 0
    for stream in STREAMS:
        topic, lost = stream.partition("/")[2], info.losses[stream]
        due = recording.counts[stream] + lost.queue
        assert lost.queue > 10
        assert len(sender.surely_between(topic, info.started_ns, ended_ns)) <= due
        assert due <= len(sender.maybe_between(topic, info.started_ns, ended_ns))
        assert sum(t_ns >= ended_ns for t_ns in sender.sent[topic]) > 30, "closing took no time"
    assert verify(recording.folder).damage == []


def test_a_disk_that_does_not_sync_is_told_on_the_health_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("capture.bag.syncer._sync_data", failing)
    monkeypatch.setattr("capture.health_topic.UNSYNCED_S", 0.8)
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 50):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=1.8)
    statuses = {status.name: status for status in last_health(open_recording(folder).files[0])}
    assert statuses["recorder"].level == WARNING
    assert re.fullmatch(r"the disk has kept nothing safe from a power cut for \d+ s", statuses["recorder"].message)
    assert int(statuses["recorder"].values["synced_ms_ago"]) > 800


REFUSED = r"the disk refused a write at \d+\.\d MB: No space left on device; free some space, or record to another disk"


def recorded_until_refused(
    place: Path, padding: int = 900, file_bytes: int = 2 << 30
) -> tuple[Recording, dict[str, int]]:
    """A recording that the disk refuses while more comes for a while, and what had been sent of each stream when it was ended."""
    (state, action), limits = free_ports(2), Limits(free_bytes=0, split=Split(bytes_max=file_bytes))
    with Recorder(robot_rig(state, action), Workspace(place), limits) as recorder:
        folder = recorder.start()
        recorder.run()
        with Sender({"state": state, "action": action}, 200, padding) as sender:
            wait_for(lambda: bool(recorder.trouble))
            time.sleep(0.5)
        time.sleep(0.2)  # all of it has arrived
        assert re.match(REFUSED, recorder.trouble)
        recorder.stop()
    return open_recording(folder), {f"robot/{topic}": len(times) for topic, times in sender.sent.items()}


def check_account_of_a_refused_recording(recording: Recording, sent: dict[str, int]) -> None:
    """To the packet: what lies in the files and every kind of loss is what was sent; the files are whole, and nothing is left beside."""
    files, losses = messages_in(recording), recording.info.losses
    for stream in STREAMS:
        assert files[stream] + losses[stream].total == sent[stream]
        assert losses[stream].not_written > 50, "what came after the refusal was not counted"
        assert (losses[stream].before_read, losses[stream].queue) == (0, 0)
        assert [each.sequence for each in recording.packets([stream])] == list(range(files[stream]))
    assert (recording.info.state, recording.info.verdict) == ("finished", "doubtful")
    assert verify(recording.folder).damage == []
    assert {path.suffix for path in recording.folder.iterdir()} == {"", ".json", ".mcap", ".yaml"}


@pytest.mark.parametrize(
    ("padding", "file_bytes"), [(900, 2 << 30), (2500, 2 << 30), (900, 1_500_000)], ids=["", "large", "files"]
)
def test_a_full_disk_leaves_complete_readable_files_and_an_exact_account(
    small_disk: Callable[[int], Path], padding: int, file_bytes: int
) -> None:
    recording, sent = recorded_until_refused(small_disk(30), padding, file_bytes)
    assert min(recording.counts[stream] for stream in STREAMS) > 50
    check_account_of_a_refused_recording(recording, sent)


def test_a_disk_that_refuses_in_the_midst_of_a_chunk_is_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, budget = os.writev, [3_000_000]

    def refusing(descriptor: int, buffers: Sequence[bytes]) -> int:
        if budget[0] <= 0:
            budget[0] = 10**9  # somebody has freed space meanwhile
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, [b"".join(buffers)[: budget[0]]])
        budget[0] -= done
        return done

    monkeypatch.setattr("capture.bag.appended_file.os.writev", refusing)
    check_account_of_a_refused_recording(*recorded_until_refused(tmp_path))


def test_a_recording_that_the_disk_refuses_ends_in_one_line(small_disk: Callable[[int], Path]) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 200, padding=900) as sender, pytest.raises(CaptureError) as error:
        record(robot_rig(state, action), Workspace(disk := small_disk(20)), duration_s=30, limits=Limits(free_bytes=0))
    (folder,) = (disk / "recordings").iterdir()
    said = f"recording stopped: {REFUSED}; what was recorded until then is complete in {folder}"
    assert re.fullmatch(said, str(error.value))
    recording = open_recording(folder)
    files, ended_ns = messages_in(recording), recording.info.ended_ns or 0
    for stream in STREAMS:
        due, topic = files[stream] + recording.info.losses[stream].total, stream.partition("/")[2]
        assert len(sender.surely_between(topic, 0, ended_ns)) <= due <= len(sender.maybe_between(topic, 0, ended_ns))
