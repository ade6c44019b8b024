"""The file of a recording: what other readers find in it, and what a disk that refuses leaves of it."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import ChunkIndex, Statistics
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from capture.bag.appended_file import AppendedFile, Buffer
from capture.bag.file_hash import FileHash
from capture.bag.packing import Packing
from capture.bag.rosbag import CLOCK_TOPIC, HEALTH_TOPIC, write_metadata
from capture.bag.salvage import finish_file
from capture.bag.writer import BagWriter
from capture.errors import CaptureError
from capture.lock import hold
from devices.device import Stream
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps
from tests.capture.recordings import wait_for

STREAMS = [Stream("camera/image", "jpeg"), Stream("lidar/points", "raw"), Stream("robot/state", "vector.json")]
BEGAN_NS = 1_760_000_000_000_000_000


class Sent(NamedTuple):
    stream: int
    sequence: int
    packet: Packet
    stamp_ns: int


def a_packet(stream: int, sequence: int, data: bytes, device_ns: int | None = 5) -> Sent:
    host_ns = BEGAN_NS + sequence * 1000 + stream
    return Sent(stream, sequence, Packet(STREAMS[stream].name, Stamps(host_ns, device_ns), data), host_ns - 7)


def written(path: Path, sent: Sequence[Sent]) -> str:
    bag = BagWriter(path, STREAMS)
    bag.add_health(BEGAN_NS, [])
    bag.close_chunk()
    for each in sent:
        bag.add(*each)
    summary, sha256 = bag.finish()
    assert summary.intact
    assert summary.counts.pop(HEALTH_TOPIC) == 1
    assert summary.counts.pop(CLOCK_TOPIC) == 0
    assert summary.counts == {f"/{s.name}": sum(e.stream == i for e in sent) for i, s in enumerate(STREAMS)}
    return sha256


def expected(sent: Sent) -> tuple[str, int, int, int, bytes]:
    stamps, data = sent.packet.stamps, sent.packet.data
    packed = Packing(STREAMS[sent.stream]).pack(sent.stamp_ns, stamps.device_ns or 0, sent.sequence, data)
    published_ns = stamps.host_ns if stamps.device_ns is None else stamps.device_ns
    return f"/{sent.packet.stream}", sent.sequence & 0xFFFFFFFF, stamps.host_ns, published_ns, packed


def found(path: Path, *, by_index: bool) -> list[tuple[str, int, int, int, bytes]]:
    with path.open("rb") as file:
        messages = make_reader(file, validate_crcs=True).iter_messages(log_time_order=by_index)
        return [
            (channel.topic, message.sequence, message.log_time, message.publish_time, message.data)
            for _, channel, message in messages
            if channel.topic != HEALTH_TOPIC
        ]


SIZES = st.sampled_from([0, 1, 48, 4095, 4096, 4097, 24_832, 300_000, (1 << 20) + 1])
PACKETS = st.lists(st.tuples(st.integers(0, 2), SIZES, st.none() | st.sampled_from([0, 5, (1 << 64) - 1])), max_size=40)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(packets=PACKETS)
def test_mcaps_own_readers_find_every_message_byte_for_byte(
    tmp_path: Path, packets: list[tuple[int, int, int | None]]
) -> None:
    path = tmp_path / "x_0.mcap"
    path.unlink(missing_ok=True)
    sent = [a_packet(stream, n, os.urandom(size), device) for n, (stream, size, device) in enumerate(packets)]
    sha256 = written(path, sent)
    wanted = [expected(each) for each in sent]
    assert found(path, by_index=False) == wanted
    assert found(path, by_index=True) == sorted(wanted, key=lambda each: each[2])
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_record_lies_where_the_index_says(tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    written(path, [a_packet(n % 3, n, bytes([n % 251]) * (n * 97 % 30_000)) for n in range(600)])
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == 601
        assert summary.statistics.chunk_count == len(summary.chunk_indexes) > 5
    with path.open("rb") as file:
        records = list(StreamReader(file, validate_crcs=True, emit_chunks=True).records)
    assert [r for r in records if isinstance(r, ChunkIndex)] == summary.chunk_indexes
    assert [r for r in records if isinstance(r, Statistics)] == [summary.statistics]


def test_rosbags_reads_it_in_order_of_time(tmp_path: Path) -> None:
    sent = [a_packet(2, n, b"x" * n) for n in range(50)]
    path = tmp_path / "x_0.mcap"
    written(path, sent)
    write_metadata(tmp_path, STREAMS, {path.name: finish_file(path)})
    with AnyReader([tmp_path]) as reader:
        raws = [bytes(raw) for connection, _, raw in reader.messages() if connection.topic == "/robot/state"]
    assert raws == [expected(each)[4] for each in sent]


@pytest.mark.parametrize("a_call", [1, 1000, 65_537])
def test_a_disk_that_takes_a_part_of_each_write_gets_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_call: int
) -> None:
    write, calls = os.writev, []

    def partly(descriptor: int, buffers: Sequence[bytes]) -> int:
        calls.append(len(buffers))
        assert len(buffers) <= 1024  # what the system takes at once
        return write(descriptor, [b"".join(map(bytes, buffers))[:a_call]])

    sent = [a_packet(n % 3, n, bytes([n]) * 5000) for n in range(30 if a_call > 1 else 0)]
    monkeypatch.setattr("capture.bag.appended_file.os.writev", partly)
    sha256 = written(tmp_path / "x_0.mcap", sent)
    assert len(calls) > 5
    assert found(tmp_path / "x_0.mcap", by_index=False) == [expected(each) for each in sent]
    assert sha256 == hashlib.sha256((tmp_path / "x_0.mcap").read_bytes()).hexdigest()


def test_a_chunk_of_more_pieces_than_the_system_takes_at_once_is_written_whole(tmp_path: Path) -> None:
    pieces = [bytes([n % 256]) * (n % 7) for n in range(5000)]
    file = AppendedFile(tmp_path / "pieces")
    file.append(pieces)
    file.append([b"", b"end"])
    file.close()
    assert (tmp_path / "pieces").read_bytes() == b"".join(pieces) + b"end"
    assert file.size_bytes == len(b"".join(pieces)) + 3


def test_a_device_time_that_no_message_can_state_costs_its_packet_nothing(tmp_path: Path) -> None:
    sent = [a_packet(2, 0, b"before", -5), a_packet(2, 1, b"beyond", 1 << 64), a_packet(2, 2, b"good", 9)]
    path = tmp_path / "x_0.mcap"
    written(path, sent)
    payloads = [Packing(STREAMS[2]).unpack(data)[1] for *_, data in found(path, by_index=False)]
    assert payloads == [b"before", b"beyond", b"good"]
    assert [published_ns for *_, published_ns, _ in found(path, by_index=False)] == [
        BEGAN_NS + 2, BEGAN_NS + 1002, 9
    ]  # fmt: skip


def test_a_file_that_exists_is_never_written_into(tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    path.write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        BagWriter(path, STREAMS)
    assert path.read_bytes() == b"somebody's"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_disk_without_room_for_the_reserve_leaves_nothing_open_and_nothing_behind(tmp_path: Path) -> None:
    path, before = tmp_path / "x_0.mcap", open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            BagWriter(path, STREAMS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before
    written(path, [a_packet(0, 0, b"now there is room")])


def test_a_file_being_written_is_held_against_repair(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "x_0.mcap", STREAMS)
    with bag.path.open("rb") as other, pytest.raises(CaptureError, match="still being recorded"):
        hold(other.fileno(), bag.path)
    bag.finish()
    with bag.path.open("rb") as other:
        hold(other.fileno(), bag.path)


def fill(bag: BagWriter, first: int) -> None:
    for n in range(first, first + 100):
        bag.add(*a_packet(0, n, bytes(100_000)))


def test_behind_a_refused_write_nothing_more_stands_and_what_is_whole_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills in the midst of a chunk, after a part of it; then somebody makes room."""
    bag, write, budget = BagWriter(tmp_path / "x_0.mcap", STREAMS), os.writev, [2_500_000]

    def filling(descriptor: int, buffers: Sequence[bytes]) -> int:
        if not budget[0]:
            budget[0] = 1 << 40
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, [b"".join(map(bytes, buffers))[: budget[0]]])
        budget[0] -= done
        return done

    monkeypatch.setattr("capture.bag.appended_file.os.writev", filling)
    bag.add_health(BEGAN_NS, [])
    bag.close_chunk()
    with pytest.raises(OSError, match="No space left"):
        fill(bag, 0)
    taken = bag.accepted(0)
    with pytest.raises(OSError, match="No space left"):
        fill(bag, 1000)
    summary, sha256 = bag.finish()
    kept = [sequence for _, sequence, *_ in found(bag.path, by_index=False)]
    assert bag.written[0] <= len(kept) == summary.counts["/camera/image"] <= taken
    assert kept == list(range(len(kept)))
    assert len(kept) >= 20
    assert sha256 == hashlib.sha256(bag.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("waiting_bytes_max", [0, 250_000, 1 << 30])
def test_a_hash_that_cannot_keep_pace_does_not_hold_up_the_writer_and_is_right_in_the_end(
    waiting_bytes_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    update = FileHash._update

    def stalled(self: FileHash, buffer: Buffer) -> None:
        goes_on.wait(60)
        update(self, buffer)

    monkeypatch.setattr("capture.bag.file_hash._WAITING_BYTES_MAX", waiting_bytes_max)
    monkeypatch.setattr(FileHash, "_update", stalled)
    bag = BagWriter(tmp_path / "x_0.mcap", STREAMS)
    for half in range(2):
        for n in range(30):
            bag.add(*a_packet(0, 30 * half + n, os.urandom(100_000)))
        bag.close_chunk()
        assert bag.written[0] == 30 * (half + 1)
        goes_on.set()  # only half of it was too much for the hash
    _, sha256 = bag.finish()
    assert sha256 == hashlib.sha256(bag.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("error", [OSError("unreadable"), MemoryError()])
def test_a_hash_that_fails_on_the_way_is_made_from_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, updates = FileHash._update, itertools.count()

    def fails_once(self: FileHash, buffer: Buffer) -> None:
        if next(updates) == 3:
            raise error
        update(self, buffer)

    monkeypatch.setattr(FileHash, "_update", fails_once)
    path = tmp_path / "x_0.mcap"
    sha256 = written(path, [a_packet(0, n, os.urandom(100_000)) for n in range(50)])
    assert next(updates) == 4, "it went on after the failure"
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_stalled_sync_holds_nothing_up_and_shows_in_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def stalled(descriptor: int) -> None:
        goes_on.wait(60)

    monkeypatch.setattr("capture.bag.syncer.SYNC_S", 0.05)
    monkeypatch.setattr("capture.bag.syncer._sync_data", stalled)
    bag = BagWriter(tmp_path / "x_0.mcap", STREAMS)
    for n in range(200):
        bag.add(*a_packet(0, n, bytes(50_000)))
        time.sleep(0.001)
    bag.close_chunk()
    assert bag.written[0] == 200
    assert bag.synced_s_ago > 0.2
    goes_on.set()
    bag.finish()


def test_a_failed_sync_shows_in_its_age_until_one_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [True]

    def failing(descriptor: int) -> None:
        if refused[0]:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("capture.bag.syncer.SYNC_S", 0.02)
    monkeypatch.setattr("capture.bag.syncer._sync_data", failing)
    bag = BagWriter(tmp_path / "x_0.mcap", STREAMS)
    time.sleep(0.5)
    assert bag.synced_s_ago > 0.45
    refused[0] = False
    wait_for(lambda: bag.synced_s_ago < 0.25)
    bag.finish()


def test_the_delay_from_arrival_to_the_disk_is_told(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "x_0.mcap", STREAMS)
    assert (bag.delay.quantile_ms(0.99), bag.delay.longest_ns) == (0.0, 0)
    began_ns = HOST_CLOCK.now_ns()
    for n, age_ms in enumerate([*range(1, 100), 5000]):
        stamps = Stamps(HOST_CLOCK.now_ns() - age_ms * 1_000_000)
        bag.add(2, n, Packet("robot/state", stamps, b""), 0)
    bag.close_chunk()
    held_up_ms = (HOST_CLOCK.now_ns() - began_ns) / 1e6
    bag.finish()
    assert 50 <= bag.delay.quantile_ms(0.5) < 150 + held_up_ms
    assert 99 <= bag.delay.quantile_ms(0.99) < 200 + held_up_ms
    assert bag.delay.quantile_ms(1.0) == bag.delay.longest_ns / 1e6 >= 5000
