"""One stream of a log on its way in."""

from __future__ import annotations

from collections.abc import Iterable

from capture.bag.packing import holds_stamp
from capture.clock.filter import ClockFilter
from devices.device import Stream
from devices.rig import Rig
from devices.ros.schema import message_type_of
from devices.samples import Image, Packet

_POSSIBLE_NS = range(1 << 63)


class Lane:
    """Its count, its sensor's clock, and a decoder that tells what of it nobody will be able to use."""

    def __init__(self, rig: Rig, stream: Stream) -> None:
        sensor = rig.sensors[stream.sensor]
        self.stream = stream
        self.packets = 0
        self.impossible = 0  # packets whose time no file can state
        self._decoded = 0
        self.clock = ClockFilter()
        self._latency_ns = sensor.least_latency_ns
        self._bears_its_stamp = message_type_of(stream.encoding) is not None
        self._decoder = sensor.loaded_driver().decoder(stream)
        self._sizes: set[tuple[int, ...]] = set()

    def take(self, packet: Packet) -> None:
        self.packets += 1
        for sample in self._decoder.decode(packet):
            self._decoded += 1
            if isinstance(sample, Image):
                self._sizes.add(sample.pixels.shape[1::-1])

    @property
    def is_foreign(self) -> bool:
        """Whether its decoder knew none of its packets."""
        return not self._decoded and sum(self._decoder.rejected.values()) >= self.packets

    def stamp_ns(self, packet: Packet, clock_ns: int | None) -> int:
        """UTC capture time as the log so far tells it."""
        host_ns = packet.stamps.host_ns
        if clock_ns is not None:
            self.clock.add(clock_ns, host_ns)
        fit = self.clock.known
        known_ns = host_ns if clock_ns is None or fit is None else fit.host_from_device(clock_ns)
        return (known_ns if holds_stamp(known_ns) else host_ns) - self._latency_ns

    def holds(self, t_ns: int) -> bool:
        """Whether a file can state this time of a message: a ROS message bears its own stamp, any other one's is fieldrig's."""
        return t_ns in _POSSIBLE_NS and (self._bears_its_stamp or holds_stamp(t_ns))

    def reasons(self) -> Iterable[str]:
        name = self.stream.name
        if self.impossible:
            yield f"{name}: {self.impossible} messages bear no possible time and were left out"
        for reason, count in self._decoder.rejected.items():
            yield f"{name}: {count} of {self.packets} messages cannot be decoded: {reason}"
        if len(self._sizes) > 1:
            sizes = ", ".join(f"{width} x {height}" for width, height in sorted(self._sizes))
            yield f"{name}: its pictures are of several sizes ({sizes}); a calibration fits one"
