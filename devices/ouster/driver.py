"""Ouster lidars (OS0, OS1, OS2, OSDome): lidar and IMU packets over UDP, described by the sensor's metadata.

[sensors.lidar]
driver = "ouster"
metadata = "http://os-1234.local"      # the sensor, or the path of a metadata JSON file
lidar_port = 7502
imu_port = 7503
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field

from devices.device import ClockSource, Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError, UndecodableError
from devices.ouster.assembler import ScanAssembler
from devices.ouster.crc64 import is_compiled
from devices.ouster.gaps import ImuGaps, OusterGaps
from devices.ouster.geometry import OusterGeometry, sweep_of
from devices.ouster.imu_packet import OFF, ImuPackets
from devices.ouster.metadata import OusterMetadata, fetch_metadata, read_metadata
from devices.ouster.packet import LidarPackets
from devices.ouster.scan import OusterScan
from devices.samples import ImuSample, Packet, Sample, Sweep
from devices.udp.listening import heard
from devices.udp.source import UdpSource, all_or_none

LIDAR_ENCODING, IMU_ENCODING = "ouster.lidar", "ouster.imu"
_LIDAR_PORT = 7502
_TABLES_EVERY = 40  # without liblzma a CRC takes 260 us, all of them a third of a core
_Wanted = tuple[str, str, int, type[LidarPackets | ImuPackets], OusterGaps | ImuGaps]


class OusterConfig(SensorConfig):
    """metadata: a path, or the sensor's http address."""

    metadata: str
    host: str = "0.0.0.0"
    lidar_port: int = Field(default=_LIDAR_PORT, ge=0, le=65535)
    imu_port: int = Field(default=7503, ge=0, le=65535)


class OusterDriver:
    """Streams: ``SENSOR/points`` and, unless the sensor was told to send none, ``SENSOR/imu``; both described by the metadata's text."""

    config = OusterConfig
    sought = "Ouster lidars that send to UDP port 7502"
    yields: ClassVar[Mapping[str, type[Sample]]] = {LIDAR_ENCODING: Sweep, IMU_ENCODING: ImuSample}

    def open(self, name: str, config: OusterConfig) -> Sequence[Source]:
        text = fetch_metadata(config.metadata)
        metadata = read_metadata(text)
        wanted: list[_Wanted] = [("points", LIDAR_ENCODING, config.lidar_port, LidarPackets, OusterGaps(metadata))]
        if metadata.imu_profile != OFF:
            wanted.append(("imu", IMU_ENCODING, config.imu_port, ImuPackets, ImuGaps()))
        return all_or_none(
            _source(Stream(f"{name}/{what}", encoding, text), config.host, port, metadata, layout_of, gaps)
            for what, encoding, port, layout_of, gaps in wanted
        )

    def decoder(self, stream: Stream) -> Decoder:
        """Raises DeviceError when the stream is no Ouster's or its metadata is broken."""
        metadata = read_metadata(stream.description)
        if stream.encoding == LIDAR_ENCODING:
            return OusterLidarDecoder(stream.sensor, metadata)
        if stream.encoding == IMU_ENCODING:
            return PacketDecoder(partial(_imu_samples, stream.sensor, ImuPackets(metadata)), once=True)
        raise DeviceError(f"{stream.name}: an Ouster has no stream of '{stream.encoding}'")

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Who sends to the port that sensors send to by default, and serves an Ouster's metadata."""
        found = []
        for address in heard(_LIDAR_PORT, timeout_s):
            where = f"http://{address}"
            try:
                metadata = read_metadata(fetch_metadata(where))
            except DeviceError:
                continue  # something else that uses the port
            found.append(Found("ouster", f"Ouster {metadata.product_line} at {address}", {"metadata": where}))
        return found


def _source(
    stream: Stream,
    host: str,
    port: int,
    metadata: OusterMetadata,
    layout_of: type[LidarPackets | ImuPackets],
    gaps: OusterGaps | ImuGaps,
) -> UdpSource:
    """Where one kind of packets arrives; of a profile that nobody knows, they are taken as they are."""
    try:
        live = _Live(layout_of(metadata), gaps)
    except UndecodableError as error:
        unknown = ClockSource.NONE
        return UdpSource(stream, port, lambda _: None, host, clock_source=unknown, remark=str(error), one_sender=True)
    return UdpSource(
        stream, port, live.newest_ns, host, clock_source=metadata.clock_source, gaps=live.gaps, rejections=live.rejections,
        one_sender=True,
    )  # fmt: skip


class _Live:
    """What is read off packets as they arrive: their newest instant, how many are missing, and which are none of the sensor's."""

    def __init__(self, layout: LidarPackets | ImuPackets, gaps: OusterGaps | ImuGaps) -> None:
        self.rejections = Rejections()
        self._layout = layout
        self._gaps = gaps
        self._every = 1 if is_compiled() else _TABLES_EVERY
        self._wrong = "wrong CRC" if self._every == 1 else f"wrong CRC, one packet in {self._every} checked"
        self._taken = 0

    def newest_ns(self, data: bytes) -> int | None:
        """Of a packet whose CRC is wrong none; that it came is still counted: most of its bytes are no place in the turn."""
        reason = self._layout.foreign(data)
        if reason:
            self.rejections.add(reason)
            return None
        t_ns = self._layout.last_ns(data)
        self._gaps.take(data, t_ns)
        self._taken += 1
        if self._taken % self._every == 0 and not self._layout.intact(data):
            self.rejections.add(self._wrong)
            return None
        return t_ns

    def gaps(self) -> int:
        return self._gaps.missing


class OusterLidarDecoder:
    """Lidar packets -> one Sweep a turn: see ouster_geometry.sweep_of."""

    carries_over = True

    def __init__(self, sensor: str, metadata: OusterMetadata) -> None:
        self._sensor = sensor
        self._rejections = Rejections()
        self._assembler = ScanAssembler(metadata, self._rejections)
        self._geometry = OusterGeometry(metadata)

    def decode(self, packet: Packet) -> Iterable[Sweep]:
        return self._sweeps(self._assembler.add(packet.data))

    def flush(self) -> Iterable[Sweep]:
        return self._sweeps(self._assembler.end())

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts

    def _sweeps(self, scans: Iterator[OusterScan]) -> list[Sweep]:
        sweeps = (sweep_of(scan, self._sensor, self._geometry) for scan in scans)
        return [sweep for sweep in sweeps if sweep is not None]


def _imu_samples(sensor: str, layout: ImuPackets, packet: Packet, rejections: Rejections) -> Iterable[ImuSample]:
    """An ImuSample a reading, at the gyroscope's time."""
    reason = layout.foreign(packet.data) or (None if layout.intact(packet.data) else "wrong CRC")
    if reason:
        rejections.add(reason)
        return
    try:
        readings = layout.readings(packet.data)
    except ValueError:
        rejections.add("time beyond the year 2262")
        return
    for t_ns, rate, acceleration in zip(readings.t_ns, readings.angular_rate, readings.acceleration, strict=True):
        yield ImuSample(sensor, int(t_ns), rate, acceleration)


DRIVER = OusterDriver()
