"""Robot state and action: numbers with names, as JSON lines over UDP, one port a topic.

    [sensors.robot]
    driver = "named_vector"
    ports = { state = 9001, action = 9002 }

A line: ``{"t_ns": 1700000000000000000, "topic": "state", "names": ["pose.x_m", "pose.y_m"], "values": [1.0, 2.0]}``
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, StringConstraints

from devices.device import Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.json_lines import newest_t_ns, objects
from devices.samples import NamedVector, Packet, Sample
from devices.udp.source import UdpSource, all_or_none

ENCODING = "vector.json"
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class NamedVectorConfig(SensorConfig):
    """ports: topic -> UDP port."""

    ports: dict[Topic, Port] = Field(min_length=1)
    host: str = "0.0.0.0"


class NamedVectorDriver:
    """Streams: ``SENSOR/TOPIC``, one a topic."""

    config = NamedVectorConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {ENCODING: NamedVector}

    def open(self, name: str, config: NamedVectorConfig) -> Sequence[Source]:
        return all_or_none(
            UdpSource(Stream(f"{name}/{topic}", ENCODING), port, newest_t_ns, config.host)
            for topic, port in config.ports.items()
        )

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding != ENCODING:
            raise DeviceError(f"{stream.name}: named vectors are '{ENCODING}', not '{stream.encoding}'")
        return PacketDecoder(partial(_vectors, stream.sensor, stream.name.partition("/")[2]), once=True)

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A robot sends to whatever port it was told: there is nothing to look for."""
        return ()


def _vectors(sensor: str, topic: str, packet: Packet, rejections: Rejections) -> Iterable[NamedVector]:
    """A NamedVector a line; rejections count lines."""
    for found in objects(packet.data, rejections):
        reason = _fault(found, topic)
        if reason:
            rejections.add(reason)
            continue
        values = np.array(found["values"], dtype=np.float64)
        yield NamedVector(sensor, found["t_ns"], topic, tuple(found["names"]), values)


def _fault(found: dict[str, Any], topic: str) -> str | None:
    names, values = found.get("names"), found.get("values")
    if found.get("topic") != topic:
        return "another topic"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        return "names are no list of different strings"
    if not isinstance(values, list) or not all(_is_finite(value) for value in values):
        return "values are no list of finite numbers"
    return None if len(names) == len(values) else "as many values as names expected"


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond float64
        return False


DRIVER = NamedVectorDriver()
