"""What a GoPro camera's MP4 holds: its video, and its telemetry (GPMF). It comes in through `fieldrig import gopro`.

    [sensors.camera]
    driver = "gopro"
    file = "GX010042.MP4"

Times are the camera's own: ns since its recording began (STMP where it gives it, else the MP4's).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from devices.cameras.access_unit import Codec
from devices.cameras.video import VideoDecoder
from devices.device import Decoder, Found, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.logs.gpmf import Measured, blocks, measured
from devices.samples import FixQuality, GnssFix, Image, ImuSample, NamedVector, Packet, Sample

IMU, GNSS, VECTORS = "gpmf.imu", "gpmf.gnss", "gpmf.vectors"
_ENCODING_OF = {"ACCL": IMU, "GYRO": IMU, "GPS5": GNSS, "GPS9": GNSS}
_FIXES = {2: FixQuality.TWO_D, 3: FixQuality.THREE_D}
_STEP_NS_MAX = 10_000_000_000  # between two payloads; more is a broken stamp
_QUATERNION, _AXES = ("w", "x", "y", "z"), ("x", "y", "z")
_CHANNELS = {"CORI": _QUATERNION, "IORI": _QUATERNION, "GRAV": _AXES}
# How the channels of cameras that do not say it lie along the camera's axes (gpmf-parser): HERO5, and all later ones.
_ORIENTATION_HERO5, _ORIENTATION_LATER = "ZXY", "YxZ"


class GoProConfig(SensorConfig):
    file: str


class GoProDriver:
    """Streams: ``SENSOR/image`` (h264 or h265), ``SENSOR/imu``, ``SENSOR/gnss``, ``SENSOR/telemetry``."""

    config = GoProConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {
        Codec.H264.value: Image, Codec.H265.value: Image, IMU: ImuSample, GNSS: GnssFix, VECTORS: NamedVector,
    }  # fmt: skip

    def open(self, name: str, config: GoProConfig) -> Sequence[Source]:
        raise DeviceError(f"{name}: {config.file} is a file of a camera, not the camera; run: fieldrig import gopro")

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding in (Codec.H264.value, Codec.H265.value):
            return VideoDecoder(stream.sensor, Codec(stream.encoding))
        if stream.encoding == IMU:
            return TelemetryDecoder(stream.sensor, _Imu(_orientation(stream.description)))
        if stream.encoding == GNSS:
            return TelemetryDecoder(stream.sensor, _fixes)
        if stream.encoding == VECTORS:
            return TelemetryDecoder(stream.sensor, _vectors)
        raise DeviceError(f"{stream.name}: a GoPro has no stream of '{stream.encoding}'")

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A file is no sensor: it is not looked for."""
        return ()


def encoding_of(key: str) -> str:
    """Which of the telemetry's streams a measurement belongs to."""
    return _ENCODING_OF.get(key, VECTORS)


@dataclass(frozen=True, slots=True)
class Timed:
    """A measurement and its samples' times on the camera's clock. times_ns: (samples,) int64."""

    measured: Measured
    times_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Held:
    measurements: list[Measured]
    end_ns: int


class TelemetryDecoder:
    """Payloads, each STRM blocks as the camera wrote them -> samples.

    A payload says when its first sample was measured; the others lie evenly up to the next payload's first, which has therefore to be
    awaited. The last payload's lie as far apart as those before.
    """

    carries_over = True

    def __init__(self, sensor: str, convert: Callable[[str, Sequence[Timed], Rejections], Iterable[Sample]]) -> None:
        self._sensor = sensor
        self._convert = convert
        self._rejections = Rejections()
        self._held: _Held | None = None
        self._period_ns: dict[str, float] = {}

    def decode(self, packet: Packet) -> Iterable[Sample]:
        try:
            read = [measured(block) for block in blocks(packet.data) if block.key == "STRM"]
        except ValueError:
            self._rejections.add("a payload that is no GPMF")
            return []
        if not packet.data or not read:
            self._rejections.add("a payload without measurements")
            return []
        before, self._held = self._held, _Held([each for each in read if each is not None], packet.stamps.own_ns)
        return [] if before is None else self._samples(before, self._held)

    def flush(self) -> Iterable[Sample]:
        before, self._held = self._held, None
        return [] if before is None else self._samples(before, None)

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejections.counts

    def _samples(self, held: _Held, after: _Held | None) -> list[Sample]:
        timed = [
            Timed(each, self._times(each, held, after))
            for each in held.measurements
            if each.values is not None and len(each.values)
        ]
        return list(self._convert(self._sensor, timed, self._rejections))

    def _times(self, each: Measured, held: _Held, after: _Held | None) -> NDArray[np.int64]:
        count = 0 if each.values is None else len(each.values)
        following = None if after is None else next((one for one in after.measurements if one.key == each.key), None)
        step_ns = _step_ns(each, held, following, after)
        if step_ns is not None:
            self._period_ns[each.key] = step_ns / count
        period_ns = self._period_ns.get(each.key, 1e9 / count)
        start_ns = held.end_ns - count * period_ns if each.stamp_us is None else each.stamp_us * 1000
        return round(start_ns) + np.round(np.arange(count) * period_ns).astype(np.int64)


