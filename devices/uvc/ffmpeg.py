"""USB cameras on macOS and Windows, through FFmpeg's devices: as encoded by the camera where the system hands that out.

DirectShow gives the camera's own JPEGs; AVFoundation gives decoded pictures only, taken as YUYV. Neither states when a picture was taken
on a clock that could be compared, so the arrival counts. Exposure and its like can be neither set nor read here: all that was asked differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devices.errors import DeviceError
from devices.uvc.settings import Settings, none_taken

if TYPE_CHECKING:
    from devices.uvc.driver import UvcConfig

_ENCODINGS = {"mjpeg": "jpeg", "rawvideo": "yuyv"}


class FfmpegCapture:
    """A camera, or whatever else FFmpeg opens by an address and a format."""

    def __init__(
        self, name: str, device: str, address: str, format_name: str, options: Mapping[str, str], wanted: Settings
    ) -> None:
        import av

        self._name, self._device = name, device
        self.taken = none_taken(wanted)
        try:
            self._container: Any = av.open(address, format=format_name, options=dict(options))
        except (av.FFmpegError, ValueError, OSError) as error:
            raise DeviceError(
                f"{name}: no camera '{device}' that gives this size and rate: {error}; "
                f"ffmpeg -f {format_name} -list_devices true -i dummy shows what there is"
            ) from None
        video = self._container.streams.video[0]
        codec = video.codec_context.name
        if codec not in _ENCODINGS:
            self._container.close()
            raise DeviceError(
                f"{name}: '{device}' gives {codec}, and fieldrig takes MJPEG or raw YUYV from a USB camera"
            )
        self.encoding = _ENCODINGS[codec]
        self._packets: Iterator[Any] = self._container.demux(video)

    def next_picture(self) -> tuple[bytes, None]:
        import av

        try:
            packet = next(self._packets)
            while not packet.size:
                packet = next(self._packets)
        except (av.FFmpegError, StopIteration):
            raise DeviceError(f"{self._name}: the camera '{self._device}' is gone; check its plug") from None
        return bytes(packet), None

    def close(self) -> None:
        self._container.close()


def device_url(config: UvcConfig) -> tuple[str, str, dict[str, str]]:
    """FFmpeg's address, format and options for a camera of this system."""
    options = {"video_size": f"{config.width_px}x{config.height_px}", "framerate": f"{config.rate_hz:g}"}
    if sys.platform == "darwin":
        return f"{config.device}:none", "avfoundation", options | {"pixel_format": "yuyv422"}
    return f"video={config.device}", "dshow", options | {"vcodec": "mjpeg", "rtbufsize": "256M"}
