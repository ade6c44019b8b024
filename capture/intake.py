"""From sources to the writer: a thread a source, and one queue with a bound in bytes whose every drop is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from devices.device import Source, Stream
from devices.errors import DeviceError
from devices.rig import Rig
from devices.samples import Packet

READ_TIMEOUT_S = 0.1
DRAIN_S = 0.5  # how long a source may still hand over what had arrived when the recording was ended
_PACKET_OVERHEAD_BYTES = 200  # a packet's objects, so that a million tiny ones do not slip under the bound


@dataclass(slots=True, eq=False)
class Inlet:
    """One source while it is being recorded. Written by its thread only, but ``dropped``, which the queue counts."""

    index: int
    source: Source
    received: int = 0
    received_bytes: int = 0
    dropped: int = 0
    last_ns: int = 0  # host_ns of the newest packet
    longest_gap_ns: int = 0
    failure: str = ""
    finished: bool = False

    @property
    def stream(self) -> Stream:
        return self.source.stream

    def note(self, packet: Packet) -> int:
        """Counts a packet; returns its sequence number."""
        if self.received:
            self.longest_gap_ns = max(self.longest_gap_ns, packet.stamps.host_ns - self.last_ns)
        self.last_ns = packet.stamps.host_ns
        self.received += 1
        self.received_bytes += len(packet.data)
        return self.received - 1


@dataclass(slots=True)
class Queued:
    """A packet on its way to the disk."""

    inlet: Inlet
    sequence: int
    packet: Packet

    @property
    def size_bytes(self) -> int:
        return len(self.packet.data) + _PACKET_OVERHEAD_BYTES


@dataclass(slots=True)
class PacketQueue:
    """First in, first out. What would lift it above its bound is dropped and counted at the packet's inlet."""

    bound_bytes: int
    size_bytes: int = 0
    _waiting: list[Queued] = field(default_factory=list)
    _oldest_ns: int = 0
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, inlet: Inlet, packets: Sequence[Packet]) -> None:
        with self._changed:
            for packet in packets:
                queued = Queued(inlet, inlet.note(packet), packet)
                if self.size_bytes + queued.size_bytes > self.bound_bytes:
                    inlet.dropped += 1
                    continue
                self.size_bytes += queued.size_bytes
                self._waiting.append(queued)
            self._changed.notify()

    def take(self, timeout_s: float) -> list[Queued] | None:
        """All that waits; [] when nothing came in time; None when the queue is closed and empty. Each counts until released."""
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            taken, self._waiting = self._waiting, []
            if taken:
                self._oldest_ns = taken[0].packet.stamps.host_ns
            return taken if taken or not self._closed else None

    def release(self, queued: Queued) -> None:
        """Its packet has been written: its place is free."""
        with self._changed:
            self.size_bytes -= queued.size_bytes
            self._oldest_ns = queued.packet.stamps.host_ns

    def age_s(self) -> float:
        """How long ago the oldest packet arrived that is not written yet."""
        with self._changed:
            return max(0.0, (time.time_ns() - self._oldest_ns) / 1e9) if self.size_bytes else 0.0

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


def open_inlets(rig: Rig) -> list[Inlet]:
    """Connects to every sensor of the rig; inlets stand in the rig's order. Raises DeviceError, and leaves nothing open then.

    Those that we call (they have a URL) are called after those that call us are listened for: a sensor may begin to send on all
    ports once it has been called.
    """
    opened: dict[str, Sequence[Source]] = {}
    try:
        for sensor in sorted(rig.sensors.values(), key=lambda each: "url" in each.own):
            opened[sensor.name] = sensor.loaded_driver().open(sensor.name, sensor.config())
    except BaseException:
        for sources in opened.values():
            for source in sources:
                source.close()
        raise
    in_order = [source for name in rig.sensors for source in opened[name]]
    return [Inlet(index, source) for index, source in enumerate(in_order)]


def start_reading(inlets: Sequence[Inlet], queue: PacketQueue, halt: threading.Event) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=_read, args=(inlet, queue, halt), name=f"fieldrig-{inlet.stream.name}", daemon=True)
        for inlet in inlets
    ]
    for thread in threads:
        thread.start()
    return threads


def _read(inlet: Inlet, queue: PacketQueue, halt: threading.Event) -> None:
    try:
        while not halt.is_set():
            packets = inlet.source.read(READ_TIMEOUT_S)
            if packets:
                queue.put(inlet, packets)
        until = time.monotonic() + DRAIN_S
        while time.monotonic() < until and (packets := inlet.source.read(0.0)):
            queue.put(inlet, packets)
    except EOFError:
        pass
    except DeviceError as error:
        inlet.failure = str(error)
    except Exception as error:  # a driver's defect must not end its thread in silence
        inlet.failure = f"{inlet.stream.name}: its driver failed: {type(error).__name__}: {error}"
    finally:
        inlet.finished = True