def _step_ns(each: Measured, held: _Held, following: Measured | None, after: _Held | None) -> int | None:
    """From a payload's first sample to the next one's; None where nobody can tell."""
    if following is None or after is None:
        return None
    if each.stamp_us is not None and following.stamp_us is not None:
        step_ns = (following.stamp_us - each.stamp_us) * 1000
    else:
        step_ns = after.end_ns - held.end_ns
    return step_ns if 0 < step_ns < _STEP_NS_MAX else None


@dataclass(frozen=True, slots=True)
class _Imu:
    """An ImuSample at each of the gyroscope's times, the acceleration brought there, both along the camera's axes X, Y, Z."""

    orientation: str  # of cameras that do not say it

    def __call__(self, sensor: str, timed: Sequence[Timed], rejections: Rejections) -> Iterable[ImuSample]:
        found = {each.measured.key: each for each in timed}
        if not found.keys() >= {"ACCL", "GYRO"}:
            rejections.add("a payload without gyroscope or without accelerometer")
            return
        try:
            rates, accelerations = self._along_axes(found["GYRO"]), self._along_axes(found["ACCL"])
        except ValueError:
            rejections.add("an IMU whose axes make no sense")
            return
        at_ns, of_ns = found["GYRO"].times_ns, found["ACCL"].times_ns
        origin_ns = at_ns[0]
        brought = np.stack(
            [np.interp((at_ns - origin_ns) * 1e-9, (of_ns - origin_ns) * 1e-9, accelerations[:, axis]) for axis in range(3)],
            axis=1,
        )  # fmt: skip
        for t_ns, rate, acceleration in zip(at_ns.tolist(), rates, brought, strict=True):
            yield ImuSample(sensor, t_ns, rate, acceleration)

    def _along_axes(self, timed: Timed) -> NDArray[np.float64]:
        """ORIN names the axis along which each channel lies, in lower case where it lies against it."""
        values, letters = timed.measured.values, timed.measured.text("ORIN") or self.orientation
        if values is None or values.shape[1] != 3 or sorted(letters.upper()) != ["X", "Y", "Z"]:
            raise ValueError
        along = np.empty_like(values)
        for channel, letter in enumerate(letters):
            along[:, "XYZ".index(letter.upper())] = values[:, channel] * (-1.0 if letter.islower() else 1.0)
        return along


def _fixes(sensor: str, timed: Sequence[Timed], rejections: Rejections) -> Iterable[GnssFix]:
    """GPS5 and GPS9. Cameras that write both measure the same twice: GPS9, which says more, then counts."""
    keys = {each.measured.key for each in timed}
    for each in timed:
        values, key = each.measured.values, each.measured.key
        if values is None or (key == "GPS5" and "GPS9" in keys):
            continue
        if values.shape[1] != (9 if key == "GPS9" else 5):
            rejections.add(f"a {key} of {values.shape[1]} values")
            continue
        above_sea = each.measured.text("GPSA") == "MSLV"
        locked = each.measured.number("GPSF")
        for t_ns, row in zip(each.times_ns.tolist(), values, strict=True):
            quality = _FIXES.get(int(row[8] if key == "GPS9" else locked or 0))
            if quality is not None and abs(row[0]) <= 90 and abs(row[1]) <= 180:
                altitude = None if above_sea else float(row[2])
                yield GnssFix(sensor, t_ns, float(row[0]), float(row[1]), altitude, quality)


def _vectors(sensor: str, timed: Sequence[Timed], _: Rejections) -> Iterable[NamedVector]:
    """KEY.0, KEY.1, ... in the camera's units, which GPMF's SIUN and UNIT name."""
    for each in timed:
        values, key = each.measured.values, each.measured.key
        if values is None:
            continue
        width = values.shape[1]
        given = _CHANNELS.get(key, ())
        names = tuple(f"{key}.{part}" for part in (given if len(given) == width else range(width)))
        for t_ns, row in zip(each.times_ns.tolist(), values, strict=True):
            if np.isfinite(row).all():
                yield NamedVector(sensor, t_ns, key, names, row.copy())


def _orientation(description: str) -> str:
    try:
        firmware = str(json.loads(description or "{}").get("firmware", ""))
    except (ValueError, AttributeError):
        firmware = ""
    return _ORIENTATION_HERO5 if firmware.startswith("HD5") else _ORIENTATION_LATER


DRIVER = GoProDriver()
