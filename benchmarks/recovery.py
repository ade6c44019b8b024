"""What is left after a kill, a power cut, a truncation; and how long it takes to have it back.

    .venv/bin/python -m benchmarks.recovery [--quick]

Kills and power cuts: recorder processes fed over real UDP sockets (two streams of 400 packets a second), killed with SIGKILL at random
times. Missing is counted from the sending of the oldest missing packet to the kill. A power cut takes away all that had not been synced:
every fdatasync of the recorder is logged, and files are cut back to how long they were when the last one began that succeeded.
Repair is timed on files in memory (/dev/shm), best of 3, always at full length. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import ROWS_FILE, Row, show
from benchmarks.truncation import truncations
from benchmarks.unfinished import Load, leave_unfinished
from capture.bag.salvage import finish_file
from capture.checksums import sha256_of
from capture.recording import open_recording
from capture.repair import repair
from capture.verify import verify
from tests.capture.killed import Killed, read_strictly, recorders

KILLS, POWER_CUTS, TRUNCATIONS = 200, 100, 1000
_LOADS = (Load("lidar packets of 25 kB", 40_000, 25_000, 2_000.0), Load("small packets", 800_000, 1_206, 1_508.0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery")
    parser.add_argument("--quick", action="store_true", help="a tenth of the kills, cuts and truncations")
    parts = {"kills": _kills, "power": _power_cuts, "speed": _repair_speed, "truncation": _truncations}
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    chosen = parser.parse_args()
    rows = [row for name in chosen.only for row in parts[name](10 if chosen.quick else 1)]
    show("recovery", rows)
    missed = any(row.met is False for row in rows)
    return 1 if missed and ROWS_FILE not in os.environ else 0


def _kills(divisor: int) -> list[Row]:
    return _cut_off("kill -9", KILLS // divisor, 250, sizes=(), waits_s=(0.15, 1.0))


def _power_cuts(divisor: int) -> list[Row]:
    """In files of 400 kB, so that some cuts fall where one ends and the next begins."""
    return _cut_off("power cut", POWER_CUTS // divisor, 2000, sizes=(400_000,), waits_s=(0.4, 2.0))


def _cut_off(
    what: str, times: int, limit_ms: float, *, sizes: Sequence[int], waits_s: tuple[float, float]
) -> list[Row]:
    chance, missing_ms, repaired = random.Random(1), list[float](), 0
    failures: list[str] = []
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        for killed in recorders(Path(folder), times, chance, sizes):
            killed_ns = killed.kill(chance.uniform(*waits_s))
            if what == "power cut":
                killed.cut_power()
            try:
                missing_ms.append(_repaired(killed, killed_ns))
                repaired += 1
            except Exception as error:  # each failure is counted, and told
                failures.append(f"{type(error).__name__}: {error}")
            shutil.rmtree(killed.workspace)
    sys.stderr.writelines(f"{what}: {failure}\n" for failure in failures)
    missing_ms = sorted(missing_ms) or [0.0]
    worst, middle, nearly = missing_ms[-1], missing_ms[len(missing_ms) // 2], missing_ms[len(missing_ms) * 99 // 100]
    return [
        Row(
            f"{what}: repaired, read by mcap and rosbags, verified", f"{repaired} of {times}", "all", repaired == times
        ),
        Row(f"{what}: missing at worst", f"{worst:.0f} ms", f"{limit_ms:.0f} ms", worst <= limit_ms),
        Row(f"{what}: missing, median and 99 %", f"{middle:.0f} ms, {nearly:.0f} ms"),
        Row(
            f"{what}: processes that waited for a core meanwhile",
            f"{max(0.0, os.getloadavg()[0] - (os.cpu_count() or 1)):.1f}",
        ),
    ]


def _repaired(killed: Killed, killed_ns: int) -> float:
    """By how many ms the repaired recording ends before the kill. Raises when anything is wrong with it."""
    repair(killed.folder)
    recording = open_recording(killed.folder)
    messages = sum(recording.counts.values())
    if (found := read_strictly(killed.folder)) < messages:
        raise AssertionError(f"foreign readers find {found} messages, not {messages}")
    if damage := verify(killed.folder).damage:
        raise AssertionError("; ".join(damage))
    return killed.missing(recording, killed_ns).worst_ms


def _repair_speed(_: int) -> list[Row]:
    rows = []
    for load in _LOADS:
        with tempfile.TemporaryDirectory(dir=memory()) as folder:
            recording = leave_unfinished(Path(folder), load)
            rows += _timed(recording, f"{load.packets:,} {load.name}")
    return rows


def _timed(recording: Path, what: str) -> list[Row]:
    """Repairs a recording three times, and puts it back twice."""
    bag, info = next(recording.glob("*.mcap")), (recording / "recording.json").read_bytes()
    size, end = bag.stat().st_size, bag.read_bytes()[-(2 << 20) :]
    walls, cpus, finishes = list[float](), list[float](), list[float]()
    for attempt in range(3):
        started, cpu = time.perf_counter(), time.process_time()
        repair(recording)
        walls.append(time.perf_counter() - started)
        cpus.append(time.process_time() - cpu)
        if attempt < 2:
            _put_back(recording, bag, info, size, end)
            started = time.perf_counter()
            finish_file(bag)
            finishes.append(time.perf_counter() - started)
            _put_back(recording, bag, info, size, end)
    started = time.perf_counter()
    sha256_of(bag)
    hash_s = time.perf_counter() - started
    name = f"repair of {size / 1e9:.2f} GB, {what}"
    return [
        Row(f"{name}, with its hash", f"{min(walls):.2f} s wall, {min(cpus):.2f} s of CPU", "1 s", min(walls) < 1.0),
        Row(f"{name}, until it can be read", f"{min(finishes):.2f} s"),
        Row("SHA-256 of the same file alone (peer)", f"{hash_s:.2f} s"),
    ]


def _put_back(recording: Path, bag: Path, info: bytes, size: int, end: bytes) -> None:
    (recording / "recording.json").write_bytes(info)
    for name in ("SHA256SUMS", "metadata.yaml"):
        (recording / name).unlink(missing_ok=True)
    with bag.open("r+b") as file:
        file.truncate(size)
        file.seek(size - len(end))
        file.write(end)


def _truncations(divisor: int) -> list[Row]:
    return truncations(TRUNCATIONS // divisor, memory())


def memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (the time wanted is ours, not the disk's)


if __name__ == "__main__":
    sys.exit(main())
