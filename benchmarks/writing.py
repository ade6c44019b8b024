"""The writer stage alone: packets from memory to a file, fieldrig's writer against other writers of MCAP, in CPU seconds a GB.

    python -m benchmarks.writing [--seconds 17] [--repeats 5] [--disk FOLDER]

The packets are those of 58 MB/s for so many seconds (17: 1 GB), payloads drawn from memory that no cache holds. Every writer packs the
same packets into the same messages. What fieldrig's writer does beside: CRC, indexes, statistics, a sync every half second, the delay of
every message, and the SHA-256 of the file. A peer hashes nothing by itself, so the comparison is made three times: without the hash; with
the hash, against the plain writer whose file is hashed afterwards, which gives what fieldrig gives; and with the hash against the bare plain writer.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from benchmarks.peer_writers import CHUNK_BYTES, PEER_WRITERS
from benchmarks.table import Row, show
from capture.bag.appended_file import Buffer
from capture.bag.file_hash import FileHash
from capture.bag.mcap_file import read_summary
from capture.bag.rosbag import topic_of
from capture.bag.writer import BagWriter
from capture.checksums import sha256_of
from devices.device import Stream
from devices.samples import Packet, Stamps

STREAMS = [
    *(Stream(f"camera_{number}/image", "jpeg") for number in range(3)),
    Stream("lidar/points", "ouster.lidar"),
    Stream("lidar/imu", "ouster.imu"),
]
RATES_HZ = (30, 30, 30, 1280, 400)
SIZES_BYTES = (300_000, 300_000, 300_000, 24_832, 48)
POOL = (30, 30, 30, 1280, 400)  # different payloads of each stream: 59 MB
TARGET = 1.15
APPENDED = "payloads appended as they are"


class Given(NamedTuple):
    """A packet on its way into a writer."""

    stream: int
    sequence: int
    packet: Packet


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writing", description=__doc__)
    parser.add_argument("--seconds", type=int, default=17)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--disk", type=Path, default=Path.cwd(), help="a folder on the disk; default: here")
    chosen = parser.parse_args()
    packets = load(chosen.seconds)
    places = {"disk": chosen.disk}
    if Path("/dev/shm").is_dir():  # noqa: S108 -- memory as a file system, where the kernel's share is least
        places["memory"] = Path("/dev/shm")  # noqa: S108
    rows = []
    for place, folder in places.items():
        rows += _rows(place, measured(packets, folder, chosen.repeats))
    show(f"writing {sum(len(each.packet.data) for each in packets) / 1e9:.2f} GB, median of {chosen.repeats}", rows)
    return 0


def load(seconds: int) -> list[Given]:
    """The packets of so many seconds in order of their arrival."""
    pool = [[os.urandom(size) for _ in range(count)] for size, count in zip(SIZES_BYTES, POOL, strict=True)]
    began_ns, arrivals = time.time_ns(), []
    for stream, rate_hz in enumerate(RATES_HZ):
        arrivals += [(number * 10**9 // rate_hz, stream, number) for number in range(seconds * rate_hz)]
    return [
        Given(
            stream,
            number,
            Packet(STREAMS[stream].name, Stamps(began_ns + t_ns, began_ns + t_ns - 7), pool[stream][number % POOL[stream]]),
        )
        for t_ns, stream, number in sorted(arrivals)
    ]  # fmt: skip


def measured(packets: Sequence[Given], folder: Path, repeats: int) -> dict[str, float]:
    """Median CPU s/GB of each writer; the writers take turns, so that a busy machine is busy for all."""
    gigabytes = sum(len(each.packet.data) for each in packets) / 1e9
    found: dict[str, list[float]] = {name: [] for name in WRITERS}
    for turn in range(repeats + 1):
        for name, write in WRITERS.items():
            with tempfile.TemporaryDirectory(prefix="fieldrig-writing-", dir=folder) as made:
                started_s = time.process_time()
                write(Path(made) / "x.mcap", packets)
                spent_s = time.process_time() - started_s
                if turn:
                    found[name].append(spent_s / gigabytes)
                else:  # the first turn warms the memory that all use
                    _check(name, Path(made), packets)
    return {name: statistics.median(each) for name, each in found.items()}


def _check(name: str, folder: Path, packets: Sequence[Given]) -> None:
    """Raises RuntimeError when a writer's file does not hold every packet."""
    for path in folder.rglob("*.mcap"):
        with path.open("rb") as file:
            summary = read_summary(file)
        held = 0 if summary is None else sum(summary.counts[topic_of(stream.name)] for stream in STREAMS)
        if name != APPENDED and held != len(packets):
            raise RuntimeError(f"{name} has written {held} of {len(packets)} messages")


