"""The account of one stream in one recording: received = recorded + dropped in the queue + refused by the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from capture.border import Border
from capture.inlet import Inlet
from capture.packet_queue import Queued
from capture.recording_info import Losses


@dataclass(slots=True)
class Tally:
    """Written by the writer thread. admitted: packets that belong into the recording; withheld: those that came while it was paused.

    since, until: where the recording begins and ends; paused, resumed: where its last pause does. What is lost or rejected beyond, or in a
    pause, is none of its own.
    """

    inlet: Inlet
    since: Border = field(default_factory=Border)
    until: Border | None = None
    paused: Border | None = None
    resumed: Border | None = None
    in_earlier_pauses: tuple[int, int] = (0, 0)
    received_before: int = 0
    admitted: int = 0
    withheld: int = 0
    first_ns: int = 0
    rejected_in_earlier_pauses: Counter[str] = field(default_factory=Counter)

    # at the inlet's border

    def begin(self) -> None:
        self.since, self.received_before = self.inlet.border, self.inlet.received

    def pause(self) -> None:
        self.in_earlier_pauses, self.rejected_in_earlier_pauses = self._in_pauses, self._rejected_in_pauses
        self.paused, self.resumed = self.inlet.border, None

    def resume(self) -> None:
        self.resumed = self.inlet.border

    def end(self) -> None:
        self.until = self.inlet.border

    # between two borders

    def admit(self, queued: Queued) -> int:
        """Counts a packet in; returns its sequence number in this recording, in which only what was lost leaves a gap."""
        host_ns, left_out = queued.packet.stamps.host_ns, self.withheld + self._dropped_in_pauses_before
        if not self.admitted:
            self.first_ns, self.received_before = host_ns, queued.sequence - left_out
        self.admitted += 1
        return queued.sequence - self.received_before - left_out

    def withhold(self) -> None:
        """Counts a packet that is not to be written."""
        self.withheld += 1

    @property
    def received(self) -> int:
        """What has come for this recording by now, as far as it was read."""
        if self.until is not None:
            return self.admitted + self.dropped
        return self.inlet.received - self.received_before - self.withheld - self._in_pauses[0]

    @property
    def dropped(self) -> int:
        return (
            (self.inlet.dropped if self.until is None else self.until.dropped) - self.since.dropped - self._in_pauses[0]
        )

    @property
    def lost(self) -> int:
        """Before it was read."""
        return (self.inlet.lost if self.until is None else self.until.lost) - self.since.lost - self._in_pauses[1]

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> packets of the recording that are none of the sensor's, or broken, as far as a glance tells."""
        return _rejected(self.since, self.until or self.inlet) - self._rejected_in_pauses

    @property
    def _dropped_in_pauses_before(self) -> int:
        """As seen from a packet that is admitted now: while a pause lasts, it arrived before that."""
        is_paused = self.paused is not None and self.resumed is None
        return (self.in_earlier_pauses if is_paused else self._in_pauses)[0]

    @property
    def _in_pauses(self) -> tuple[int, int]:
        """(dropped, lost) while nothing was to be written."""
        dropped, lost = self.in_earlier_pauses
        if self.paused is not None:
            until = self.resumed or self.inlet  # it lasts
            dropped, lost = dropped + until.dropped - self.paused.dropped, lost + until.lost - self.paused.lost
        return dropped, lost

    @property
    def _rejected_in_pauses(self) -> Counter[str]:
        if self.paused is None:
            return self.rejected_in_earlier_pauses
        return self.rejected_in_earlier_pauses + _rejected(self.paused, self.resumed or self.inlet)

    def losses(self, recorded: int) -> Losses:
        return Losses(before_read=self.lost, queue=self.dropped, not_written=self.admitted - recorded)


def _rejected(since: Border, until: Border | Inlet) -> Counter[str]:
    return Counter(until.rejected) - Counter(since.rejected)
