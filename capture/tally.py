"""The account of one stream in one recording: received = recorded + dropped in the queue + refused by the disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from capture.border import Border
from capture.inlet import Inlet
from capture.packet_queue import Queued
from capture.recording_info import Losses


@dataclass(slots=True)
class Tally:
    """Written by the writer thread. admitted: packets that belong into the recording; withheld: those that came while it was paused.

    since, until: where the recording begins and ends; what is lost before and behind is not its loss.
    """

    inlet: Inlet
    since: Border = field(default_factory=Border)
    until: Border | None = None
    received_before: int = 0
    admitted: int = 0
    withheld: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_ns: int = 0

    def begin(self) -> None:
        """At the inlet's border."""
        self.since, self.received_before = self.inlet.border, self.inlet.received

    def end(self) -> None:
        """At the inlet's border."""
        self.until = self.inlet.border

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
        if self.until is not None:
            return self.admitted + self.dropped
        return self.inlet.received - self.received_before - self.withheld

    @property
    def dropped(self) -> int:
        return (self.inlet.dropped if self.until is None else self.until.dropped) - self.since.dropped

    @property
    def lost(self) -> int:
        """Before it was read."""
        return (self.inlet.lost if self.until is None else self.until.lost) - self.since.lost

    def losses(self, recorded: int) -> Losses:
        return Losses(before_read=self.lost, queue=self.dropped, not_written=self.admitted - recorded)
