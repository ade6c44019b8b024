"""Which packets and losses are a recording's: those between its borders, and in none of its pauses."""

from __future__ import annotations

import time

from capture.inlet import Inlet
from capture.packet_queue import PacketQueue
from capture.tally import Tally
from devices.device import ClockSource, Stream
from devices.samples import Packet, Stamps


class Lossy:
    """A source that knows what it has lost."""

    stream = Stream("flood/data", "raw")
    clock_source = ClockSource.NONE
    lost = 0

    def read(self, timeout_s: float) -> list[Packet]:
        return []

    def close(self) -> None:
        pass


def arrived(queue: PacketQueue, inlet: Inlet, count: int) -> None:
    packets = [Packet("flood/data", Stamps(time.time_ns()), bytes(800)) for _ in range(count)]
    queue.put(inlet, packets)
    inlet.catch_up(packets[-1].stamps.host_ns)


def written(queue: PacketQueue, tally: Tally) -> list[int]:
    """The sequence numbers of what waits."""
    batch = queue.take(0) or []
    for queued in batch:
        queue.release(queued)
    return [tally.admit(queued) for queued in batch]


def test_what_is_lost_in_a_pause_or_behind_the_end_is_no_loss_and_leaves_no_gap() -> None:
    source = Lossy()
    queue, inlet = PacketQueue(2000), Inlet(0, source)
    tally = Tally(inlet)
    arrived(queue, inlet, 5)
    queue.take(0)
    queue = PacketQueue(2000)
    queue.draw_border([inlet])
    tally.begin()

    arrived(queue, inlet, 3)
    source.lost += 1
    assert written(queue, tally) == [0, 1]

    queue.draw_border([inlet])
    tally.pause()
    arrived(queue, inlet, 7)
    source.lost += 10
    assert (tally.lost, tally.dropped) == (1, 1), "while it lasts"
    for queued in queue.take(0) or ():
        tally.withhold()
        queue.release(queued)
    queue.draw_border([inlet])
    tally.resume()

    arrived(queue, inlet, 3)
    source.lost += 1
    assert written(queue, tally) == [3, 4], "of what was sent, number 2 and 5 found no room"
    queue.draw_border([inlet])
    tally.end()
    arrived(queue, inlet, 5)
    source.lost += 100
    assert (tally.received, tally.admitted, tally.dropped, tally.lost) == (6, 4, 2, 2)


def test_what_waited_when_a_pause_began_keeps_its_numbers_whatever_the_pause_drops_meanwhile() -> None:
    queue, inlet = PacketQueue(4000), Inlet(0, Lossy())
    tally = Tally(inlet)
    tally.begin()
    arrived(queue, inlet, 6)
    waiting = queue.take(0) or []
    assert [tally.admit(queued) for queued in waiting[:2]] == [0, 1]

    queue.draw_border([inlet])
    tally.pause()
    arrived(queue, inlet, 3)
    assert (inlet.dropped, tally.dropped) == (5, 2), "what is being written takes all the room"
    assert [tally.admit(queued) for queued in waiting[2:]] == [2, 3]
    for queued in waiting:
        queue.release(queued)

    queue.draw_border([inlet])
    tally.resume()
    arrived(queue, inlet, 3)
    assert written(queue, tally) == [6, 7, 8], "of what was sent, numbers 4 and 5 found no room"
    queue.draw_border([inlet])
    tally.end()
    assert (tally.received, tally.admitted, tally.dropped) == (9, 7, 2)


def test_what_is_rejected_before_a_recording_in_a_pause_or_behind_the_end_is_none_of_its_own() -> None:
    class Picky(Lossy):
        remark = ""

        def __init__(self) -> None:
            self.rejected: dict[str, int] = {"wrong size": 5}

        def reject(self, count: int) -> None:
            self.rejected = {"wrong size": self.rejected["wrong size"] + count}

    source = Picky()
    queue, inlet = PacketQueue(1 << 20), Inlet(0, source)
    tally = Tally(inlet)

    def border() -> None:
        queue.draw_border([inlet])
        inlet.pass_border()

    border()
    tally.begin()
    for _ in range(2):
        source.reject(1)
        border()
        tally.pause()
        source.reject(20)
        assert sum(tally.rejected.values()) in (1, 2), "while it lasts"
        border()
        tally.resume()
    source.reject(1)
    border()
    tally.end()
    source.reject(300)
    assert tally.rejected == {"wrong size": 3}
