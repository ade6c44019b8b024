"""The account of one stream in one recording: received = recorded + dropped in the queue + refused by the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capture.inlet import Inlet
from capture.packet_queue import PacketQueue, Queued
from capture.recording_info import Losses


@dataclass(slots=True)
class Tally:
    """Written by the writer thread. admitted: packets that belong into the recording; withheld: those that came while it was paused."""

    inlet: Inlet
    received_before: int
    dropped_before: int
    lost_before: int
    admitted: int = 0
    withheld: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_ns: int = 0
    ended_with: tuple[int, int] | None = None

    def admit(self, queued: Queued) -> int:
        """Counts a packet in; returns its sequence number in this recording, in which only what was lost leaves a gap."""
        host_ns = queued.packet.stamps.host_ns
        if self.admitted:
            self.longest_gap_ns = max(self.longest_gap_ns, host_ns - self.last_ns)
        else:
            self.first_ns = host_ns
            self.received_before, self.withheld = queued.sequence, 0
        self.last_ns = host_ns
        self.admitted += 1
        return queued.sequence - self.received_before - self.withheld

    def withhold(self, queued: Queued) -> None:
        """Counts a packet that is not to be written."""
        self.withheld += 1
        self.last_ns = queued.packet.stamps.host_ns  # a pause is no gap

    @property
    def received(self) -> int:
        """What has come for this recording by now, as far as it was read."""
        return self.inlet.received - self.received_before - self.withheld

    @property
    def dropped(self) -> int:
        return (self.inlet.dropped if self.ended_with is None else self.ended_with[0]) - self.dropped_before

    @property
    def lost(self) -> int:
        """Before it was read."""
        return (self.inlet.lost if self.ended_with is None else self.ended_with[1]) - self.lost_before

    def end(self) -> None:
        """What is lost from now on is not this recording's loss."""
        if self.ended_with is None:
            self.ended_with = self.inlet.dropped, self.inlet.lost

    def begin(self) -> None:
        """What was lost until now is not, either."""
        self.dropped_before, self.lost_before = self.inlet.dropped, self.inlet.lost

    def losses(self, recorded: int) -> Losses:
        return Losses(before_read=self.lost, queue=self.dropped, not_written=self.admitted - recorded)


def begin_tallies(inlets: Sequence[Inlet], queue: PacketQueue) -> list[Tally]:
    return [
        Tally(inlet, received, dropped, inlet.lost)
        for inlet, (received, dropped) in zip(inlets, queue.counts(inlets), strict=True)
    ]
