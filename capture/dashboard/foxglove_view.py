"""A live view for the Foxglove app, over its WebSocket on this machine: the newest of each stream, for those topics that are looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from capture.dashboard.gallery import Gallery, Newest, coloured
from capture.errors import CaptureError
from capture.recorder_state import RecorderState
from devices.cameras.picture import jpeg
from devices.device import Stream
from devices.errors import FieldrigError
from devices.samples import Depth, GnssFix, Image, ImuSample, NamedVector, Sample, Sweep

_EVERY_S = 0.2
_FILES = ("jpeg", "png")  # encodings whose packets are pictures as they stand
_FLOAT_BYTES = 4


class FoxgloveView:
    """Serves until closed. Raises CaptureError when the library is not installed, or the port is taken.

    The recorder is asked for a stream only while somebody subscribes to it, at most five times a second. say: told once of each stream
    that a defect keeps from being shown.
    """

    def __init__(
        self,
        rig: str,
        port: int,
        gallery: Gallery,
        state: Callable[[], RecorderState | None],
        say: Callable[[str], None],
    ) -> None:
        try:
            import foxglove
        except ImportError:
            raise CaptureError("the view for Foxglove needs foxglove-sdk: pip install 'fieldrig[live]'") from None
        self._gallery = gallery
        self._state = state
        self._say = say
        self._said: set[str] = set()
        self._channels: dict[str, Any] = {}
        self._shown: dict[str, int] = {}
        self._context = foxglove.Context()
        self._stop = threading.Event()
        try:
            self._server = foxglove.start_server(name=rig, host="127.0.0.1", port=port, context=self._context)
        except RuntimeError as error:
            raise CaptureError(f"no view for Foxglove at port {port}: {error}; give another --foxglove") from None
        threading.Thread(target=self._run, name="fieldrig-foxglove", daemon=True).start()

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self._server.port}"

    def close(self) -> None:
        self._stop.set()
        self._server.stop()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            state = self._state()
            for each in state.streams if state is not None else ():
                self._tend(Stream(each.name, each.encoding, each.description))

    def _tend(self, stream: Stream) -> None:
        try:
            self._show(stream)
        except FieldrigError:
            return  # the page says what is wrong with a stream
        except Exception as error:  # a decoder's defect must not take the other streams away
            if stream.name not in self._said:
                self._said.add(stream.name)
                self._say(f"{stream.name} cannot be shown in Foxglove: {type(error).__name__}: {error}")

    def _show(self, stream: Stream) -> None:
        if stream.name not in self._channels:
            self._channels[stream.name] = self._channel(stream)
        channel = self._channels[stream.name]
        if channel is None or not channel.has_sinks():
            return
        newest = self._gallery.newest(stream)
        if newest is not None and newest.host_ns != self._shown.get(stream.name):
            self._shown[stream.name] = newest.host_ns
            channel.log(message(stream, newest), log_time=newest.host_ns)

    def _channel(self, stream: Stream) -> Any:
        """None for a stream that holds no samples."""
        import foxglove
        from foxglove import channels

        kind = self._gallery.yields(stream)
        if kind is None:
            return None
        made = {
            Image: channels.CompressedImageChannel,
            Depth: channels.CompressedImageChannel,
            Sweep: channels.PointCloudChannel,
            GnssFix: channels.LocationFixChannel,
        }.get(kind, foxglove.Channel)
        return made(f"/{stream.name}", context=self._context)


def message(stream: Stream, newest: Newest) -> Any:
    """Foxglove's message for a sample, stamped with its arrival; a dict, which goes as JSON, where Foxglove has none of its own."""
    from foxglove import messages

    sample, t_ns = newest.sample, newest.host_ns
    stamped: dict[str, Any] = {"timestamp": messages.Timestamp(t_ns // 10**9, t_ns % 10**9), "frame_id": stream.sensor}
    if isinstance(sample, Image):
        if stream.encoding in _FILES:
            return messages.CompressedImage(**stamped, data=newest.packet.data, format=stream.encoding)
        return messages.CompressedImage(**stamped, data=jpeg(sample.pixels, quality=80), format="jpeg")
    if isinstance(sample, Depth):
        return messages.CompressedImage(**stamped, data=jpeg(coloured(sample), quality=90), format="jpeg")
    if isinstance(sample, Sweep):
        return _cloud(sample, stamped)
    if isinstance(sample, GnssFix):
        return messages.LocationFix(
            **stamped,
            latitude=sample.latitude_deg,
            longitude=sample.longitude_deg,
            altitude=sample.altitude_m or 0.0,
        )
    return {"host_ns": t_ns, **_figures(sample)}


def _cloud(sweep: Sweep, stamped: Mapping[str, Any]) -> Any:
    from foxglove import messages

    names = ("x", "y", "z", "intensity")
    float32 = messages.PackedElementFieldNumericType.Float32
    data = np.column_stack([sweep.points_m, sweep.intensity]).astype("<f4")
    return messages.PointCloud(
        **stamped,
        point_stride=_FLOAT_BYTES * len(names),
        fields=[
            messages.PackedElementField(name=name, offset=_FLOAT_BYTES * index, type=float32)
            for index, name in enumerate(names)
        ],
        data=data.tobytes(),
    )


def _figures(sample: Sample) -> dict[str, Any]:
    if isinstance(sample, NamedVector):
        return dict(zip(sample.names, sample.values.tolist(), strict=True))
    if isinstance(sample, ImuSample):
        return {"angular_rate": sample.angular_rate.tolist(), "acceleration": sample.acceleration.tolist()}
    return {}