def by_fieldrig(path: Path, packets: Sequence[Given]) -> None:
    bag = BagWriter(path, STREAMS)
    bag.add_health(packets[0].packet.stamps.host_ns, [])
    for stream, sequence, packet in packets:
        bag.add(stream, sequence, packet, packet.stamps.host_ns)
    bag.finish()


def by_fieldrig_unhashed(path: Path, packets: Sequence[Given]) -> None:
    def passed_over(self: FileHash, buffer: Buffer) -> None:
        self.hashed_bytes += len(buffer)

    with mock.patch.object(FileHash, "_update", passed_over):
        by_fieldrig(path, packets)


def by_peer(kind: str) -> Callable[[Path, Sequence[Given]], None]:
    def write(path: Path, packets: Sequence[Given]) -> None:
        writer = PEER_WRITERS[kind](path, STREAMS)
        for stream, sequence, packet in packets:
            writer.add(stream, sequence, packet)
        writer.finish()

    return write


def by_mcap_hashed_afterwards(path: Path, packets: Sequence[Given]) -> None:
    by_peer("mcap")(path, packets)
    sha256_of(path)


def by_appending(path: Path, packets: Sequence[Given]) -> None:
    """The floor: the same payloads, as they are, in writes of a chunk's size."""
    with path.open("wb", buffering=0) as file:
        for block in _blocks(packets):
            os.writev(file.fileno(), block)


def by_hashing(path: Path, packets: Sequence[Given]) -> None:  # noqa: ARG001
    digest = hashlib.sha256()
    for each in packets:
        digest.update(each.packet.data)


def _blocks(packets: Sequence[Given]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for each in packets:
        block.append(each.packet.data)
        size += len(each.packet.data)
        if size >= CHUNK_BYTES:
            yield block
            block, size = [], 0
    yield block


WRITERS: dict[str, Callable[[Path, Sequence[Given]], None]] = {
    "fieldrig": by_fieldrig,
    "fieldrig, hash left out": by_fieldrig_unhashed,
    "mcap, CRC": by_peer("mcap"),
    "mcap, CRC, SHA-256 of the file afterwards": by_mcap_hashed_afterwards,
    "rosbags, without CRC": by_peer("rosbags"),
    "foxglove-sdk, CRC": by_peer("foxglove"),
    APPENDED: by_appending,
    "SHA-256 of the payloads": by_hashing,
}


def _rows(place: str, s_gb: dict[str, float]) -> list[Row]:
    def ratio(mine: str, peer: str) -> float:
        return s_gb[mine] / s_gb[peer]

    unhashed = ratio("fieldrig, hash left out", "mcap, CRC")
    hashed = ratio("fieldrig", "mcap, CRC, SHA-256 of the file afterwards")
    bare = ratio("fieldrig", "mcap, CRC")
    limit = f"<= {TARGET}"
    return [
        Row(f"to {place}: fieldrig / mcap, both without hash", f"{unhashed:.2f}", limit, unhashed <= TARGET),
        Row(f"to {place}: fieldrig / mcap, both with SHA-256", f"{hashed:.2f}", limit, hashed <= TARGET),
        Row(f"to {place}: fieldrig with SHA-256 / mcap without", f"{bare:.2f}", limit, bare <= TARGET),
        *(Row(f"to {place}: {name}", f"{value:.2f} CPU s/GB") for name, value in s_gb.items()),
    ]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
