"""Livox lidars over UDP: Mid-360 (second protocol), Avia, Horizon, Tele-15, Mid-40, Mid-70 (first protocol).

[sensors.lidar]
driver = "livox"
model = "Mid-360"
address = "192.168.1.105"     # of the lidar: it is then told to send here; without it, what arrives is taken
points_port = 56301
imu_port = 56401
window_ms = 100
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, get_args

from pydantic import Field

from devices.device import ClockSource, Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.lidars.packet_gaps import UNNUMBERED, PacketGaps
from devices.lidars.succession import OUTAGE_NS
from devices.lidars.sweep_decoder import SweepDecoder
from devices.livox.connection import Connection
from devices.livox.discovery import find_livox
from devices.livox.packet import KINDS, Kind, Model, read_head
from devices.livox.scan import LivoxWindows, imu_samples
from devices.livox.setup import IMU_PORT, POINTS_PORT, Destination, configure
from devices.samples import ImuSample, Packet, Sample, Sweep
from devices.udp.captured import comes_out_of_a_capture
from devices.udp.source import UdpSource

POINTS_ENCODING, IMU_ENCODING = "livox.points", "livox.imu"
_RETURN_MODES = {"first": 0, "strongest": 1, "dual": 2, "triple": 3}
# A lidar that was told to send and is silent for so long has lost power or its settings; its motor takes long to come up to speed.
_SILENCE_S, _START_S = 3.0, 30.0


class LivoxConfig(SensorConfig):
    """address: the lidar's own; None where another program has set it up. point_type: of the Mid-360: 1 mm, 2 cm, 3 spherical.

    returns: of lidars of the first protocol that have more than one. window_ms: how long a sweep gathers points.
    """

    model: Model
    address: str | None = None
    host: str = "0.0.0.0"
    points_port: int = Field(default=POINTS_PORT, ge=0, le=65535)
    imu_port: int = Field(default=IMU_PORT, ge=0, le=65535)
    command_port: int | None = Field(default=None, ge=1, le=65535)
    imu: bool = True
    point_type: int = Field(default=1, ge=1, le=3)
    returns: Literal["first", "strongest", "dual", "triple"] = "strongest"
    window_ms: int = Field(default=100, ge=1, le=10_000)


class LivoxDriver:
    """Streams: ``SENSOR/points`` and, where the model has one, ``SENSOR/imu``; described by model and window as JSON."""

    config = LivoxConfig
    sought = "Livox lidars that answer a broadcast"
    yields: ClassVar[Mapping[str, type[Sample]]] = {POINTS_ENCODING: Sweep, IMU_ENCODING: ImuSample}

    def open(self, name: str, config: LivoxConfig) -> Sequence[Source]:
        kind = KINDS[config.model]
        described = json.dumps({"model": config.model, "window_ms": config.window_ms})
        wanted = [(f"{name}/points", POINTS_ENCODING, config.points_port)]
        if config.imu and kind.has_imu:
            wanted.append((f"{name}/imu", IMU_ENCODING, config.imu_port))
        remark = "" if kind.second_protocol else UNNUMBERED
        opened: list[UdpSource] = []
        try:
            for stream, encoding, port in wanted:
                live = _Live(kind)
                opened.append(
                    UdpSource(
                        Stream(stream, encoding, described), port, live.newest_ns, config.host,
                        clock_source=live.clock, gaps=live.gaps, rejections=live.rejections, remark=remark, one_sender=True,
                    )
                )  # fmt: skip
            if config.address is None or comes_out_of_a_capture():
                return opened
            connection = _connect(config, kind, [source.port for source in opened])
        except DeviceError:
            for source in opened:
                source.close()
            raise
        lidar = _Lidar(config.address, connection)
        return [LivoxSource(source, lidar) for source in opened]

    def decoder(self, stream: Stream) -> Decoder:
        """Raises DeviceError when the stream is no Livox's or its description is broken."""
        if stream.encoding not in self.yields:
            raise DeviceError(f"{stream.name}: a Livox has no stream of '{stream.encoding}'")
        kind, window_ns = _described(stream)
        if stream.encoding == IMU_ENCODING:
            return PacketDecoder(partial(imu_samples, stream.sensor, kind), once=True)
        return SweepDecoder(LivoxWindows(stream.sensor, kind, window_ns))

    def find(self, timeout_s: float) -> Sequence[Found]:
        """By broadcast, of both protocols."""
        return find_livox(timeout_s)


