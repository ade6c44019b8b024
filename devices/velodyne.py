"""Velodyne lidars over UDP, decoded by velodyne-decoder (which knows every beam's angle, height and firing time).

    [sensors.lidar]
    driver = "velodyne"
    model = "VLP-16"
    port = 2368
    position_port = 8308

Source of the packet layout: Velodyne's user manuals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field

from devices.device import ClockSource, Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.hour_clock import HourClock, nearest_hour
from devices.listening import heard
from devices.samples import Packet, Sample, Sweep
from devices.succession import HALF_TURN_NS
from devices.sweep_decoder import SweepDecoder
from devices.udp import UdpSource, all_or_none, arrival_ns
from devices.velodyne_gaps import VelodyneGaps
from devices.velodyne_position import position_fault, read_position

ENCODING, POSITION_ENCODING = "velodyne", "velodyne.position"
PACKET_BYTES = 1206
Model = Literal["VLP-16", "HDL-32E", "VLP-32C", "VLS-128"]

_PORT = 2368
_BLOCKS, _BLOCK_BYTES = 12, 100
_PPS_LOCKED = 2
_DUAL_RETURN, _RETURN_MODES = 0x39, (0x37, 0x38, 0x39)
_HOUR_US = 3_600_000_000
_FULL_TURN = 36000
_LONGEST_NS = 300_000_000  # the slowest head turns in 200 ms; one that stands still is cut all the same
_LAST = 2  # velodyne-decoder's return_type: 1 strongest, 2 last, 3 both in one
_FLAGS = (b"\xff\xee",)
_FLAGS_VLS = (b"\xff\xee", b"\xff\xdd", b"\xff\xcc", b"\xff\xbb")
_Read = tuple[int, bytes]  # a packet's time in ns, and its bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between models. newest_us: how long after its stamp a packet's last firing is, with one and two returns."""

    id: int
    beams: int
    decoder_name: str
    newest_us: tuple[float, float]
    flags: tuple[bytes, ...] = _FLAGS


KINDS: Mapping[str, Kind] = {
    "VLP-16": Kind(0x22, 16, "VLP16", (55.296 * 23 + 2.304 * 15, 55.296 * 11 + 2.304 * 15)),
    "HDL-32E": Kind(0x21, 32, "HDL32E", (46.08 * 11 + 1.152 * 31, 46.08 * 5 + 1.152 * 31)),
    "VLP-32C": Kind(0x28, 32, "VLP32C", (55.296 * 11 + 2.304 * 15, 55.296 * 5 + 2.304 * 15)),
    "VLS-128": Kind(0xA1, 128, "VLS128", (53.3 * 2 + 2.665 * 16 - 8.7, 2.665 * 16 - 8.7), _FLAGS_VLS),
}


class VelodyneConfig(SensorConfig):
    model: Model
    port: int = Field(default=_PORT, ge=0, le=65535)
    position_port: int = Field(default=8308, ge=0, le=65535)
    host: str = "0.0.0.0"


class VelodyneDriver:
    """Streams: ``SENSOR/points``, described by the model's name, and ``SENSOR/position``, what the lidar hears from its GNSS receiver."""

    config = VelodyneConfig
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


def model_of(data: bytes) -> str | None:
    """Which model's data packet this is; None when it is none."""
    return next((name for name, kind in KINDS.items() if fault_of(data, kind) is None), None)


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
        self._gaps = None if kind is None else VelodyneGaps(kind.id)
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
        us, host_ns = _us_past_hour(data), arrival_ns()
        self._gaps.take(data, us, host_ns)
        return self._clock.ns(us, host_ns) + _newest_after_ns(data, self._kind)

    def gaps(self) -> int:
        return 0 if self._gaps is None else self._gaps.missing


