"""The two protocols that a sensor driver fulfils, and the registry in which drivers are found.

    driver.open(name, config)     -> sources     where bytes arrive (one thread reads each)
    driver.decoder(description)   -> decoder     what bytes mean (the same live and years later)

A driver is one file, or one folder of its family, in devices/ and one line under ``fieldrig.devices`` in pyproject.toml.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, runtime_checkable

from devices.errors import DeviceError
from devices.samples import Packet, Sample
from devices.written import Written

_RECENT = 8  # packets among which a duplicate is looked for


class SensorConfig(Written):
    """What every sensor of rig.toml may say; a driver's own config adds to it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One flow of packets from a sensor: what a recorder gives a topic, a thread and a count of losses.

    name: ``SENSOR/WHAT``, the topic without its leading slash. encoding: what the payload's bytes are, e.g. ``ouster.lidar``,
    ``jpeg``. description: whatever a decoder needs beside the bytes (an Ouster's metadata JSON); text, kept in recording.json.
    sensor_name: whose it is where its name does not begin with that: a topic of somebody else's bag.
    """

    name: str
    encoding: str
    description: str = ""
    sensor_name: str = ""

    @property
    def sensor(self) -> str:
        return self.sensor_name or self.name.partition("/")[0]


class ClockSource(StrEnum):
    """What a sensor says that its stamps follow. A claim: capture checks it against this machine's clock."""

    NONE = "none"  # it gives no stamps
    FREE = "free"  # a counter of its own, since power-up or since somebody set it
    HOST = "host"  # this machine's clock: a driver's buffer stamp
    PPS = "pps"  # a receiver's pulse and time message
    PTP = "ptp"  # IEEE 1588 or gPTP: the master's scale, UTC or TAI (UTC + 37 s)
    RTCP = "rtcp"  # sender reports of an RTP stream
    GNSS = "gnss"  # satellites


@dataclass(frozen=True, slots=True)
class Found:
    """A sensor that can be seen from this machine. config: its keys in rig.toml. label: what a person knows it by (model, serial)."""

    driver: str
    label: str
    config: Mapping[str, Any]


class Source(Protocol):
    """Where one stream's bytes arrive: open from its creation on, read by one thread, closed by any."""

    @property
    def stream(self) -> Stream: ...

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The packets that have come, oldest first; empty when none came within timeout_s.

        Raises DeviceError when the sensor is gone: whoever records opens it anew until it is back. EOFError when it has said its last
        word (a replay's end) or was closed.
        """
        ...

    @property
    def lost(self) -> int:
        """Packets known to have been lost before they reached read(): the kernel's drops, gaps in a sequence."""
        ...

    @property
    def clock_source(self) -> ClockSource:
        """What the sensor's stamps follow by its own word, as of the newest packet."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Attentive(Protocol):
    """A source that looks at packets as they arrive."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> packets that are kept, but are none of the sensor's, or broken, as far as a glance tells."""
        ...


@runtime_checkable
class Remarked(Protocol):
    """A source of which a person ought to know something; ``remark`` is empty where there is nothing to say."""

    @property
    def remark(self) -> str: ...


class Decoder(Protocol):
    """What one stream's bytes mean. Fed packets in the order of their arrival; keeps an unfinished sweep between calls."""

    def decode(self, packet: Packet) -> Iterable[Sample]:
        """The samples that this packet completes. A broken packet yields nothing and counts in ``rejected``."""
        ...

    def flush(self) -> Iterable[Sample]:
        """What is still unfinished when the stream ends."""
        ...

    @property
    def carries_over(self) -> bool:
        """Whether a sample may need bytes of earlier packets (a sweep does, a picture does not)."""
        ...

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> how many packets were passed over for it."""
        ...


class Driver(Protocol):
    """One sensor family."""

    @property
    def config(self) -> type[SensorConfig]: ...

    @property
    def sought(self) -> str:
        """What find() looks for, as a person would call it: ``USB cameras``; empty where it cannot look."""
        ...

    @property
    def yields(self) -> Mapping[str, type[Sample]]:
        """Encoding of a stream -> what its packets hold. A stream that holds no samples is absent."""
        ...

    def open(self, name: str, config: Any) -> Sequence[Source]:
        """Connect to the sensor called ``name``. Raises DeviceError saying what to do when it cannot be reached."""
        ...

    def decoder(self, stream: Stream) -> Decoder:
        """A fresh decoder for one of this driver's streams, live or recorded."""
        ...

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Sensors of this family that can be seen from here within the time; none where one cannot look for them."""
        ...


@dataclass(slots=True)
class Rejections:
    """Counts of packets passed over, by reason."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class PacketDecoder:
    """A Decoder for packets that each stand alone. read: what one means; it counts what it passes over.

    once: whether the same bytes again, a few packets later, are a duplicate that the network made.
    """

    carries_over: ClassVar[bool] = False
    read: Callable[[Packet, Rejections], Iterable[Sample]]
    once: bool = False
    rejections: Rejections = field(default_factory=Rejections)
    _recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def decode(self, packet: Packet) -> Iterable[Sample]:
        if self.once:
            if packet.data in self._recent:
                self.rejections.add("duplicate packet")
                return []
            self._recent.append(packet.data)
        return list(self.read(packet, self.rejections))  # a count must not wait for whoever asks for the samples

    def flush(self) -> Iterable[Sample]:
        return ()

    @property
    def rejected(self) -> Mapping[str, int]:
        return self.rejections.counts


@cache
def drivers() -> Mapping[str, Any]:
    """Name -> entry point of every installed driver; nothing is imported yet."""
    return {point.name: point for point in entry_points(group="fieldrig.devices")}


def driver(name: str) -> Driver:
    """The driver called ``name``. Raises DeviceError naming the choices."""
    known = drivers()
    if name not in known:
        raise DeviceError(f"no driver called '{name}'; choose one of: {', '.join(sorted(known))}")
    loaded: Driver = known[name].load()
    return loaded
