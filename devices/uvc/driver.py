"""USB cameras (UVC): the JPEGs that the camera itself has made, as they came over the bus.

    [sensors.camera_left]
    driver = "uvc"
    device = "/dev/v4l/by-id/usb-046d_Logitech_BRIO_1A2B3C4D-video-index0"    # or a USB port's name in /dev/v4l/by-path
    width_px = 1920
    height_px = 1080
    rate_hz = 30
    exposure_us = 4000       # also gain, white_balance_k, focus; auto_exposure, auto_white_balance, auto_focus = true or false

A picture's stamp is the one that the kernel gave to its buffer (uvcvideo: the start of the frame), turned into host time. Missing pictures
are inferred from gaps between the stamps: the bus gives no number. Elsewhere than on Linux ``device`` is the camera's name, pictures
come through FFmpeg and carry no stamp (devices/uvc/ffmpeg.py).
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field, field_validator

from devices.cameras.picture import is_whole, picture_decoder
from devices.cameras.raw_picture import raw_decoder
from devices.device import ClockSource, Decoder, Found, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK, BufferStamps
from devices.samples import Image, Packet, Sample, Stamps
from devices.uvc.frame_gaps import FrameGaps
from devices.uvc.names import MJPG, plugged_in
from devices.uvc.settings import Settings, SettingsTaken, apply, differs_in_words

_WAITING_MAX = 64  # pictures that nobody has taken yet
_KERNEL_BUFFERS = 10  # OpenCV's most; its usual 4 last 0.13 s at 30 Hz
_CLOSE_S = 1.0


class UvcConfig(SensorConfig):
    device: str
    width_px: int = Field(default=1280, gt=0)
    height_px: int = Field(default=720, gt=0)
    rate_hz: float = Field(default=30.0, gt=0)
    exposure_us: int | None = Field(default=None, gt=0)
    gain: float | None = Field(default=None, ge=0)
    white_balance_k: int | None = Field(default=None, gt=0)
    focus: float | None = Field(default=None, ge=0)
    auto_exposure: bool | None = None
    auto_white_balance: bool | None = None
    auto_focus: bool | None = None

    @field_validator("device")
    @classmethod
    def _is_a_name_that_stays(cls, device: str) -> str:
        if re.fullmatch(r"(/dev/video)?\d+", device):
            raise ValueError(
                "numbers change with every plugging in; name the camera as /dev/v4l/by-id or /dev/v4l/by-path does"
            )
        return device

    def settings(self) -> Settings:
        return Settings(
            self.exposure_us, self.gain, self.white_balance_k, self.focus,
            self.auto_exposure, self.auto_white_balance, self.auto_focus,
        )  # fmt: skip


class Capture(Protocol):
    """A camera that is open and streams."""

    @property
    def encoding(self) -> str: ...

    @property
    def taken(self) -> SettingsTaken: ...

    def next_picture(self) -> tuple[bytes, int | None]:
        """Bytes, and their stamp in host time where there is one. Waits for it; raises DeviceError when the camera is gone."""
        ...

    def close(self) -> None: ...


class UvcDriver:
    """Stream: ``SENSOR/image``. Its description is JSON: size, rate, ``settings`` as read back, and ``differs`` from what was asked."""

    config = UvcConfig
    sought = "USB cameras"
    yields: ClassVar[Mapping[str, type[Sample]]] = {"jpeg": Image, "yuyv": Image}

    def open(self, name: str, config: UvcConfig) -> Sequence[Source]:
        return [UvcSource(f"{name}/image", config, _opened(name, config))]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding == "jpeg":
            return picture_decoder(stream.sensor)
        if stream.encoding == "yuyv":
            return raw_decoder(stream)
        raise DeviceError(f"{stream.name}: a USB camera gives 'jpeg' or 'yuyv', not '{stream.encoding}'")

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """Linux: what udev has named. Its largest size of up to 1080 lines goes into the config."""
        found = []
        for camera in plugged_in():
            size = next((size for size in camera.sizes_px if size[1] <= 1080), camera.sizes_px[-1])
            config = {"device": camera.device, "width_px": size[0], "height_px": size[1]}
            found.append(Found("uvc", camera.label, config))
        return found


class UvcSource:
    """An open camera. A thread of its own takes the pictures from the kernel, whose few buffers must not wait for a reader."""

    def __init__(self, stream_name: str, config: UvcConfig, capture: Capture) -> None:
        self._capture, self._device = capture, config.device
        self._stream = Stream(stream_name, capture.encoding, _description(config, capture.taken))
        self.remark = differs_in_words(capture.taken.differs)
        self._gaps = FrameGaps(round(1e9 / config.rate_hz))
        self._waiting: deque[Packet] = deque()
        self._changed = threading.Condition()
        self._failure: DeviceError | None = None
        self._closed = False
        self._overrun = 0
        self._is_stamped = False
        self.broken = 0  # JPEGs without their start or end: kept as they came
        self._thread = threading.Thread(target=self._take, name=f"fieldrig-uvc-{stream_name}", daemon=True)
        self._thread.start()

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        """The pictures that have come. Raises DeviceError when the camera is unplugged, EOFError once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._failure or self._closed, timeout_s)
            if self._closed:
                raise EOFError(f"{self._stream.name} was closed")
            if self._failure and not self._waiting:
                raise self._failure
            packets = list(self._waiting)
            self._waiting.clear()
            return packets

    @property
    def lost(self) -> int:
        """Pictures missing between the stamps, and those that nobody took in time."""
        return self._gaps.missing + self._overrun

    @property
    def rejected(self) -> Mapping[str, int]:
        return {"a picture without its start or end": self.broken} if self.broken else {}

    @property
    def clock_source(self) -> ClockSource:
        return ClockSource.HOST if self._is_stamped else ClockSource.NONE

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A camera that hangs holds its thread for as long as OpenCV waits (10 s); it lets go of the camera by itself then.
        self._thread.join(_CLOSE_S)

    def _take(self) -> None:
        try:
            while not self._closed:
                data, stamp_ns = self._capture.next_picture()
                self._keep(Packet(self._stream.name, Stamps(HOST_CLOCK.now_ns(), stamp_ns), data))
        except DeviceError as error:
            self._fail(error)
        except Exception as error:  # OpenCV's own, say: nobody else hears this thread
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._fail(DeviceError(f"{self._stream.name}: {self._device} gave no picture: {why}; check its plug"))
        finally:
            self._capture.close()

    def _fail(self, failure: DeviceError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _keep(self, packet: Packet) -> None:
        self._gaps.take(packet.stamps.own_ns - HOST_CLOCK.anchor_ns)  # in boot time: host time may be anchored anew
        self._is_stamped = packet.stamps.device_ns is not None
        if self._stream.encoding == "jpeg" and not is_whole(packet.data):
            self.broken += 1
        with self._changed:
            if len(self._waiting) >= _WAITING_MAX:
                self._overrun += 1
                return
            self._waiting.append(packet)
            self._changed.notify_all()


class V4l2Capture:
    """A camera through OpenCV's V4L2 backend, told not to decode. camera: a cv2.VideoCapture."""

    encoding = "jpeg"

    def __init__(self, name: str, config: UvcConfig, camera: Any) -> None:
        import cv2

        self._name, self._device, self._camera = name, config.device, camera
        self._stamps = BufferStamps()
        if camera is None or not camera.isOpened():
            raise DeviceError(
                f"{name}: no camera at {config.device}; plug it in (ls -l /dev/v4l/by-id shows what there is), "
                "close other programs that use it, and be in the group 'video'"
            )
        try:
            wanted = (  # what resets the camera first
                (cv2.CAP_PROP_BUFFERSIZE, _KERNEL_BUFFERS), (cv2.CAP_PROP_FOURCC, MJPG),
                (cv2.CAP_PROP_FRAME_WIDTH, config.width_px), (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
                (cv2.CAP_PROP_FPS, config.rate_hz), (cv2.CAP_PROP_CONVERT_RGB, 0),
            )  # fmt: skip
            for number, value in wanted:
                camera.set(number, value)
            self._check(config)
            self.taken = apply(camera, config.settings())
        except BaseException:
            camera.release()
            raise

    def next_picture(self) -> tuple[bytes, int | None]:
        import cv2

        if not self._camera.grab():
            raise DeviceError(f"{self._name}: the camera at {self._device} is gone; check its plug")
        stamp_ms = self._camera.get(cv2.CAP_PROP_POS_MSEC)
        ok, pixels = self._camera.retrieve()
        if not ok:
            raise DeviceError(
                f"{self._name}: the camera at {self._device} gave a picture that cannot be fetched; check its plug"
            )
        return pixels.tobytes(), self._stamps.host_ns(round(stamp_ms * 1e6)) if stamp_ms > 0 else None

    def close(self) -> None:
        self._camera.release()

    def _check(self, config: UvcConfig) -> None:
        """Raises DeviceError when the pictures would be others than those asked for."""
        import cv2

        code = int(self._camera.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1")
        size = tuple(int(self._camera.get(number)) for number in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        rate_hz = self._camera.get(cv2.CAP_PROP_FPS)
        asked = f"{config.width_px}x{config.height_px} MJPG at {config.rate_hz:g} Hz"
        if code != "MJPG" or size != (config.width_px, config.height_px) or abs(rate_hz - config.rate_hz) > 0.5:
            raise DeviceError(
                f"{self._name}: {self._device} gives {size[0]}x{size[1]} {code} at {rate_hz:g} Hz, not {asked}; "
                "set width_px, height_px and rate_hz in rig.toml to what it has (v4l2-ctl --list-formats-ext)"
            )


def _opened(name: str, config: UvcConfig) -> Capture:
    if sys.platform != "linux":
        from devices.uvc.ffmpeg import FfmpegCapture, device_url

        return FfmpegCapture(name, config.device, *device_url(config), config.settings())
    return V4l2Capture(name, config, video_capture(config.device))


def video_capture(device: str) -> Any:
    """The one place where a camera is touched: a cv2.VideoCapture; None when nothing of this name is plugged in."""
    import cv2

    return cv2.VideoCapture(device, cv2.CAP_V4L2) if Path(device).exists() else None


def _description(config: UvcConfig, taken: SettingsTaken) -> str:
    said = {
        "device": config.device, "width_px": config.width_px, "height_px": config.height_px, "rate_hz": config.rate_hz,
        "settings": dict(taken.settings), "differs": dict(taken.differs),
    }  # fmt: skip
    return json.dumps(said)


DRIVER = UvcDriver()
