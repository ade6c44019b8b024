"""Luxonis OAK cameras (OAK-D and their like), by DepthAI in a process of its own.

    [sensors.head]
    driver = "oak"
    serial = "14442C10D13EABCE00"     # left out: the only one that is connected
    color_px = [1920, 1080]           # [] for none
    depth_px = [640, 400]
    rate_hz = 30
    imu = true
    exposure_us = 4000                # with iso; also white_balance_k, focus; left out: automatic
    iso = 400
    python = "/opt/oak/bin/python"    # left out: this one; the SDK may live in an environment of its own

Needs ``pip install 'fieldrig[oak]'``. Colour is recorded as the JPEGs that the camera's own encoder makes, depth as 16-bit millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from devices.device import Decoder, Found, SensorConfig, Source, Stream
from devices.samples import Sample
from devices.sdk.depth_camera import KINDS, depth_camera_decoder, two_numbers
from devices.sdk.own_process import connected, open_in_own_process

FEED = Path(__file__).with_name("oak_feed.py")


class OakConfig(SensorConfig):
    serial: str = ""
    color_px: tuple[int, ...] = (1920, 1080)
    depth_px: tuple[int, ...] = (640, 400)
    rate_hz: int = Field(default=30, gt=0)
    imu: bool = False
    imu_rate_hz: int = Field(default=200, gt=0)
    exposure_us: int | None = Field(default=None, gt=0)
    iso: int = Field(default=400, ge=100, le=1600)
    white_balance_k: int | None = Field(default=None, ge=1000, le=12000)
    focus: int | None = Field(default=None, ge=0, le=255)
    python: str = ""

    _sizes = field_validator("color_px", "depth_px")(two_numbers)


class OakDriver:
    """Streams: ``SENSOR/image``, ``SENSOR/depth``, ``SENSOR/imu``, as far as asked for."""

    config = OakConfig
    sought = "OAK cameras (where depthai is installed)"
    yields: ClassVar[Mapping[str, type[Sample]]] = KINDS

    def open(self, name: str, config: OakConfig) -> Sequence[Source]:
        return open_in_own_process(name, FEED, config.model_dump(exclude={"python"}), config.python)

    def decoder(self, stream: Stream) -> Decoder:
        return depth_camera_decoder(stream, "an OAK camera")

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Where this Python has the SDK; it takes seconds to load."""
        return [
            Found("oak", f"{each['name']} {each['serial_number']}", {"serial": each["serial_number"]})
            for each in connected(FEED, timeout_s + 5.0)
        ]


DRIVER = OakDriver()
