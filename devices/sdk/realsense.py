"""Intel RealSense depth cameras (D400 series and their like), by librealsense in a process of its own.

    [sensors.head]
    driver = "realsense"
    serial = "012345678901"           # left out: the only one that is connected
    color_px = [1280, 720]            # [] for none
    depth_px = [848, 480]
    rate_hz = 30
    imu = true
    color_options = { enable_auto_exposure = 0, exposure = 156 }       # the SDK's own names and units
    depth_options = { emitter_enabled = 1 }
    python = "/opt/realsense/bin/python"     # left out: this one; the SDK may live in an environment of its own

Needs ``pip install 'fieldrig[realsense]'``. Colour is recorded as the camera sends it (MJPEG where it has it, else YUYV), depth as the
16-bit units that it measures.
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

FEED = Path(__file__).with_name("realsense_feed.py")


class RealsenseConfig(SensorConfig):
    serial: str = ""
    color_px: tuple[int, ...] = (1280, 720)
    depth_px: tuple[int, ...] = (848, 480)
    rate_hz: int = Field(default=30, gt=0)
    imu: bool = False
    color_options: dict[str, float] = Field(default_factory=dict)
    depth_options: dict[str, float] = Field(default_factory=dict)
    python: str = ""

    _sizes = field_validator("color_px", "depth_px")(two_numbers)


class RealsenseDriver:
    """Streams: ``SENSOR/image``, ``SENSOR/depth``, ``SENSOR/imu``, as far as asked for."""

    config = RealsenseConfig
    sought = "RealSense cameras (where pyrealsense2 is installed)"
    yields: ClassVar[Mapping[str, type[Sample]]] = KINDS

    def open(self, name: str, config: RealsenseConfig) -> Sequence[Source]:
        return open_in_own_process(name, FEED, config.model_dump(exclude={"python"}), config.python)

    def decoder(self, stream: Stream) -> Decoder:
        return depth_camera_decoder(stream, "a RealSense camera")

    def find(self, timeout_s: float) -> Sequence[Found]:
        """Where this Python has the SDK; it takes a second to load."""
        return [
            Found("realsense", f"{each['name']} {each['serial_number']}", {"serial": each["serial_number"]})
            for each in connected(FEED, timeout_s + 3.0)
        ]


DRIVER = RealsenseDriver()
