"""Hours of recording at a fifth of a rig's rate, of which the last gigabytes are kept: does memory stay flat, and does the account hold?

    python -m benchmarks.soak [--hours 2] [--slower 5] [--keep 5GB] [--workspace FOLDER]

`fieldrig record --keep` in a process of its own is fed by benchmarks/rig_sender.py over real sockets, and its page is open somewhere. Resident
memory of the recorder and of its page's process is sampled every few seconds. Older files are verified, then deleted, by the recorder itself;
at the end `fieldrig verify` reads what was kept.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
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

from benchmarks.loaded_process import Sender, free_ports
from benchmarks.page_viewer import PageViewer
from benchmarks.table import Row, show
from capture.bag.rosbag import topic_of
from capture.commands.amounts import size_bytes
from capture.recording import open_recording
from capture.recording_info import RecordingInfo
from capture.verify import verify

_SAMPLE_S = 5.0
_TOLD_EVERY = 120  # samples
_WARM_SHARE = 0.1  # of the run, at its beginning: buffers are still being filled
GROWTH_MB_H = 10.0
_END_S = 300.0


@dataclass(slots=True)
class Memory:
    """Resident memory of one process: (hours since the beginning, MB) every few seconds."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def warm(self) -> list[tuple[float, float]]:
        return self.samples[round(len(self.samples) * _WARM_SHARE) :]

    def growth_mb_h(self) -> float:
        """The slope of a line through the warm samples."""
        hours, megabytes = zip(*self.warm, strict=True)
        return statistics.linear_regression(hours, megabytes).slope


@dataclass(frozen=True, slots=True)
class Soaked:
    """sent: packets of each stream."""

    recorder: Memory
    page: Memory
    viewer: PageViewer
    sent: dict[str, int]


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="fieldrig-soak-", dir=options.workspace) as name:
        folder = Path(name)
        soaked = _record(options, folder)
        (recording,) = (folder / "recordings").glob("2*")
        rows = [
            *_memory_rows("the recorder", soaked.recorder),
            *_memory_rows("its page", soaked.page),
            Row("page open meanwhile: states, pictures", f"{soaked.viewer.states}, {soaked.viewer.pictures}"),
            *_account_rows(recording, soaked.sent, size_bytes(options.keep)),
        ]
    show(f"soak, {options.hours:g} h at 1/{options.slower:g} of the rate, the last {options.keep} kept", rows)
    return 0 if all(row.met is not False for row in rows) else 1


def _record(options: argparse.Namespace, folder: Path) -> Soaked:
    seconds = options.hours * 3600
    (port,) = free_ports(1, socket.SOCK_STREAM)
    with Sender.started(0, folder) as sender:
        rig = folder / "rig.toml"
        rig.write_text(f'name = "soak"\n{sender.sensors}\n', encoding="utf-8")
        said = ["record", str(rig), "--workspace", str(folder), "--keep", options.keep, "--page-port", str(port)]
        with subprocess.Popen([sys.executable, "-m", "fieldrig", *said], stdout=subprocess.DEVNULL) as process:
            sender.wait_until_read(process)
            time.sleep(2)
            with PageViewer.looking(port) as viewer, _sampled(process.pid) as (recorder, page):
                sender.go(seconds, options.slower)
                sender.take_account()
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.wait(_END_S)
    return Soaked(recorder, page, viewer, sender.sent)


@contextlib.contextmanager
def _sampled(pid: int) -> Iterator[tuple[Memory, Memory]]:
    """Of a recorder, and of its page: the one process that it starts."""
    recorder, page, over = Memory(), Memory(), threading.Event()
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    if len(processes) != 2:
        raise RuntimeError(f"the recorder has started {len(processes) - 1} processes; only its page's was expected")

    def sample() -> None:
        began_s = time.monotonic()
        while not over.wait(_SAMPLE_S):
            hours = (time.monotonic() - began_s) / 3600
            for process, memory in zip(processes, (recorder, page), strict=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    memory.samples.append((hours, process.memory_info().rss / 1e6))
            if len(recorder.samples) % _TOLD_EVERY == 0:
                held = ", ".join(f"{memory.samples[-1][1]:.1f}" for memory in (recorder, page) if memory.samples)
                sys.stderr.write(f"after {hours:.2f} h: {held} MB\n")

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield recorder, page
    finally:
        over.set()
        thread.join()


def _memory_rows(whose: str, memory: Memory) -> list[Row]:
    held, growth = [mb for _, mb in memory.warm], memory.growth_mb_h()
    tenth = max(1, len(held) // 10)
    first, last = statistics.median(held[:tenth]), statistics.median(held[-tenth:])
    return [
        Row(f"{whose}: resident memory, {len(memory.samples)} samples: least, median, most",
            f"{min(held):.1f}, {statistics.median(held):.1f}, {max(held):.1f} MB"),
        Row(f"{whose}: its first tenth, its last tenth", f"{first:.1f}, {last:.1f} MB"),
        Row(f"{whose}: its growth", f"{growth:+.2f} MB/h", f"< {GROWTH_MB_H:g}", growth < GROWTH_MB_H),
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
