"""The recorder under load: `fieldrig record` in a process of its own, fed over real sockets, against sockets that are only emptied.

    python -m benchmarks.load [--seconds 60] [--runs 3] [--peer-runs 1] [--rigs 1 3] [--workspace FOLDER] [--peers mcap drain]

A rig is what benchmarks/rig_sender.py sends: 58 MB/s. Three rigs are three of everything (9 cameras, 3 lidars, 3 IMUs): 174 MB/s.
CPU is user and system time of the recorder and all its children, from the first packet sent to the last, in cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loaded_process import Loaded, RecordedBy, load_by
from benchmarks.table import Row, show

TARGET_CORES = {1: 0.25, 3: 1.0}
TARGET_DELAY_MS = 250.0
PEERS = {
    "drain": "sockets emptied, nothing written (the floor)",
    "mcap": "plain mcap writer, CRC, on fieldrig's intake",
    "rosbags": "rosbags' MCAP writer on fieldrig's intake",
    "foxglove": "foxglove-sdk's MCAP writer on fieldrig's intake",
}


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float
    runs: int
    peer_runs: int
    rigs: list[int]
    workspace: Path
    peers: list[str]


def main() -> int:
    options = _options()
    rows, sound = [], True
    for rigs in options.rigs:
        for by in (RecordedBy.FIELDRIG, *(RecordedBy(peer) for peer in options.peers)):
            runs = []
            for number in range(options.runs if by is RecordedBy.FIELDRIG else options.peer_runs):
                with tempfile.TemporaryDirectory(prefix="fieldrig-load-", dir=options.workspace) as folder:
                    runs.append(load_by(by, rigs, options.seconds, Path(folder)))
                sys.stderr.write(f"{by} {rigs} rigs, run {number + 1}: {runs[-1]}\n")
            sound &= by is not RecordedBy.FIELDRIG or all(run.is_sound for run in runs)
            rows += _own_rows(rigs, runs) if by is RecordedBy.FIELDRIG else [_peer_row(by, runs)]
    title = f"load, {options.seconds:g} s, median of {options.runs} (peers: {options.peer_runs})"
    show(title, [*rows, Row("rosbag2 record", "cannot be installed here: not compared")])
    return 0 if sound else 1


def _own_rows(rigs: int, runs: list[Loaded]) -> list[Row]:
    cores, delay_ms = statistics.median(run.cores for run in runs), max(run.delay_p99_ms for run in runs)
    lost = sum(run.sent - run.recorded for run in runs)
    unequal = sum(run.unequal_streams for run in runs)
    rate = statistics.median(run.mb_s for run in runs)
    limit = TARGET_CORES[rigs]
    who = f"fieldrig record, {rate:.0f} MB/s"
    return [
        Row(f"{who}: lost", f"{lost} of {sum(run.sent for run in runs)}", "0", lost == 0),
        Row(f"{who}: streams recorded otherwise than sent", f"{unequal} of {sum(r.streams for r in runs)}", "0", unequal == 0),
        Row(f"{who}: CPU", f"{cores:.3f} cores", f"<= {limit:.2f}", cores <= limit),
        Row(f"{who}: p99 from arrival to written, worst run", f"{delay_ms:.0f} ms", f"< {TARGET_DELAY_MS:.0f}", delay_ms < TARGET_DELAY_MS),
        Row(f"{who}: longest", f"{max(run.delay_longest_ms for run in runs):.0f} ms"),
        Row(f"{who}: peak memory, its children's included", f"{max(run.peak_mb for run in runs):.0f} MB"),
        Row(f"{who}: packets that the sender sent late, at most", f"{max(run.late_ms for run in runs):.0f} ms"),
    ]  # fmt: skip


def _peer_row(by: RecordedBy, runs: list[Loaded]) -> Row:
    cores, lost = statistics.median(run.cores for run in runs), sum(run.sent - run.recorded for run in runs)
    rate = statistics.median(run.mb_s for run in runs)
    return Row(f"{PEERS[by]}, {rate:.0f} MB/s", f"{cores:.3f} cores, {lost} lost")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-runs", type=int, default=1)
    parser.add_argument("--rigs", type=int, nargs="+", default=[1, 3], choices=TARGET_CORES)
    parser.add_argument("--workspace", type=Path, default=Path.cwd(), help="the disk to be recorded to; default: here")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS, help="default: all")
    chosen = parser.parse_args()
    return Options(chosen.seconds, chosen.runs, chosen.peer_runs, chosen.rigs, chosen.workspace, chosen.peers)


if __name__ == "__main__":
    sys.exit(main())
