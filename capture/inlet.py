"""One stream while its rig is open: the source it comes from, which may be renewed, and what has come."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from capture.border import Border
from capture.intervals import LEAST_UNUSUAL_NS, Intervals, between_ns
from capture.stretch import Stretch, within
from devices.device import Attentive, ClockSource, Remarked, Source, Stream
from devices.host_clock import HOST_CLOCK, since_boot_ns
from devices.samples import Packet

WAITED_NS = 10_000_000_000  # the longest that datagrams may have waited; what is older was played from a file
_FADED_EVERY = 1000  # packets: what is usual is so by the last thousand or two
_JITTER_GAIN = 16  # RFC 3550, section 6.4.1


@dataclass(slots=True, eq=False)
class Inlet:
    """Written by its reading thread only, but ``dropped``, which the queue counts, and ``border``, which the writing thread draws.

    Any thread may ask what its sources say of themselves, while it is renewed, too.

    jitter_ns: how far the transport's delay scatters (RFC 3550's estimate); 0 where the sensor gives no stamps. failure: why nothing
    comes at the moment, in one line. rest_ns: how long it may say nothing by what it states; silent_ns: for how long that is no alarm.
    silences: stretches in which nothing came for unusually long, oldest first, but for the one that lasts. They are in boot time, as
    heard_ns is: host time may be anchored anew meanwhile.
    """

    index: int
    source: Source
    received: int = 0
    received_bytes: int = 0
    dropped: int = 0
    lost_earlier: int = 0
    lost_so_far: int = 0
    rejected_earlier: Mapping[str, int] = field(default_factory=dict)
    rejected_so_far: Mapping[str, int] = field(default_factory=dict)
    last_remark: str = ""
    heard_ns: int = field(default_factory=since_boot_ns)  # arrival of the newest packet; before the first, the opening
    rest_ns: int = 0
    silent_ns: int = 5_000_000_000
    is_steady: bool = True  # whether it speaks all the time
    intervals: Intervals = field(default_factory=Intervals)
    silences: list[Stretch] = field(default_factory=list)
    last_device_ns: int | None = None
    jitter_ns: float = 0.0
    failure: str = ""
    finished: bool = False
    is_played: bool = False  # from a file, with the times that it tells
    clock_source: ClockSource = ClockSource.NONE
    followed: ClockSource | None = None
    border: Border = field(default_factory=Border)
    _asking: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def stream(self) -> Stream:
        return self.source.stream

    def ask(self) -> None:
        """What the source says of itself now. Raises whatever a driver raises that cannot say; what was told before stands."""
        with self._asking:
            source = self.source
            self.lost_so_far = max(self.lost_so_far, self.lost_earlier + source.lost)
            self.clock_source = source.clock_source
            if self.clock_source not in {ClockSource.NONE, ClockSource.FREE}:
                self.followed = self.clock_source
            rejected = source.rejected if isinstance(source, Attentive) else {}
            self.rejected_so_far = Counter(self.rejected_earlier) + Counter(rejected)
            self.last_remark = source.remark if isinstance(source, Remarked) else ""

    @property
    def last_ns(self) -> int:
        """Host arrival of the newest packet; before the first, the opening."""
        return HOST_CLOCK.of_boot(self.heard_ns)

    @property
    def lost(self) -> int:
        """Packets known to have been lost before they were read, by all sources that this stream has come from; as last told."""
        self._ask_if_it_can_say()
        return self.lost_so_far

    def ask_clock_source(self) -> ClockSource:
        """What its stamps follow by the sensor's word, as last told."""
        self._ask_if_it_can_say()
        return self.clock_source

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> packets that came and are none of the sensor's, or broken, as far as its sources tell on arrival; as last told."""
        self._ask_if_it_can_say()
        return self.rejected_so_far

    @property
    def remark(self) -> str:
        """What a person ought to know of the stream, in one line; as last told."""
        self._ask_if_it_can_say()
        return self.last_remark

    def _ask_if_it_can_say(self) -> None:
        with contextlib.suppress(Exception):  # it may just be being closed; a defect shows where ask() is called
            self.ask()

    def renew(self, source: Source) -> None:
        """The sensor was opened anew."""
        with self._asking:
            self.lost_earlier, self.rejected_earlier = self.lost, self.rejected
            self.source, self.failure = source, ""

    def note(self, packet: Packet) -> int:
        """Counts a packet; returns its sequence number."""
        stamps = packet.stamps
        arrived_ns, before_ns = stamps.host_ns - HOST_CLOCK.anchor_ns, self.heard_ns
        apart_ns, stamps_ns = arrived_ns - before_ns, None
        if stamps.device_ns is not None and self.last_device_ns is not None:
            stamps_ns = stamps.device_ns - self.last_device_ns
            self.jitter_ns += (abs(apart_ns - stamps_ns) - self.jitter_ns) / _JITTER_GAIN
        if self.received and apart_ns > 0:
            self.intervals.add(between_ns(apart_ns, stamps_ns))
            if not self.received % _FADED_EVERY:
                self.intervals.fade()
        if apart_ns >= LEAST_UNUSUAL_NS:
            self._note_silence(Stretch(before_ns, arrived_ns), between_ns(apart_ns, stamps_ns))
        self.heard_ns, self.last_device_ns = arrived_ns, stamps.device_ns
        self.received += 1
        self.received_bytes += len(packet.data)
        return self.received - 1

    def _note_silence(self, silence: Stretch, sent_apart_ns: int) -> None:
        if sent_apart_ns >= self.unusual_ns(sent_apart_ns if self.received else None):
            self.silences.append(silence)

    def unusual_ns(self, beside_ns: int | None = None) -> int:
        """How long it says nothing at least where that is unusual: by the intervals seen so far beside one of beside_ns, or else silent_ns."""
        seen_ns = self.intervals.unusual_ns(beside_ns)
        return self.silent_ns if seen_ns is None else max(seen_ns, self.rest_ns)

    def silences_in(self, span: Stretch) -> list[Stretch]:
        """Those that reach into it, the one that lasts included, in host time. What is played from a file comes when it can."""
        heard_ns = self.last_ns
        if self.is_played:
            return []
        over = takewhile(lambda each: each.to_ns > span.from_ns, map(_in_host_time, reversed(self.silences)))
        lasts = [] if self.finished or span.to_ns - heard_ns < self.unusual_ns() else [Stretch(heard_ns, span.to_ns)]
        return within([*over, *lasts], span)

    def drop(self, packet: Packet) -> None:
        """Counts a packet for which the queue had no room."""
        self.dropped += 1
        if not self.border.is_passed and packet.stamps.host_ns < self.border.at_ns:
            self.border.dropped += 1

    def draw_border(self, at_ns: int) -> None:
        """From now on, which is at_ns, what arrives belongs to another recording, or to none."""
        self.border = Border(at_ns, self.dropped, self.lost, self.rejected, is_passed=False)

    def catch_up(self, arrived_ns: int) -> None:
        """Everything that had arrived by then has been read."""
        border = self.border  # once: the next one may be drawn at any moment
        if arrived_ns >= border.at_ns:
            self._pass(border)

    def pass_border(self) -> None:
        """What is read from now on arrived behind the border, or so late that it counts as if."""
        self._pass(self.border)

    def _pass(self, border: Border) -> None:
        if not border.is_passed:
            border.lost, border.rejected = self.lost, self.rejected
            border.is_passed = True

    @property
    def has_caught_up(self) -> bool:
        """Whether everything that arrived before the border lies in the queue by now, if not further."""
        return self.border.is_passed or self.finished or bool(self.failure)


def _in_host_time(each: Stretch) -> Stretch:
    return Stretch(HOST_CLOCK.of_boot(each.from_ns), HOST_CLOCK.of_boot(each.to_ns))