class VelodyneTurns:
    """Data packets -> one Sweep a turn, from packet to packet: the one in which the head passes where it began ends it.

    ring 0 is the highest beam. intensity is the sensor's calibrated reflectivity, 0 to 255. return_number 0 is the strongest return
    (or the only one that was asked for), 1 the last where another one. Points closer than 0.1 m are the housing and left out.
    """

    def __init__(self, sensor: str, kind: Kind) -> None:
        self._sensor = sensor
        self._kind = kind
        self._clock = HourClock()
        self._decoder = _scan_decoder(kind)
        self._turn: list[_Read] = []
        self._began_at: int | None = (
            None  # where the head stood when the turn began, hundredths of a degree; None: anywhere
        )
        self._turned = 0  # how far it has turned since

    def read(self, packet: Packet) -> tuple[int, _Read] | str:
        data = packet.data
        fault = fault_of(data, self._kind)
        if fault:
            return fault
        if packet.stamps.device_ns is None:
            t_ns = self._clock.ns(_us_past_hour(data), packet.stamps.host_ns)
        else:
            t_ns = nearest_hour(_us_past_hour(data) * 1000, packet.stamps.device_ns)
        return t_ns, (t_ns, data)

    def add(self, read: _Read, *, leapt: bool) -> Iterator[Sweep]:
        t_ns, data = read
        first, last = _azimuths(data, self._kind)
        if self._turn:
            start_ns, newest_ns, mode = self._turn[0][0], self._turn[-1][0], self._turn[-1][1][1204]
            if leapt or t_ns - newest_ns > HALF_TURN_NS or t_ns - start_ns > _LONGEST_NS or mode != data[1204]:
                yield from self.finish()
            elif self._passes(first):  # in the packets that are missing before this one
                yield from self._sweep()
        if self._began_at is None:
            self._began_at = last
        self._turn.append(read)
        if self._passes(last):
            self._began_at = last
            yield from self._sweep()
        self._turned = (last - self._began_at) % _FULL_TURN

    def finish(self) -> Iterator[Sweep]:
        yield from self._sweep()
        self._decoder = _scan_decoder(self._kind)
        self._began_at = None

    def _passes(self, azimuth: int) -> bool:
        """Whether the head has passed where the turn began, once it is there."""
        turned = (azimuth - (self._began_at or 0)) % _FULL_TURN
        return self._turned > _FULL_TURN // 2 and turned < self._turned

    def _sweep(self) -> Iterator[Sweep]:
        turn, self._turn, self._turned = self._turn, [], 0
        if not turn:
            return
        stamps, points = self._decoder.decode(_packets(turn), True)
        if not len(points):
            return
        # The stamp is a float of seconds, good to 0.24 us: enough to know the microsecond that the packet said.
        stamp_ns = nearest_hour(round(stamps.device * 1e6) % _HOUR_US * 1000, turn[-1][0])
        after_ns = np.rint(points["time"].astype(np.float64) * 1e9).astype(np.int64)
        first_ns = int(after_ns.min())
        is_second = (points["return_type"] == _LAST) & (turn[-1][1][1204] == _DUAL_RETURN)
        yield Sweep(
            sensor=self._sensor,
            t_ns=stamp_ns + first_ns,
            points_m=np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float32, copy=False),
            intensity=points["intensity"].astype(np.float32),
            offset_ns=after_ns - first_ns,
            return_number=is_second.astype(np.uint8),
            ring=np.uint16(self._kind.beams - 1) - points["ring"].astype(np.uint16),
        )


def _no_samples(packet: Packet, rejections: Rejections) -> Iterable[Sample]:
    """Position packets are kept in the recording; they hold no sample. Broken ones are counted. See read_position()."""
    reason = position_fault(packet.data)
    if reason:
        rejections.add(reason)
    return ()


def fault_of(data: bytes, kind: Kind) -> str | None:
    """Why this is no data packet of that model, or None."""
    if len(data) != PACKET_BYTES:
        return "wrong size"
    if data[1205] != kind.id:
        return "another model"
    if data[1204] not in _RETURN_MODES:
        return "unknown return mode"
    if _us_past_hour(data) >= _HOUR_US:
        return "a time beyond the hour"
    for at in range(0, _BLOCKS * _BLOCK_BYTES, _BLOCK_BYTES):
        azimuth = data[at + 2] | data[at + 3] << 8
        if data[at : at + 2] not in kind.flags and not _empty_vls_block(data, at, kind):
            return "a broken block"
        if azimuth >= 36000:
            return "an azimuth beyond 360 degrees"
    return None


def _azimuths(data: bytes, kind: Kind) -> tuple[int, int]:
    """Of the first and the last block, hundredths of a degree. With two returns a VLS-128 leaves the last 4 of 12 blocks empty."""
    blocks = 8 if kind.flags is _FLAGS_VLS and data[1204] == _DUAL_RETURN else _BLOCKS
    at = (blocks - 1) * _BLOCK_BYTES
    return data[2] | data[3] << 8, data[at + 2] | data[at + 3] << 8


def _empty_vls_block(data: bytes, at: int, kind: Kind) -> bool:
    """With two returns a VLS-128 leaves the last 4 of 12 blocks empty."""
    return (
        kind.flags is _FLAGS_VLS
        and data[1204] == _DUAL_RETURN
        and at >= 8 * _BLOCK_BYTES
        and data[at : at + 2] == b"\0\0"
    )


def _us_past_hour(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 1200)[0])


def _newest_after_ns(data: bytes, kind: Kind) -> int:
    return round(kind.newest_us[data[1204] == _DUAL_RETURN] * 1000)


def _scan_decoder(kind: Kind) -> Any:
    import velodyne_decoder

    model = getattr(velodyne_decoder.Model, kind.decoder_name)
    return velodyne_decoder.ScanDecoder(velodyne_decoder.Config(model=model, max_range=float("inf")))


def _packets(turn: list[_Read]) -> Any:
    import velodyne_decoder

    packet = velodyne_decoder.VelodynePacket
    return velodyne_decoder.PacketVector([packet(t_ns * 1e-9, data) for t_ns, data in turn])


DRIVER = VelodyneDriver()
