"""What is held in memory for a snapshot, and what its account says."""

from __future__ import annotations

import time

import pytest

from capture import memory as module
from capture.inlet import Inlet
from capture.memory import Memory
from capture.packet_queue import PacketQueue
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps


class Picky:
    """A source that rejects packets, and loses some."""

    stream = Stream("lidar/points", "raw")
    clock_source = ClockSource.NONE
    remark = ""

    def __init__(self) -> None:
        self.lost = 0
        self.rejected: dict[str, int] = {}

    def read(self, timeout_s: float) -> list[Packet]:
        return []

    def close(self) -> None: ...


@pytest.mark.parametrize("is_old", [True, False])
def test_what_was_lost_or_rejected_before_a_memory_s_reach_is_none_of_its_snapshot_s(
    monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    monkeypatch.setattr(module, "_TEND_S", 0.02)
    source = Picky()
    inlet, queue = Inlet(0, source), PacketQueue(1 << 20)
    memory = Memory(2.0, 1 << 20, [inlet])

    def run(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            queue.put(inlet, [Packet("lidar/points", Stamps(HOST_CLOCK.now_ns()), b"x")])
            for queued in queue.take(0) or ():
                memory.take(queued, 0)
                queue.release(queued)
            memory.tend()
            time.sleep(0.002)

    run(0.4)
    source.lost, source.rejected = 2, {"wrong size": 1}
    run(2.5 if is_old else 0.05)
    queue.draw_border([inlet])
    inlet.pass_border()
    (tally,) = memory.tallies()
    assert (tally.lost, dict(tally.rejected)) == ((0, {}) if is_old else (2, {"wrong size": 1}))


def test_what_is_rejected_or_lost_behind_a_snapshot_s_trigger_is_none_of_its_own() -> None:
    source = Picky()
    inlet, queue = Inlet(0, source), PacketQueue(1 << 20)
    memory = Memory(10, 1 << 20, [inlet])
    memory.tend()
    source.lost, source.rejected = 2, {"wrong size": 1}
    queue.draw_border([inlet])
    inlet.pass_border()
    (tally,) = memory.tallies()
    source.lost, source.rejected = 7, {"wrong size": 4, "wrong CRC": 1}
    assert (tally.lost, dict(tally.rejected)) == (2, {"wrong size": 1})


def test_what_a_memory_knew_of_its_reach_holds_until_the_next_one_knows_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_JUDGED_S", 2.0)
    inlet, queue = Inlet(0, Picky()), PacketQueue(1 << 30)

    def fill(memory: Memory, count: int) -> None:
        queue.put(inlet, [Packet("lidar/points", Stamps(time.time_ns()), bytes(800))] * count)
        for queued in queue.take(0) or ():
            memory.take(queued, 0)
            queue.release(queued)

    memory = Memory(5, 100_000, [inlet])
    assert memory.alarm == ""
    fill(memory, 200)
    assert memory.alarm
    young = memory.emptied()
    assert young.alarm == memory.alarm
    assert young.emptied().alarm == memory.alarm, "one that was emptied before it knew anything"
    fill(young, 3)
    time.sleep(2.2)
    assert young.alarm == "", "2 s in 3 kB: what comes now is little"
