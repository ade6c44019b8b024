"""Hours of recording at a fifth of a rig's rate, of which the last gigabytes are kept: does memory stay flat, and does the account hold?

    python -m benchmarks.soak [--hours 2] [--slower 5] [--keep 5GB] [--workspace FOLDER]

`fieldrig record --keep` in a process of its own is fed by benchmarks/rig_sender.py over real sockets. Its resident memory is sampled every
few seconds. Older files are verified, then deleted, by the recorder itself; at the end `fieldrig verify` reads what was kept.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.loaded_process import Sender
from benchmarks.table import Row, show
from capture.bag.rosbag import topic_of
from capture.commands.amounts import size_bytes
from capture.recording import open_recording
from capture.recording_info import RecordingInfo
from capture.verify import verify

_SAMPLE_S = 5.0
_WARM_SHARE = 0.1  # of the run, at its beginning: buffers are still being filled
GROWTH_MB_H = 10.0
_END_S = 300.0


@dataclass(slots=True)
class Memory:
    """Resident memory of a process: (hours since the beginning, MB) every few seconds."""

    pid: int
    samples: list[tuple[float, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def sampled(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._sample, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _sample(self, over: threading.Event) -> None:
        process, began_s = psutil.Process(self.pid), time.monotonic()
        while not over.wait(_SAMPLE_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.samples.append(((time.monotonic() - began_s) / 3600, process.memory_info().rss / 1e6))

    @property
    def warm(self) -> list[tuple[float, float]]:
        return self.samples[round(len(self.samples) * _WARM_SHARE) :]

    def growth_mb_h(self) -> float:
        """The slope of a line through the warm samples."""
        hours, megabytes = zip(*self.warm, strict=True)
        return statistics.linear_regression(hours, megabytes).slope


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="fieldrig-soak-", dir=options.workspace) as name:
        folder = Path(name)
        memory, sent = _record(options, folder)
        (recording,) = (folder / "recordings").glob("2*")
        rows = [*_memory_rows(memory), *_account_rows(recording, sent, size_bytes(options.keep))]
    show(f"soak, {options.hours:g} h at 1/{options.slower:g} of the rate, the last {options.keep} kept", rows)
    return 0 if all(row.met is not False for row in rows) else 1


def _record(options: argparse.Namespace, folder: Path) -> tuple[Memory, dict[str, int]]:
    seconds = options.hours * 3600
    with Sender.started(0, folder) as sender:
        rig = folder / "rig.toml"
        rig.write_text(f'name = "soak"\n{sender.sensors}\n', encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "fieldrig",
            "record",
            str(rig),
            "--workspace",
            str(folder),
            "--keep",
            options.keep,
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            sender.wait_until_read()
            time.sleep(2)
            memory = Memory(process.pid)
            with memory.sampled():
                sender.go(seconds, options.slower)
                sender.take_account(seconds)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.wait(_END_S)
    return memory, sender.sent


def _memory_rows(memory: Memory) -> list[Row]:
    held, growth = [mb for _, mb in memory.warm], memory.growth_mb_h()
    tenth = max(1, len(held) // 10)
    first, last = statistics.median(held[:tenth]), statistics.median(held[-tenth:])
    return [
        Row(f"resident memory, {len(memory.samples)} samples: least, median, most",
            f"{min(held):.1f}, {statistics.median(held):.1f}, {max(held):.1f} MB"),
        Row("its first tenth, its last tenth", f"{first:.1f}, {last:.1f} MB"),
        Row("its growth", f"{growth:+.2f} MB/h", f"< {GROWTH_MB_H:g}", growth < GROWTH_MB_H),
    ]  # fmt: skip


def _account_rows(recording: Path, sent: dict[str, int], keep_bytes: int) -> list[Row]:
    opened = open_recording(recording)
    lost = {name: count - _taken(opened.info, name) for name, count in sent.items()}
    kept_bytes = sum(path.stat().st_size for path in opened.files)
    deleted = sum(segment.deleted for segment in opened.info.segments)
    largest = max(segment.size_bytes for segment in opened.info.segments)
    damage = verify(recording, decode=False).damage
    return [
        Row("packets sent and neither kept nor given up", f"{sum(map(abs, lost.values()))} of {sum(sent.values())}", "0",
            not any(lost.values())),
        Row("kept at the end", f"{kept_bytes / 1e9:.2f} GB in {len(opened.files)} files; {deleted} verified and deleted",
            f"<= {(keep_bytes + 2 * largest) / 1e9:.2f} GB", kept_bytes <= keep_bytes + 2 * largest),
        Row("`fieldrig verify` of what was kept", "; ".join(damage) or "whole", "whole", not damage),
    ]  # fmt: skip


def _taken(info: RecordingInfo, stream: str) -> int:
    """Packets of a stream in all files, those given up included."""
    return sum(segment.counts.get(topic_of(stream), 0) for segment in info.segments)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--slower", type=float, default=5.0, help="than the sensors; default: 5")
    parser.add_argument("--keep", default="5GB")
    parser.add_argument("--workspace", type=Path, default=Path.cwd(), help="the disk to be recorded to; default: here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
