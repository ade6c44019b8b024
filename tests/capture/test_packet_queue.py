"""The queue between the reading threads and the writing one: bounded, in order, and waking its taker for batches."""

from __future__ import annotations

import threading
import time

from capture.inlet import Inlet
from capture.limits import Limits
from capture.packet_queue import BATCH_S, PacketQueue, Queued
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet, Stamps


class Silent:
    """A source of which only the name is needed."""

    stream = Stream("flood/data", "raw")
    lost = 0
    clock_source = ClockSource.NONE

    def read(self, timeout_s: float) -> list[Packet]:
        return []

    def close(self) -> None:
        pass


def packet(number: int, size: int = 100) -> Packet:
    return Packet("flood/data", Stamps(HOST_CLOCK.now_ns(), number), bytes(size))


def taken_in(queue: PacketQueue, seconds: float) -> list[list[Queued]]:
    """The batches that a diligent writer gets."""
    batches, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        batch = queue.take(0.05)
        if batch:
            batches.append(batch)
            for queued in batch:
                queue.release(queued)
    return batches


def test_a_thousand_packets_a_second_wake_the_writer_a_hundred_times() -> None:
    queue, inlet, over = PacketQueue(1 << 20), Inlet(0, Silent()), threading.Event()

    def send() -> None:
        while not over.wait(0.001):
            queue.put(inlet, [packet(inlet.received)])

    sender = threading.Thread(target=send)
    sender.start()
    batches = taken_in(queue, 0.5)
    over.set()
    sender.join()
    assert inlet.received > 100
    assert len(batches) <= 0.5 / BATCH_S + 2
    numbers = [queued.sequence for batch in batches for queued in batch]
    assert numbers == list(range(len(numbers)))


def test_the_first_packet_after_a_silence_does_not_wait_for_others() -> None:
    queue, inlet = PacketQueue(1 << 20), Inlet(0, Silent())
    threading.Timer(0.1, queue.put, (inlet, [packet(0)])).start()
    started = time.monotonic()
    assert len(queue.take(100.0) or ()) == 1
    assert time.monotonic() - started < 50


def test_what_many_threads_put_comes_out_once_and_each_ones_in_order() -> None:
    queue, inlets = PacketQueue(1 << 30), [Inlet(index, Silent()) for index in range(6)]

    def send(inlet: Inlet) -> None:
        for number in range(0, 2000, 2):
            queue.put(inlet, [packet(number), packet(number + 1)])

    threads = [threading.Thread(target=send, args=(inlet,)) for inlet in inlets]
    for thread in threads:
        thread.start()
    seen: dict[int, list[int]] = {inlet.index: [] for inlet in inlets}
    while any(thread.is_alive() for thread in threads) or queue.size_bytes:
        for queued in queue.take(0.01) or ():
            seen[queued.inlet.index].append(queued.sequence)
            queue.release(queued)
    assert seen == {inlet.index: list(range(2000)) for inlet in inlets}
    assert queue.size_bytes == 0


def test_a_full_queue_drops_and_counts_what_comes_until_there_is_room() -> None:
    queue, inlet = PacketQueue(1000), Inlet(0, Silent())
    queue.put(inlet, [packet(n, 300) for n in range(5)])
    assert (inlet.received, inlet.dropped, queue.size_bytes) == (5, 3, 1000)
    first, second = queue.take(0) or ()
    queue.put(inlet, [packet(5, 300)])
    assert inlet.dropped == 4
    queue.release(first)
    queue.put(inlet, [packet(6, 300)])
    queue.release(second)
    assert [queued.sequence for queued in queue.take(0) or ()] == [6]
    assert (inlet.received, inlet.dropped) == (7, 4)


def test_what_is_dropped_counts_on_the_side_of_a_border_on_which_it_arrived() -> None:
    queue, inlet = PacketQueue(500), Inlet(0, Silent())
    before = [packet(n, 300) for n in range(4)]
    queue.put(inlet, before[:2])
    queue.draw_border([inlet])
    behind = [packet(n, 300) for n in range(4, 10)]
    queue.put(inlet, [*before[2:], *behind])
    assert (inlet.dropped, inlet.border.dropped) == (9, 3)
    inlet.catch_up(behind[-1].stamps.host_ns)
    queue.put(inlet, before[2:])  # this machine's clock was set back meanwhile
    assert (inlet.dropped, inlet.border.dropped) == (11, 3)


def test_ten_seconds_of_58_mb_may_wait_for_a_disk_that_stalls() -> None:
    """On a machine of 6 GB or more."""
    queue, inlet, payload = PacketQueue(Limits().queue_bytes), Inlet(0, Silent()), bytes(1_000_000)
    for number in range(580):
        queue.put(inlet, [Packet("flood/data", Stamps(HOST_CLOCK.now_ns(), number), payload)])
    assert (inlet.received, inlet.dropped) == (580, 0)


def test_asking_without_patience_never_waits() -> None:
    queue, inlet = PacketQueue(1 << 20), Inlet(0, Silent())
    started = time.monotonic()
    for number in range(100):
        queue.put(inlet, [packet(number)])
        assert len(queue.take(0.0) or ()) == 1
    assert queue.take(0.0) == []
    assert time.monotonic() - started < 100 * BATCH_S / 2


def test_a_closed_queue_gives_what_it_holds_and_then_its_end_at_once() -> None:
    queue, inlet = PacketQueue(1 << 20), Inlet(0, Silent())
    queue.put(inlet, [packet(0)])
    threading.Timer(0.05, queue.close).start()
    assert len(queue.take(5.0) or ()) == 1
    started = time.monotonic()
    assert queue.take(100.0) is None
    assert time.monotonic() - started < 50
