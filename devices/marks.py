"""Marks: instants that an operator's button or the robot's task runner points out, as JSON lines over UDP.

    [sensors.operator]
    driver = "marks"
    port = 9003

A line: ``{"t_ns": 1700000000000000000, "kind": "episode_start", "text": "drive to the gate"}``; further keys are kept as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from devices.device import Decoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.json_lines import newest_t_ns, objects
from devices.samples import Mark, Packet
from devices.udp import UdpSource

ENCODING = "mark.json"
_OWN_KEYS = ("t_ns", "kind", "text")


class MarksConfig(SensorConfig):
    port: int = Field(ge=0, le=65535)
    host: str = "0.0.0.0"


class MarksDriver:
    """Stream: ``SENSOR/marks``."""

    config = MarksConfig

    def open(self, name: str, config: MarksConfig) -> Sequence[Source]:
        return [UdpSource(Stream(f"{name}/marks", ENCODING), config.port, newest_t_ns, config.host)]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: marks are '{ENCODING}', not '{stream.encoding}'")
        return MarksDecoder(stream.sensor)


class MarksDecoder:
    """Datagrams -> a Mark a line. ``rejected`` counts lines."""

    def __init__(self, sensor: str) -> None:
        self._sensor = sensor
        self._rejections = Rejections()

    def decode(self, packet: Packet) -> Iterable[Mark]:
        marks = []
        for found in objects(packet.data, self._rejections):
            kind, text = found.get("kind"), found.get("text", "")
            if not isinstance(kind, str) or not kind or not isinstance(text, str):
                self._rejections.add("kind or text is no string")
                continue
            rest = {
                key: value if isinstance(value, str) else str(value)
                for key, value in found.items()
                if key not in _OWN_KEYS
            }
            marks.append(Mark(self._sensor, found["t_ns"], kind, text, rest))
        return marks

    def flush(self) -> Iterable[Mark]:
        return []

    @property
    def carries_over(self) -> bool:
        return False

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts


DRIVER = MarksDriver()
