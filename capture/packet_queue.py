"""Between the threads that read and the one that writes: one queue with a bound in bytes whose every drop is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capture.inlet import Inlet
from devices.host_clock import HOST_CLOCK
from devices.samples import Packet

BATCH_S = 0.01  # the least time between two batches
_PACKET_OVERHEAD_BYTES = 200  # a packet's objects, so that a million tiny ones do not slip under the bound


@dataclass(slots=True)
class Queued:
    """A packet on its way to the disk."""

    inlet: Inlet
    sequence: int
    packet: Packet

    @property
    def size_bytes(self) -> int:
        return len(self.packet.data) + _PACKET_OVERHEAD_BYTES


class PacketQueue:
    """First in, first out. What would lift it above its bound is dropped and counted at the packet's inlet.

    put() is anybody's, take() and release() one thread's. That thread is woken at most every 10 ms, for all that has come since: waking
    it for each packet would cost more than writing the packet.
    """

    def __init__(self, bound_bytes: int) -> None:
        self.bound_bytes = bound_bytes
        self._put_bytes = 0  # so far, written under the lock
        self._released_bytes = 0  # so far, written by the taking thread
        self._waiting: list[Queued] = []
        self._oldest_ns = 0
        self._closed = False
        self._changed = threading.Condition()
        self._next_take_s = 0.0

    @property
    def size_bytes(self) -> int:
        """Of what waits or is being written."""
        return self._put_bytes - self._released_bytes

    def put(self, inlet: Inlet, packets: Sequence[Packet]) -> None:
        with self._changed:
            was_empty = not self._waiting
            for packet in packets:
                queued = Queued(inlet, inlet.note(packet), packet)
                if self.size_bytes + queued.size_bytes > self.bound_bytes:
                    inlet.drop(packet)
                    continue
                self._put_bytes += queued.size_bytes
                self._waiting.append(queued)
            if was_empty:
                self._changed.notify()

    def take(self, timeout_s: float) -> list[Queued] | None:
        """All that waits; [] when nothing came in time; None when the queue is closed and empty. Each counts until released."""
        pause_s = min(self._next_take_s - time.monotonic(), timeout_s)
        if pause_s > 0 and not self._closed:
            time.sleep(pause_s)
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            taken, self._waiting = self._waiting, []
            if taken:
                self._oldest_ns = taken[0].packet.stamps.host_ns
                self._next_take_s = time.monotonic() + BATCH_S
            return taken if taken or not self._closed else None

    def release(self, queued: Queued) -> None:
        """Its packet has been written: its place is free."""
        self._released_bytes += queued.size_bytes
        self._oldest_ns = queued.packet.stamps.host_ns

    def drop_all(self, taken: Iterable[Queued]) -> None:
        """Nobody takes any more: what waits, and what was ``taken`` but came no further, is dropped and counted."""
        with self._changed:
            for queued in (*taken, *self._waiting):
                queued.inlet.drop(queued.packet)
                self._released_bytes += queued.size_bytes
            self._waiting = []

    def draw_border(self, inlets: Sequence[Inlet]) -> int:
        """What arrives at the inlets from now on is counted apart from what arrived before; returns since which host arrival, ns."""
        with self._changed:
            at_ns = HOST_CLOCK.now_ns()
            for inlet in inlets:
                inlet.draw_border(at_ns)
            return at_ns

    def age_s(self) -> float:
        """How long ago the oldest packet arrived that is not written yet."""
        with self._changed:
            return max(0.0, (HOST_CLOCK.now_ns() - self._oldest_ns) / 1e9) if self.size_bytes else 0.0

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
