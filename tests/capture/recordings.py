"""Whole recordings, written without a recorder: of a robot's two streams, in as many files as asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from capture.bag.diagnostics import Status
from capture.bag.writer import BagWriter
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import Losses, SegmentInfo
from capture.workspace import Workspace
from devices.device import Stream
from devices.samples import Packet, Stamps
from tests.capture.rigs import line, robot_rig

STREAMS = [Stream("robot/state", "vector.json"), Stream("robot/action", "vector.json")]
START_NS = 1_750_000_000_000_000_000
PERIOD_NS = 10_000_000


def write_recording(
    workspace: Workspace,
    *,
    segments: int = 3,
    packets: int = 60,
    padding: int = 20,
    keep: Callable[[int, int], bool] = lambda *_: True,
    late_ns: Callable[[int], int] = lambda _: 0,
    health_values: Mapping[str, str] = MappingProxyType({}),
    **described: object,
) -> Path:
    """A finished recording. packets: of each stream in each file, 10 ms apart; keep(stream, sequence): whether it is really written;
    late_ns(sequence): how much later it arrived.

    described: fields of recording.json.
    """
    folder, info = begin_folder(workspace, robot_rig(9001, 9002), STREAMS)
    files, infos, written = {}, [], [0, 0]
    for number in range(segments):
        bag = BagWriter(folder / f"{folder.name}_{number}.mcap", STREAMS)
        bag.add_health(START_NS + number * packets * PERIOD_NS, [])
        bag.close_chunk()
        for sequence in range(number * packets, (number + 1) * packets):
            host_ns = START_NS + sequence * PERIOD_NS
            for index, stream in enumerate(STREAMS):
                if keep(index, sequence):
                    data = line(host_ns - 5_000_000, stream.name.partition("/")[2], sequence, padding)
                    arrival_ns = host_ns + index + late_ns(sequence)
                    packet = Packet(stream.name, Stamps(arrival_ns, host_ns - 5_000_000), data)
                    bag.add(index, sequence, packet, host_ns)
                    written[index] += 1
        bag.add_health(START_NS + (number + 1) * packets * PERIOD_NS, _health(written, health_values))
        summary, sha256 = bag.finish()
        name, size = bag.path.name, bag.path.stat().st_size
        files[name] = summary
        infos.append(SegmentInfo(name=name, sha256=sha256, size_bytes=size, start_ns=summary.start_ns, end_ns=summary.end_ns, counts=summary.counts))  # fmt: skip
    changes = {
        "started_ns": START_NS,
        "ended_ns": START_NS + segments * packets * PERIOD_NS,
        "losses": {stream.name: Losses() for stream in STREAMS},
        "segments": tuple(infos),
        "verdict": "good",
        **described,
    }
    close_folder(folder, info.model_copy(update=changes), files, {each.name: each.sha256 for each in infos})
    return folder


def _health(written: list[int], changed: Mapping[str, str]) -> list[Status]:
    values = {"lost_before_read": "0", "dropped_in_queue": "0"} | changed
    return [
        Status(0, stream.name, "", {"recorded": str(count), **values})
        for stream, count in zip(STREAMS, written, strict=True)
    ]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Raises TimeoutError when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
