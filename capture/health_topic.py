"""What a recording says of itself once a second, among its own messages: how every stream, its clock and the recorder do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from capture.bag.diagnostics import Status
from capture.bag.segments import SegmentedBag
from capture.clock.filter import ClockFilter
from capture.clock.fit import ClockFit
from capture.clock.sampler import ClockSampler
from capture.health import OK, WARNING, Rate, stream_status
from capture.ip_fragments import reassembly_failures
from capture.packet_queue import PacketQueue
from capture.tally import Tally
from devices.host_clock import HOST_CLOCK

HEALTH_S = 1.0
UNSYNCED_S = 2.0  # what a power cut may cost; beyond it the health topic warns


class HealthTopic:
    """Writes /fieldrig/health and /fieldrig/clock into a bag; the thread that writes the bag calls it."""

    def __init__(
        self,
        bag: SegmentedBag,
        tallies: Sequence[Tally],
        clocks: Sequence[ClockFilter],
        queue: PacketQueue,
    ) -> None:
        self.failure = ""
        self._bag = bag
        self._tallies = tallies
        self._clocks = clocks
        self._queue = queue
        self._sampler = ClockSampler([tally.inlet.stream.name for tally in tallies], clocks)
        self._rates = [Rate() for _ in tallies]
        self._next_s = 0.0
        self._torn_before = reassembly_failures()

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next_s

    def put(self) -> None:
        """Raises OSError when the disk refuses it. ``failure`` says what a driver did that could not say how it does."""
        self._next_s = time.monotonic() + HEALTH_S
        now_ns = HOST_CLOCK.now_ns()
        statuses = [self._own_status()]
        for tally, rate, clock in zip(self._tallies, self._rates, self._clocks, strict=True):
            recorded, hz = self._bag.accepted(tally.inlet.index), rate.update(tally.inlet.received)
            try:
                statuses.append(stream_status(tally, recorded, hz, clock, now_ns))
                tally.inlet.ask()
            except Exception as error:  # it must not end the recording
                self.failure = f"health could not be told at all times: {type(error).__name__}: {error}"
        self._bag.add_health(now_ns, statuses)
        self._bag.add_clocks(now_ns, self._sampler.samples())

    def put_last_clocks(self, fits: Mapping[str, Sequence[ClockFit]]) -> None:
        """So that the fits of recording.json can be had again from the topic."""
        self._bag.add_clocks(HOST_CLOCK.now_ns(), self._sampler.last_samples(fits))

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the clocks."""
        return self._sampler.notes()

    @property
    def doubts(self) -> list[str]:
        """What speaks against the clocks."""
        return self._sampler.doubts()

    def _own_status(self) -> Status:
        bag, queue = self._bag, self._queue
        values = {
            "queue_bytes": str(queue.size_bytes),
            "queue_age_ms": f"{queue.age_s() * 1e3:.0f}",
            "file_bytes": str(bag.size_bytes),
            "free_bytes": "unknown" if (free := bag.free_bytes()) is None else str(free),
            "synced_ms_ago": f"{bag.synced_s_ago * 1e3:.0f}",
            "written_p99_ms": f"{bag.delay.quantile_ms(0.99):.0f}",
            "written_longest_ms": f"{bag.delay.longest_ns / 1e6:.0f}",
        }
        if torn := self._torn():
            values["reassembly_failed"] = str(torn)
        if bag.synced_s_ago > UNSYNCED_S:
            said = f"the disk has kept nothing safe from a power cut for {bag.synced_s_ago:.0f} s"
            return Status(WARNING, "recorder", said, values)
        if torn:
            said = f"{torn} datagrams lacked a fragment and were given up by the kernel; check cables and switches"
            return Status(WARNING, "recorder", said, values)
        behind = queue.size_bytes > queue.bound_bytes // 2
        said = "the disk is slower than the sensors" if behind else "writing"
        return Status(WARNING if behind else OK, "recorder", said, values)

    def _torn(self) -> int:
        """Datagrams that the machine could not put together since the recording began."""
        now = reassembly_failures()
        return 0 if now is None or self._torn_before is None else now - self._torn_before
