"""Large recordings that their recorder left behind unfinished, made without one: what repair is timed on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from capture.bag.clock_sample import ClockSample
from capture.bag.diagnostics import Status
from capture.bag.writer import BagWriter
from capture.clock.filter import ClockFilter
from capture.recording_folder import begin_folder
from capture.workspace import Workspace
from devices.device import Stream
from devices.samples import Packet, Stamps
from tests.capture.rigs import robot_rig

STREAMS = [Stream("robot/state", "vector.json"), Stream("robot/action", "vector.json")]
SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Load:
    """packets: in all; each of so many bytes; so many a second, as sensors would send them."""

    name: str
    packets: int
    bytes_each: int
    rate_hz: float


def leave_unfinished(folder: Path, load: Load) -> Path:
    """A recording of one file with health and clock once a second, in chunks of 80 ms or 1 MB, its last 1,000 bytes torn off."""
    recording, _ = begin_folder(Workspace(folder), robot_rig(9001, 9002), STREAMS)
    bag = BagWriter(recording / f"{recording.name}_0.mcap", STREAMS)
    filters = [ClockFilter() for _ in STREAMS]
    start_ns, payload = time.time_ns(), os.urandom(load.bytes_each)
    chunk_ns, second_ns = start_ns, start_ns
    _add_health(bag, start_ns, [0, 0])
    bag.close_chunk()
    for number in range(load.packets):
        now_ns = start_ns + round(number / load.rate_hz * SECOND_NS)
        stream = number % 2
        if now_ns - chunk_ns >= SECOND_NS * 8 // 100:
            bag.close_chunk()
            chunk_ns = now_ns
        if now_ns - second_ns >= SECOND_NS:
            _add_health(bag, now_ns, [bag.accepted(0), bag.accepted(1)])
            _add_clocks(bag, now_ns, filters)
            second_ns = now_ns
        if number % 50 < 2:
            filters[stream].add(now_ns - 5_000_000, now_ns)
        bag.add(stream, number // 2, Packet(STREAMS[stream].name, Stamps(now_ns, now_ns - 5_000_000), payload), now_ns)
    bag.close_chunk()
    _abandon(bag)
    os.truncate(bag.path, bag.path.stat().st_size - 1000)
    return recording


def _add_health(bag: BagWriter, now_ns: int, counts: list[int]) -> None:
    values = {"lost_before_read": "0", "dropped_in_queue": "0"}
    bag.add_health(
        now_ns,
        [
            Status(0, stream.name, "", {"recorded": str(count), **values})
            for stream, count in zip(STREAMS, counts, strict=True)
        ],
    )


def _add_clocks(bag: BagWriter, now_ns: int, filters: list[ClockFilter]) -> None:
    fits = [clock.fit() for clock in filters]
    bag.add_clocks(
        now_ns,
        [
            ClockSample(stream.name, now_ns - 5_000_000, now_ns, fit)
            for stream, fit in zip(STREAMS, fits, strict=True)
            if fit is not None
        ],
    )


def _abandon(bag: BagWriter) -> None:
    """As a kill would, but for the threads, which have to go."""
    bag._syncer.stop()  # noqa: SLF001
    bag._hash.stop()  # noqa: SLF001
    bag._file.close()  # noqa: SLF001
