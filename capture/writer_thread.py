"""The one thread that writes: packets into the bag, the clocks that stamp them, and the recording's health once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from capture.clock import ClockFilter, ClockFit
from capture.health import OK, WARNING, Rate, stream_status
from capture.intake import Inlet, PacketQueue, Queued
from capture.messages import Status, holds_stamp
from capture.writer import BagWriter

HEALTH_S = 1.0
_FIT_S = 0.2  # how old the clock may be by which a packet is stamped
_MB = 1e6
_OTHER_DISK = "free some space, or record to another disk"


class WriterThread:
    """Empties the queue into the bag until the queue is closed, or the disk refuses.

    ``trouble`` says in one line why recording cannot go on, and what to do: the disk is nearly full (all that was taken in is still
    written), or refused a write, or the writer failed (what was taken in since is not in the file).
    """

    def __init__(
        self,
        bag: BagWriter,
        queue: PacketQueue,
        inlets: Sequence[Inlet],
        latencies_ns: Sequence[int],
        free_floor_bytes: int,
        silent_s: float,
    ) -> None:
        self.clocks = [ClockFilter() for _ in inlets]
        self.trouble = ""
        self._bag = bag
        self._queue = queue
        self._inlets = inlets
        self._latencies_ns = latencies_ns
        self._free_floor_bytes = free_floor_bytes
        self._silent_s = silent_s
        self._fits: list[ClockFit | None] = [None] * len(inlets)
        self._next_fit = [0.0] * len(inlets)
        self._rates = [Rate() for _ in inlets]
        self._next_health = 0.0
        self._thread = threading.Thread(target=self._run, name="fieldrig-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write_all()
        except OSError as error:
            self.trouble = (
                f"the disk refused a write at {self._bag.size_bytes / _MB:.1f} MB: {error.strerror}; {_OTHER_DISK}"
            )
            self._refuse_the_rest()
        except Exception as error:  # a defect must not end the one thread that writes in silence
            self.trouble = f"the writer failed: {type(error).__name__}: {error}; report this, and record again"
            self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        while (refused := self._queue.take(1.0)) is not None:
            for queued in refused:
                self._queue.release(queued)

    def _write_all(self) -> None:
        self._put_health()
        self._bag.close_chunk()  # so that the file's first chunk, with all its schemas and channels, is on its way at once
        while (batch := self._queue.take(self._bag.close_chunk_in_time())) is not None:
            for queued in batch:
                self._write(queued)
                self._queue.release(queued)
                self._tend()
            self._tend()
        self._put_health()
        self._bag.close_chunk()

    def _write(self, queued: Queued) -> None:
        stamps, index = queued.packet.stamps, queued.inlet.index
        stamp_ns = stamps.host_ns
        if stamps.device_ns is not None:
            self.clocks[index].add(stamps.device_ns, stamps.host_ns)
            fit = self._fit(index, stamps.device_ns)
            estimated_ns = stamp_ns if fit is None else fit.host_from_device(stamps.device_ns)
            # A broken packet may bear any time; the arrival then stands in, and the packet is kept like any other.
            stamp_ns = estimated_ns if holds_stamp(estimated_ns) else stamp_ns
        self._bag.add(index, queued.sequence, queued.packet, stamp_ns - self._latencies_ns[index])

    def _fit(self, index: int, device_ns: int) -> ClockFit | None:
        now, fit = time.monotonic(), self._fits[index]
        was_set_back = fit is not None and device_ns < fit.reference_device_ns
        if fit is None or was_set_back or now >= self._next_fit[index]:
            fit = self._fits[index] = self.clocks[index].fit()
            self._next_fit[index] = now + _FIT_S
        return fit

    def _tend(self) -> None:
        if time.monotonic() < self._next_health:
            return
        self._put_health()
        free_bytes = self._bag.free_bytes()
        if free_bytes < self._free_floor_bytes and not self.trouble:
            kept_back = f"{self._free_floor_bytes / _MB:.0f} MB are kept back"
            self.trouble = f"the disk is nearly full: {free_bytes / _MB:.0f} MB free, {kept_back}; {_OTHER_DISK}"

    def _put_health(self) -> None:
        self._next_health = time.monotonic() + HEALTH_S
        now_ns = time.time_ns()
        statuses = [self._own_status()]
        for inlet, rate, clock in zip(self._inlets, self._rates, self.clocks, strict=True):
            recorded, hz = self._bag.accepted(inlet.index), rate.update(inlet.received)
            statuses.append(stream_status(inlet, recorded, hz, clock, now_ns, self._silent_s))
        self._bag.add_health(now_ns, statuses)

    def _own_status(self) -> Status:
        values = {
            "queue_bytes": str(self._queue.size_bytes),
            "queue_age_ms": f"{self._queue.age_s() * 1e3:.0f}",
            "file_bytes": str(self._bag.size_bytes),
            "free_bytes": str(self._bag.free_bytes()),
            "synced_ms_ago": f"{self._bag.synced_s_ago * 1e3:.0f}",
        }
        behind = self._queue.size_bytes > self._queue.bound_bytes // 2
        return Status(
            WARNING if behind else OK,
            "recorder",
            "the disk is slower than the sensors" if behind else "writing",
            values,
        )
