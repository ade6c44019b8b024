"""The recorder under load: `fieldrig record` in a process of its own, fed over real sockets, against sockets that are only emptied.

    python -m benchmarks.load [--seconds 60] [--runs 3] [--peer-runs 1] [--rigs 1 3] [--workspace FOLDER] [--peers mcap drain]

Everything takes turns: fieldrig, each peer, fieldrig with its page open, fieldrig again, ...

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
TARGET_DELAY_MS, TARGET_UNSYNCED_MS = 250.0, 2000.0
PEERS = {
    "drain": "sockets emptied, nothing written (the floor)",
    "mcap": "plain mcap writer, CRC, on fieldrig's intake",
    "rosbags": "rosbags' MCAP writer on fieldrig's intake",
    "foxglove": "foxglove-sdk's MCAP writer on fieldrig's intake",
}


ABSENT = {
    "rosbag2 record": "it comes with a ROS 2 installation only",
    "LeRobot's recorder": "it writes decoded frames of one process's cameras; there is nothing that takes packets",
    "Foxglove's agent": "it uploads recordings that others have made; its SDK's writer is above",
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
    rows, is_sound = [], True
    for rigs in options.rigs:
        own, looked_at, peers = _runs(rigs, options)
        rows += [*_own_rows(rigs, own), *_page_rows(own, looked_at), *_peer_rows(own, peers)]
        is_sound &= all(run.is_sound for run in own)
    title = (
        f"load, {options.seconds:g} s, median of {options.runs} (peers, and with the page open: {options.peer_runs})"
    )
    show(title, [*rows, *(Row(name, f"not compared: {why}") for name, why in ABSENT.items())])
    return 0 if is_sound else 1


def _runs(rigs: int, options: Options) -> tuple[list[Loaded], list[Loaded], dict[RecordedBy, list[Loaded]]]:
    """fieldrig's; those with its page open; the peers'. They take turns, so that a busy machine is busy for all."""

    def run(by: RecordedBy, *, is_looked_at: bool = False) -> Loaded:
        with tempfile.TemporaryDirectory(prefix="fieldrig-load-", dir=options.workspace) as folder:
            found = load_by(by, rigs, options.seconds, Path(folder), is_looked_at=is_looked_at)
        sys.stderr.write(f"{by} {rigs} rigs{', its page open' if is_looked_at else ''}: {found}\n")
        return found

    own, looked_at = list[Loaded](), list[Loaded]()
    peers: dict[RecordedBy, list[Loaded]] = {RecordedBy(peer): [] for peer in options.peers if options.peer_runs}
    for turn in range(max(options.runs, options.peer_runs)):
        if turn < options.runs:
            own.append(run(RecordedBy.FIELDRIG))
        if turn < options.peer_runs:
            looked_at.append(run(RecordedBy.FIELDRIG, is_looked_at=True))
            for peer, runs in peers.items():
                runs.append(run(peer))
    return own, looked_at, peers


def _own_rows(rigs: int, runs: list[Loaded]) -> list[Row]:
    cores, delay_ms = statistics.median(run.cores for run in runs), max(run.delay_p99_ms for run in runs)
    lost = sum(run.sent - run.recorded for run in runs)
    unequal = sum(run.unequal_streams for run in runs)
    doubtful = sum(run.verdict != "good" for run in runs)
    unsynced_ms = max(run.unsynced_ms for run in runs)
    limit = TARGET_CORES[rigs]
    who = _who(runs)
    return [
        Row(f"{who}: lost", f"{lost} of {sum(run.sent for run in runs)}", "0", lost == 0),
        Row(f"{who}: streams recorded otherwise than sent", f"{unequal} of {sum(r.streams for r in runs)}", "0", unequal == 0),
        Row(f"{who}: recordings whose verdict is not good", f"{doubtful} of {len(runs)}", "0", doubtful == 0),
        Row(f"{who}: CPU", f"{cores:.3f} cores", f"<= {limit:.2f}", cores <= limit),
        Row(f"{who}: p99 from arrival to written, worst run", f"{delay_ms:.0f} ms", f"< {TARGET_DELAY_MS:.0f}", delay_ms < TARGET_DELAY_MS),
        Row(f"{who}: longest", f"{max(run.delay_longest_ms for run in runs):.0f} ms"),
        Row(f"{who}: what a power cut would have cost at worst", f"{unsynced_ms:.0f} ms", f"< {TARGET_UNSYNCED_MS:.0f}", unsynced_ms < TARGET_UNSYNCED_MS),
        Row(f"{who}: peak memory, its children's included", f"{max(run.peak_mb for run in runs):.0f} MB"),
        Row(f"{who}: packets that the sender sent late, at most", f"{max(run.late_ms for run in runs):.0f} ms"),
    ]  # fmt: skip


def _page_rows(closed: list[Loaded], looked_at: list[Loaded]) -> list[Row]:
    """What somebody who looks costs the recorder."""
    if not looked_at:
        return []
    ratio = statistics.median(run.own_cores for run in looked_at) / statistics.median(run.own_cores for run in closed)
    lost = sum(run.sent - run.recorded for run in looked_at)
    return [
        Row(f"{_who(closed)}, its page open: lost", f"{lost} of {sum(run.sent for run in looked_at)}", "0", lost == 0),
        Row(f"{_who(closed)}: CPU of its own process, page open / closed", f"{ratio:.2f}", is_ratio=True),
    ]


def _peer_rows(own: list[Loaded], peers: dict[RecordedBy, list[Loaded]]) -> list[Row]:
    cores = statistics.median(run.cores for run in own)
    rows = []
    for peer, runs in peers.items():
        theirs = statistics.median(run.cores for run in runs)
        lost = sum(run.sent - run.recorded for run in runs)
        figure = f"{cores / theirs:.2f} (it: {theirs:.3f} cores, {lost} lost)"
        rows.append(Row(f"{_who(own)}: CPU / {PEERS[peer]}", figure, is_ratio=True))
    return rows


def _who(runs: list[Loaded]) -> str:
    return f"fieldrig record, {statistics.median(run.mb_s for run in runs):.0f} MB/s"


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
