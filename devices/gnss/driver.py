"""GNSS receivers that speak NMEA or UBX, mixed in any way, with RTCM 3 corrections between them, over a serial port, over TCP, or from a file.

    [sensors.gnss]
    driver = "gnss"
    port = "/dev/serial/by-id/usb-u-blox_AG_u-blox_GNSS_receiver-if00"
    baud = 38400

    [sensors.base]
    driver = "gnss"
    address = "192.168.1.40:5017"       # a receiver, or whatever passes its stream on, over TCP

    [sensors.log]
    driver = "gnss"
    file = "drive.ubx"
    pace = true                         # as fast as it was measured; else at once, stamped with its own times

A packet is one sentence or frame with whatever foreign bytes stood before it: the recording holds the stream byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from devices.device import Decoder, Found, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.gnss.epoch import Calendar, Epoch, Part
from devices.gnss.file import GnssFile
from devices.gnss.link import GnssLink, SerialBytes, TcpBytes
from devices.gnss.reader import PartReader
from devices.gnss.stream import Piece
from devices.samples import GnssFix, Packet, Sample

ENCODING = "gnss"


class GnssConfig(SensorConfig):
    """One of port, address and file. baud: of a port that is no USB device of its own."""

    port: str | None = None
    baud: int = Field(default=38_400, ge=300, le=4_000_000)
    address: str | None = Field(default=None, pattern=r"^\S+:\d{1,5}$")
    file: Path | None = None
    pace: bool = True

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(each is not None for each in (self.port, self.address, self.file)) != 1:
            raise ValueError("say one of port, address and file")
        return self


class GnssDriver:
    """Stream: ``SENSOR/stream``."""

    config = GnssConfig
    sought = "USB serial ports (a GNSS receiver may be there)"
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: GnssFix}

    def open(self, name: str, config: GnssConfig) -> Sequence[Source]:
        stream = Stream(f"{name}/stream", ENCODING)
        if config.file is not None:
            return [GnssFile(stream, config.file, pace=config.pace)]
        if config.address is not None:
            return [GnssLink(stream, TcpBytes(name, config.address))]
        return [GnssLink(stream, SerialBytes(name, str(config.port), config.baud))]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: a GNSS receiver has no stream of '{stream.encoding}'")
        return GnssDecoder(stream.sensor)

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """Every USB serial port: nothing but its bytes tells a receiver from another device."""
        from serial.tools.list_ports import comports

        names = _names_by_id()
        return [
            Found("gnss", f"{port.description} {port.serial_number or ''}".strip(), {"port": names.get(port.device, port.device)})
            for port in sorted(comports())
            if port.vid is not None
        ]  # fmt: skip


class GnssDecoder:
    """Sentences and frames -> a GnssFix for each instant that they speak of, once the next one begins or the stream ends."""

    carries_over = True

    def __init__(self, sensor: str) -> None:
        self._sensor = sensor
        self._reader = PartReader()
        self._calendar = Calendar()
        self._epoch = Epoch()

    def decode(self, packet: Packet) -> Iterable[GnssFix]:
        if not packet.data:
            self._reader.rejections.add("an empty packet")
        return self._fixes(self._reader.feed(packet.data), packet.stamps.host_ns)

    def flush(self) -> Iterable[GnssFix]:
        return self._fixes(self._reader.rest(), self._epoch.host_ns) + self._closed()

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._reader.rejections.counts

    def _fixes(self, read: Iterable[tuple[Piece, Part | None]], host_ns: int) -> list[GnssFix]:
        made: list[GnssFix] = []
        for _, part in read:
            if part is None:
                continue
            if not self._epoch.takes(part):
                made += self._closed()
            self._epoch.add(part, host_ns)
        return made

    def _closed(self) -> list[GnssFix]:
        epoch, self._epoch = self._epoch, Epoch(host_ns=self._epoch.host_ns)
        fix = epoch.fix(self._sensor, self._calendar)
        return [] if fix is None else [fix]


def _names_by_id() -> dict[str, str]:
    """Device -> its name by maker and serial number, which stays when the ports are dealt anew (Linux)."""
    folder = Path("/dev/serial/by-id")
    return {str(link.resolve()): str(link) for link in sorted(folder.iterdir())} if folder.is_dir() else {}


DRIVER = GnssDriver()
