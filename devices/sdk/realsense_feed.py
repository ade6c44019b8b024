"""RealSense cameras through Intel's SDK, in a process of its own (devices/sdk/own_process.py). It needs nothing else of fieldrig.

Frames are taken at the sensors, not through the SDK's pipeline: that would pair and drop them. Stamps are the camera's own clock (the
SDK's "global time" is switched off: it mixes in this machine's clock), at the middle of the exposure where the firmware says it.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from devices.sdk.fed_process import ACCELERATION, ANGULAR_RATE, MOTION, Feed, sdk, the_one

_COLOUR_FORMATS = {"mjpeg": "jpeg", "yuyv": "yuyv", "rgb8": "rgb8"}  # the SDK's names, best first -> encodings
_RECORDED = (
    "enable_auto_exposure", "exposure", "gain", "enable_auto_white_balance", "white_balance", "emitter_enabled", "laser_power"
)  # fmt: skip
_JPEG_START_BYTES, _JPEG_END, _SCAN = 2, b"\xff\xd9", 0xDA
_TURN_NS = (1 << 32) * 1000  # the firmware's clock is 32 bits of microseconds: 71.6 minutes


def feed(config: Mapping[str, Any], out: Feed) -> None:
    """Streams from the camera of this serial number until it is unplugged."""
    rs = sdk("pyrealsense2", "realsense")
    context = rs.context()
    device = the_one("RealSense", cameras(rs, context.query_devices()), config["serial"])
    gone = threading.Event()
    context.set_devices_changed_callback(lambda change: gone.set() if change.was_removed(device) else None)
    stream(device, config, out)
    gone.wait()
    raise RuntimeError("the RealSense camera is gone; check its plug")


def connected() -> Mapping[str, tuple[str, Any]]:
    rs = sdk("pyrealsense2", "realsense")
    return cameras(rs, rs.context().query_devices())


def cameras(rs: Any, devices: Iterable[Any]) -> Mapping[str, tuple[str, Any]]:
    """Serial number -> name, device."""
    return {_info(rs, device, "serial_number"): (_info(rs, device, "name"), device) for device in devices}


def stream(device: Any, config: Mapping[str, Any], out: Feed) -> None:
    """Starts all sensors of a camera that the config asks for; their packets come from the SDK's threads."""
    import pyrealsense2 as rs

    sensors = list(device.query_sensors())  # asked once: the SDK gives new objects each time
    wanted = []  # sensor, profile, what, encoding, description
    for kind, what in (("color", "image"), ("depth", "depth")):
        if size := config[f"{kind}_px"]:
            sensor, profile, encoding = _video(sensors, kind, size, config["rate_hz"])
            wanted.append((sensor, profile, what, encoding, _described(rs, sensor, profile, config[f"{kind}_options"])))
    streams = [{"what": what, "encoding": encoding, "description": said} for _, _, what, encoding, said in wanted]
    clock = _Clock(rs)
    takers: list[Callable[[Any], None]] = [_video_taker(rs, clock, index, out) for index in range(len(wanted))]
    if config["imu"]:
        description = json.dumps({"device": _info(rs, device, "name")})
        streams.append({"what": "imu", "encoding": "motion", "description": description})
        for kind, code in (("gyro", ANGULAR_RATE), ("accel", ACCELERATION)):
            sensor, profile = _motion(rs, sensors, kind)
            wanted.append((sensor, profile, "imu", "motion", description))
            takers.append(_motion_taker(clock, len(streams) - 1, code, out))
    if not streams:
        raise RuntimeError("nothing is asked of the camera; set color_px, depth_px or imu in rig.toml")
    out.hello(streams)
    _start([(sensor, profile, taker) for (sensor, profile, *_), taker in zip(wanted, takers, strict=True)])


def _start(wanted: list[tuple[Any, Any, Callable[[Any], None]]]) -> None:
    """A sensor is opened once, with all its profiles; each frame goes to its profile's taker."""
    for sensor in {id(each): each for each, _, _ in wanted}.values():
        takers = {profile.unique_id(): taker for each, profile, taker in wanted if each is sensor}

        def take(frame: Any, takers: Mapping[int, Callable[[Any], None]] = takers) -> None:
            if (taker := takers.get(frame.get_profile().unique_id())) is not None:
                taker(frame)

        sensor.open([profile for each, profile, _ in wanted if each is sensor])
        sensor.start(take)


def _info(rs: Any, device: Any, name: str) -> str:
    kind = getattr(rs.camera_info, name)
    return str(device.get_info(kind)) if device.supports(kind) else ""


def _profiles(sensors: list[Any], kind: str) -> list[tuple[Any, Any]]:
    return [
        (sensor, profile)
        for sensor in sensors
        for profile in sensor.get_stream_profiles()
        if profile.stream_type().name == kind
    ]


def _video(sensors: list[Any], kind: str, size: list[int], rate_hz: int) -> tuple[Any, Any, str]:
    """The sensor, its profile, and the encoding of what that gives."""
    offered = [(sensor, profile.as_video_stream_profile()) for sensor, profile in _profiles(sensors, kind)]
    formats = _COLOUR_FORMATS if kind == "color" else {"z16": "z16"}
    for format_name, encoding in formats.items():
        for sensor, profile in offered:
            shape = [profile.width(), profile.height()]
            if shape == list(size) and profile.fps() == rate_hz and profile.format().name == format_name:
                return sensor, profile, encoding
    choices = sorted({f"{p.width()}x{p.height()} at {p.fps()} Hz" for _, p in offered if p.format().name in formats})
    raise RuntimeError(
        f"the camera gives no {kind} of {size[0]}x{size[1]} at {rate_hz} Hz; set {kind}_px and rate_hz in rig.toml to one of: "
        f"{', '.join(choices) or 'nothing, it has none'}"
    )


