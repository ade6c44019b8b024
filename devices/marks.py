"""Marks: instants that an operator's button or the robot's task runner points out, as JSON lines over UDP.

    [sensors.operator]
    driver = "marks"
    port = 9003

A line: ``{"t_ns": 1700000000000000000, "kind": "episode_start", "text": "drive to the gate"}``; further keys are kept as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field

from devices.device import Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.json_lines import newest_t_ns, objects
from devices.samples import Mark, Packet, Sample
from devices.udp.source import UdpSource

ENCODING = "mark.json"
_OWN_KEYS = ("t_ns", "kind", "text")


class MarksConfig(SensorConfig):
    port: int = Field(ge=0, le=65535)
    host: str = "0.0.0.0"


class MarksDriver:
    """Stream: ``SENSOR/marks``."""

    config = MarksConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: Mark}

    def open(self, name: str, config: MarksConfig) -> Sequence[Source]:
        return [UdpSource(Stream(f"{name}/marks", ENCODING), config.port, newest_t_ns, config.host)]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: marks are '{ENCODING}', not '{stream.encoding}'")
        return PacketDecoder(partial(_marks, stream.sensor), once=True)

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A button sends to whatever port it was told: there is nothing to look for."""
        return ()


def _marks(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[Mark]:
    """A Mark a line; rejections count lines."""
    for found in objects(packet.data, rejections):
        kind, text = found.get("kind"), found.get("text", "")
        if not isinstance(kind, str) or not kind or not isinstance(text, str):
            rejections.add("kind or text is no string")
            continue
        rest = {key: value if isinstance(value, str) else str(value) for key, value in found.items()}
        yield Mark(sensor, found["t_ns"], kind, text, {key: rest[key] for key in rest if key not in _OWN_KEYS})


DRIVER = MarksDriver()
