"""Recorders in processes of their own, fed over real sockets and killed; and what of what was sent to them is missing then."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from capture.recording import Recording
from devices.host_clock import HOST_CLOCK
from tests.capture.rigs import Sender, free_ports, write_rig
from tests.capture.synced import SYNCED_LOG, last_named, last_synced

ROOT = Path(__file__).parent.parent.parent


class Killed:
    """A recorder process fed over UDP, and what was sent to it and when."""

    def __init__(self, folder: Path, rate_hz: float, padding: int, sizes: Sequence[int] = ()) -> None:
        self.workspace = folder
        self.ports = dict(zip(("state", "action"), free_ports(2), strict=True))
        self.synced_log = folder / "synced.log"
        rig = write_rig(folder / "rig.toml", self.ports["state"], self.ports["action"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.capture.recording_process", rig, folder, *map(str, sizes)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {SYNCED_LOG: str(self.synced_log)},
        )
        self.sender = Sender(self.ports, rate_hz, padding)

    @property
    def folder(self) -> Path:
        (folder,) = (self.workspace / "recordings").iterdir()
        return folder

    def wait_until_open(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it speaks once its sockets are open

    def kill(self, after_s: float) -> int:
        """Kills the recorder in mid-stream; returns when (host ns)."""
        with self.sender:
            time.sleep(after_s)
            self.process.send_signal(signal.SIGKILL)
            killed_ns = HOST_CLOCK.now_ns()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return killed_ns

    def cut_power(self) -> int:
        """Takes from the killed recorder what had not been synced, as a power cut at the kill would; returns how many bytes.

        A file whose name had not been synced is gone, and so is a folder with all that is in it.
        """
        folder, synced, named, taken = self.folder, last_synced(self.synced_log), last_named(self.synced_log), 0
        for path in folder.glob("*.mcap"):
            size = path.stat().st_size
            left = min(size, synced.get(str(path), 0))
            taken += size - left
            if str(path) in named:
                os.truncate(path, left)
            else:
                path.unlink()
        if not {str(folder), str(folder.parent)} <= named:
            shutil.rmtree(folder)
        return taken

    def missing(self, recording: Recording, killed_ns: int) -> Missing:
        """What was sent before the kill and is not in the repaired recording. Raises AssertionError unless that is the newest alone."""
        worst_ms, packets = 0.0, 0
        for topic, sent in self.sender.sent.items():
            numbers = [int(each.sample.values[0]) for each in recording.samples([f"robot/{topic}"])]  # type: ignore[union-attr]
            if numbers != list(range(len(numbers))):
                raise AssertionError(f"{recording.id}: something older is missing on {topic}")
            due = sum(1 for t_ns in sent if t_ns < killed_ns)
            if len(numbers) < due:
                worst_ms = max(worst_ms, (killed_ns - sent[len(numbers)]) / 1e6)
                packets += due - len(numbers)
        return Missing(worst_ms, packets)


@dataclass(frozen=True, slots=True)
class Missing:
    """worst_ms: from the sending of the oldest missing packet to the kill."""

    worst_ms: float
    packets: int


def recorders(folder: Path, count: int, chance: random.Random, sizes: Sequence[int] = ()) -> Iterator[Killed]:
    """Recorders that are ready, one after the other; two at a time start up, which is what takes the time."""
    for first in range(0, count, 2):
        pair = []
        for number in range(first, min(first + 2, count)):
            place = folder / str(number)
            place.mkdir()
            pair.append(Killed(place, rate_hz=400, padding=chance.choice((0, 150)), sizes=sizes))
        for each in pair:
            each.wait_until_open()
            yield each


def read_strictly(folder: Path) -> int:
    """Messages of a recording that both foreign readers find: `mcap` in its files, every CRC checked, and rosbags in the folder."""
    ours = 0
    for path in folder.glob("*.mcap"):
        with path.open("rb") as file:
            ours += sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages())
    with AnyReader([folder]) as reader:
        theirs = sum(1 for _ in reader.messages())
        assert theirs == reader.message_count
    assert ours == theirs
    return ours
