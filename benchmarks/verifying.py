"""`fieldrig verify` in MB/s: hashing and reading in one pass, beside the two passes that it stands for.

    .venv/bin/python -m benchmarks.verifying

A recording of 1 GB in memory; CPU time and wall time, best of 3, without decoding (which costs what the sensor's decoder costs; see
benchmarks/decoding.py). The peers read the same file: sha256sum, and mcap's own reader with every CRC checked, which is what
`mcap doctor` does in Go; rosbags reads it without CRCs.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from benchmarks.recovery import memory
from benchmarks.table import Row, show
from benchmarks.unfinished import Load, leave_unfinished
from capture.repair import repair
from capture.verify import verify

_LOADS = (Load("25 kB", 40_000, 25_000, 2_000.0), Load("1.2 kB", 800_000, 1_206, 1_508.0))


def main() -> int:
    rows = []
    for load in _LOADS:
        with tempfile.TemporaryDirectory(dir=memory()) as folder:
            recording = leave_unfinished(Path(folder), load)
            repair(recording)
            rows += _measured(recording, load.name)
    show("verifying", rows)
    return 0


def _measured(recording: Path, packets: str) -> list[Row]:
    bag = next(recording.glob("*.mcap"))
    ours = _best(lambda: verify(recording, decode=False))
    hashed, read, by_rosbags = (
        _best(lambda: _hash(bag)),
        _best(lambda: _read(bag)),
        _best(lambda: _read_by_rosbags(recording), 1),
    )
    size = bag.stat().st_size / 1e6
    both = hashed[1] + read[1]
    rows = [Row(f"verify, packets of {packets}", _figure(size, ours))]
    rows += [
        Row(
            "the same: one after the other, hash and mcap's reader (peers): CPU ratio",
            f"{ours[1] / both:.2f}",
            "1",
            ours[1] <= both,
        ),
        Row("the same: SHA-256 alone (peer)", _figure(size, hashed)),
        Row("the same: mcap's reader, CRCs checked (peer)", _figure(size, read)),
        Row("the same: rosbags, no CRC (peer)", _figure(size, by_rosbags)),
    ]
    if program := shutil.which("sha256sum"):
        started = time.perf_counter()
        subprocess.run([program, bag], check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - started
        rows.append(Row("the same: sha256sum (peer)", f"{size / wall:.0f} MB/s wall"))
    return rows


def _best(work: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """(wall, CPU) in s, each the least."""
    walls, cpus = list[float](), list[float]()
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def _figure(size_mb: float, times: tuple[float, float]) -> str:
    return f"{size_mb / times[0]:.0f} MB/s wall, {size_mb / times[1]:.0f} MB/s of CPU"


def _hash(bag: Path) -> None:
    with bag.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def _read(bag: Path) -> None:
    with bag.open("rb") as file:
        for _ in make_reader(file, validate_crcs=True).iter_messages():
            pass


def _read_by_rosbags(recording: Path) -> None:
    with Reader(recording) as reader:
        for _ in reader.messages():
            pass


if __name__ == "__main__":
    sys.exit(main())
