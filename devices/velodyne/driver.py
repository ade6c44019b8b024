"""Velodyne lidars over UDP, decoded by velodyne-decoder (which knows every beam's angle, height and firing time).

[sensors.lidar]
driver = "velodyne"
model = "VLP-16"
port = 2368
position_port = 8308
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, get_args

from pydantic import Field

from devices.device import ClockSource, Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.lidars.sweep_decoder import SweepDecoder
from devices.samples import Packet, Sample, Sweep
from devices.udp.listening import heard
from devices.udp.source import UdpSource, all_or_none, arrival_ns
from devices.velodyne.gaps import VelodyneGaps
from devices.velodyne.hour_clock import HourClock
from devices.velodyne.packet import KINDS, Kind, Model, fault_of, model_of, newest_after_ns, us_past_hour
from devices.velodyne.position import position_fault, read_position
from devices.velodyne.scan import VelodyneTurns

ENCODING, POSITION_ENCODING = "velodyne", "velodyne.position"
_PORT = 2368
_PPS_LOCKED = 2


class VelodyneConfig(SensorConfig):
    model: Model
    port: int = Field(default=_PORT, ge=0, le=65535)
    position_port: int = Field(default=8308, ge=0, le=65535)
    host: str = "0.0.0.0"


class VelodyneDriver:
    """Streams: ``SENSOR/points``, described by the model's name, and ``SENSOR/position``, what the lidar hears from its GNSS receiver."""

    config = VelodyneConfig
    sought = "Velodyne lidars that send to UDP port 2368"
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: Sweep}

    def open(self, name: str, config: VelodyneConfig) -> Sequence[Source]:
        pulse = _Pulse()
        points, position = _Live(KINDS[config.model], pulse), _Live(None, pulse)
        wanted = (
            (Stream(f"{name}/points", ENCODING, config.model), config.port, points),
            (Stream(f"{name}/position", POSITION_ENCODING), config.position_port, position),
        )
        return all_or_none(
            UdpSource(
                stream, port, live.newest_ns, config.host, clock_source=pulse.clock_source, gaps=live.gaps,
                rejections=live.rejections, one_sender=True,
            )
            for stream, port, live in wanted
        )  # fmt: skip

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding == POSITION_ENCODING:
            return PacketDecoder(_no_samples)
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: a Velodyne has no stream of '{stream.encoding}'")
        if stream.description not in KINDS:
            raise DeviceError(
                f"{stream.name}: no Velodyne model '{stream.description}'; choose one of: {', '.join(get_args(Model))}"
            )
        return SweepDecoder(VelodyneTurns(stream.sensor, KINDS[stream.description]))

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Whose packets arrive at the port that the maker ships lidars with; Hesai's are other ones of the same port."""
        found = []
        for address, datas in heard(_PORT, timeout_s).items():
            model = next((each for each in map(model_of, datas) if each is not None), None)
            if model is not None:
                found.append(Found("velodyne", f"Velodyne {model} at {address}", {"model": model}))
        return found


class _Pulse:
    """Whether a receiver's pulse disciplines the lidar's clock: its position packets say so, of both of its streams."""

    def __init__(self) -> None:
        self.locked = False

    def clock_source(self) -> ClockSource:
        return ClockSource.PPS if self.locked else ClockSource.FREE


class _Live:
    """What is read off packets as they arrive: their device stamp, which are none of the model's, and how many data packets are missing.

    Position packets bear no number and come at no steady rate: what is missing of them stays unknown.
    """

    def __init__(self, kind: Kind | None, pulse: _Pulse) -> None:
        self._kind = kind
        self._pulse = pulse
        self._clock = HourClock()
        self._gaps = None if kind is None else VelodyneGaps(kind)
        self.rejections = Rejections()

    def newest_ns(self, data: bytes) -> int | None:
        fault = fault_of(data, self._kind) if self._kind else position_fault(data)
        if fault:
            self.rejections.add(fault)
            return None
        if self._kind is None or self._gaps is None:
            position = read_position(data)
            self._pulse.locked = position.pps == _PPS_LOCKED
            return self._clock.ns(position.us_past_hour, arrival_ns())
        us, host_ns = us_past_hour(data), arrival_ns()
        self._gaps.take(data, us, host_ns)
        return self._clock.ns(us, host_ns) + newest_after_ns(data, self._kind)

    def gaps(self) -> int:
        return 0 if self._gaps is None else self._gaps.missing


def _no_samples(packet: Packet, rejections: Rejections) -> Iterable[Sample]:
    """Position packets are kept in the recording; they hold no sample. Broken ones are counted. See read_position()."""
    reason = position_fault(packet.data)
    if reason:
        rejections.add(reason)
    return ()


DRIVER = VelodyneDriver()