def _motion(rs: Any, sensors: list[Any], kind: str) -> tuple[Any, Any]:
    """The fastest."""
    offered = [each for each in _profiles(sensors, kind) if each[1].format() == rs.format.motion_xyz32f]
    if not offered:
        raise RuntimeError("the camera has no IMU; set imu = false in rig.toml")
    return max(offered, key=lambda each: each[1].fps())


def _described(rs: Any, sensor: Any, profile: Any, options: Mapping[str, float]) -> str:
    settings, differs = _set(rs, sensor, options)
    lens = profile.get_intrinsics()
    said: dict[str, Any] = {
        "width_px": profile.width(), "height_px": profile.height(), "rate_hz": profile.fps(),
        "settings": settings, "differs": differs,
        "factory_lens": {
            "fx": lens.fx, "fy": lens.fy, "cx": lens.ppx, "cy": lens.ppy, "model": lens.model.name, "distortion": list(lens.coeffs)
        },
    }  # fmt: skip
    if profile.format() == rs.format.z16:
        said["scale_m"] = round(sensor.get_option(rs.option.depth_units), 9)
    return json.dumps(said)


def _set(rs: Any, sensor: Any, options: Mapping[str, float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings as read back, what differs from what was asked). Automatics first: they would undo the figures."""
    if sensor.supports(rs.option.global_time_enabled):
        sensor.set_option(rs.option.global_time_enabled, 0)
    for name in sorted(options, key=lambda name: not name.startswith("enable_")):
        option = getattr(rs.option, name, None)
        if option is None or not sensor.supports(option):
            known = ", ".join(sorted(each.name for each in sensor.get_supported_options()))
            raise RuntimeError(f"the camera has no option '{name}'; it has: {known}")
        _set_one(sensor, option, name, options[name])
    settings = {
        name: sensor.get_option(getattr(rs.option, name))
        for name in dict.fromkeys((*_RECORDED, *options))
        if sensor.supports(getattr(rs.option, name))
    }
    differs = {
        name: {"asked": value, "is": settings[name]}
        for name, value in options.items()
        if struct.pack("f", settings[name]) != struct.pack("f", value)  # the SDK's figures are float32
    }
    # Named as all cameras' settings are: auto_exposure, auto_white_balance.
    return {name.removeprefix("enable_"): value for name, value in settings.items()}, differs


def _set_one(sensor: Any, option: Any, name: str, value: float) -> None:
    try:
        sensor.set_option(option, value)
    except RuntimeError as error:
        takes = sensor.get_option_range(option)
        raise RuntimeError(
            f"{name} cannot be {value:g}: {error}; it takes {takes.min:g} to {takes.max:g} in steps of {takes.step:g}"
        ) from None


def _video_taker(rs: Any, clock: _Clock, index: int, out: Feed) -> Callable[[Any], None]:
    def take(frame: Any) -> None:
        is_jpeg = frame.get_profile().format() == rs.format.mjpeg
        data = jpeg_of(frame) if is_jpeg else bytes(frame.get_data())
        out.packet(index, data, clock.device_ns(frame), frame.get_frame_number())

    return take


def jpeg_of(frame: Any) -> bytes:
    """The JPEG in a frame, whose buffer has the picture's geometry: as long as the SDK says, else up to its end; all of it where it has none."""
    buffer = memoryview(frame.get_data()).cast("B")
    size = frame.get_data_size()
    is_told = 0 < size < len(buffer)
    data = bytes(buffer[:size] if is_told else buffer)
    return data if is_told and data.rstrip(b"\0").endswith(_JPEG_END) else data[: _jpeg_end(data)]


def _jpeg_end(data: bytes) -> int:
    """Behind the marker that ends it (ITU-T T.81, annex B): the first behind where its scan begins; a thumbnail's stands before. Or all."""
    at = _JPEG_START_BYTES
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    end = data.find(_JPEG_END, at)
    return len(data) if end < 0 else end + len(_JPEG_END)


def _motion_taker(clock: _Clock, index: int, code: int, out: Feed) -> Callable[[Any], None]:
    def take(frame: Any) -> None:
        motion = frame.as_motion_frame().get_motion_data()
        data = MOTION.pack(code, motion.x, motion.y, motion.z)
        out.packet(index, data, clock.device_ns(frame), frame.get_frame_number(), series=code)

    return take


class _Clock:
    """The camera's clock, its turns counted for all of its streams. Any thread may ask."""

    def __init__(self, rs: Any) -> None:
        self._rs = rs
        self._asking = threading.Lock()
        self._newest_ns = (
            _TURN_NS * 3 // 2
        )  # all first stamps are of one turn, and the next stream's may be from before it

    def device_ns(self, frame: Any) -> int | None:
        """None where the SDK has only this machine's time to offer."""
        rs = self._rs
        if frame.get_frame_timestamp_domain() != rs.timestamp_domain.hardware_clock:
            return None
        middle = rs.frame_metadata_value.sensor_timestamp
        if frame.supports_frame_metadata(middle):
            return self._turned(frame.get_frame_metadata(middle) * 1000)
        return self._turned(round(frame.get_timestamp() * 1e6))

    def _turned(self, ns: int) -> int:
        """In the turn that brings it nearest to the newest."""
        with self._asking:
            self._newest_ns += (ns - self._newest_ns + _TURN_NS // 2) % _TURN_NS - _TURN_NS // 2
            return self._newest_ns