def _described(stream: Stream) -> tuple[Kind, int]:
    try:
        said = json.loads(stream.description)
        model, window_ms = said["model"], int(said["window_ms"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DeviceError(f"{stream.name}: its description names no Livox model and window: {error}") from None
    if model not in KINDS or not 1 <= window_ms <= 10_000:
        raise DeviceError(
            f"{stream.name}: no Livox model '{model}' with a window of {window_ms} ms; choose one of: "
            f"{', '.join(get_args(Model))}, and 1 to 10000 ms"
        )
    return KINDS[model], window_ms * 1_000_000


def _connect(config: LivoxConfig, kind: Kind, ports: Sequence[int]) -> Connection | None:
    to = Destination(ports[0], ports[1] if len(ports) > 1 else None)
    address = config.address or ""
    port = {} if config.command_port is None else {"port": config.command_port}
    if kind.second_protocol:
        configure(address, to, config.point_type, **port)
        return None
    return Connection(address, to, _RETURN_MODES[config.returns] if kind.has_imu else None, **port)


class _Lidar:
    """A lidar that was told to send here: whether it still does, by any of its streams, and answers heartbeats."""

    def __init__(self, address: str, connection: Connection | None) -> None:
        self.address = address
        self._connection = connection
        self._due_s = time.monotonic() + _START_S

    def heard(self) -> None:
        self._due_s = time.monotonic() + _SILENCE_S

    @property
    def gone(self) -> bool:
        return time.monotonic() > self._due_s or (self._connection is not None and not self._connection.alive)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class LivoxSource:
    """One stream of a lidar that was told to send here. It is gone when the lidar is: one stream may be silent while another speaks."""

    def __init__(self, inner: UdpSource, lidar: _Lidar) -> None:
        self._inner = inner
        self._lidar = lidar

    @property
    def stream(self) -> Stream:
        return self._inner.stream

    @property
    def port(self) -> int:
        return self._inner.port

    @property
    def receive_buffer_bytes(self) -> int:
        return self._inner.receive_buffer_bytes

    def read(self, timeout_s: float) -> Sequence[Packet]:
        packets = self._inner.read(timeout_s)
        if packets:
            self._lidar.heard()
        elif self._lidar.gone:
            raise DeviceError(
                f"{self.stream.name}: the Livox lidar at {self._lidar.address} has fallen silent; check its power and cable"
            )
        return packets

    @property
    def lost(self) -> int:
        return self._inner.lost

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._inner.rejected

    @property
    def clock_source(self) -> ClockSource:
        return self._inner.clock_source

    @property
    def remark(self) -> str:
        return self._inner.remark

    def close(self) -> None:
        self._inner.close()
        self._lidar.close()


class _Live:
    """What is read off packets as they arrive: their newest instant, the clock that they follow, and how many are missing."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._clock = ClockSource.FREE
        self.rejections = Rejections()
        self._gaps: PacketGaps[_Place] = PacketGaps(_step)

    def newest_ns(self, data: bytes) -> int | None:
        head = read_head(data, self._kind)
        if isinstance(head, str):
            self.rejections.add(head)
            return None
        self._clock = head.clock
        if head.counter is not None:
            self._gaps.take((head.counter, head.t_ns))
        return head.newest_ns

    def clock(self) -> ClockSource:
        return self._clock

    def gaps(self) -> int:
        return self._gaps.missing


_Place = tuple[int, int]  # udp_cnt, ns of the lidar's clock


def _step(before: _Place, after: _Place) -> int | None:
    """udp_cnt runs up by one and begins again with each of the lidar's frames: what a frame lacks at its end stays unknown."""
    passed_ns = after[1] - before[1]
    if passed_ns < -OUTAGE_NS:
        return None  # the lidar has started anew
    if passed_ns <= 0:
        return -_steps_on(after, before) if passed_ns else 0
    return _steps_on(before, after)


def _steps_on(earlier: _Place, later: _Place) -> int:
    if later[0] == earlier[0]:
        return 1  # there are lidars whose count stands still
    return later[0] - earlier[0] if later[0] > earlier[0] else later[0] + 1


DRIVER = LivoxDriver()
