"""A feed of a camera that the RealSense SDK itself plays (its software_device): numbered frames through fieldrig's own realsense_feed.py.

In the environment: JPEGS: a folder with the pictures to play as MJPEG, 0.jpg and on. LATE: the frame with which colour and gyroscope begin.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyrealsense2 as rs

SERIAL = "software-7"
FRAMES = 12
MISSING = 5  # a frame that the camera counts and does not give
MJPEG_SIZE = (160, 120)
_COLOUR_OPTIONS = {  # least, greatest, step, default
    "enable_auto_exposure": (0, 1, 1, 1), "exposure": (1, 10_000, 1, 156), "gain": (0, 1, 0.1, 0.5),
    "enable_auto_white_balance": (0, 1, 1, 1), "white_balance": (2800, 6500, 100, 4600),
}  # fmt: skip


def feed(config: dict[str, Any], out: Any) -> None:
    path = Path(__file__).resolve().parents[2] / "devices" / "sdk" / "realsense_feed.py"
    feeding = sys.modules["__main__"].loaded(str(path))  # fed_process.py runs this
    device = rs.software_device()
    device.register_info(rs.camera_info.serial_number, SERIAL)
    device.register_info(rs.camera_info.name, "Software Camera")
    stereo, colour, motion = (device.add_sensor(name) for name in ("Stereo Module", "RGB Camera", "Motion Module"))
    profiles = [
        _video(stereo, rs.stream.depth, rs.format.z16, 1, (32, 24), 2),
        _video(colour, rs.stream.color, rs.format.yuyv, 2, (64, 48), 2),
        _video(colour, rs.stream.color, rs.format.rgb8, 3, (64, 48), 3),
        _motion(motion, rs.stream.gyro, 4),
        _motion(motion, rs.stream.accel, 5),
        _video(colour, rs.stream.color, rs.format.mjpeg, 6, MJPEG_SIZE, 1),
    ]
    for name, (least, greatest, step, default) in _COLOUR_OPTIONS.items():
        kept = rs.option_range()
        kept.min, kept.max, kept.step, kept.default = least, greatest, step, default
        colour.add_option(getattr(rs.option, name), kept, True)
    stereo.add_read_only_option(rs.option.depth_units, 0.001)
    chosen = feeding.the_one("RealSense", feeding.cameras(rs, [device]), config["serial"])
    feeding.stream(chosen, config, out)
    if tuple(config["color_px"]) == MJPEG_SIZE:
        _play_jpegs(colour, profiles[-1])
    else:
        _play(stereo, colour, motion, profiles[:-1])
    if config["serial"]:
        raise RuntimeError("the RealSense camera is gone; check its plug")


def _play(stereo: Any, colour: Any, motion: Any, profiles: list[Any]) -> None:
    depth, yuyv, _, gyro, accel = profiles
    late = int(os.environ.get("LATE", "0"))
    for number in range(FRAMES):
        # The firmware's clock turns over in the middle; the stamps of depth are the middle of the exposure, by metadata.
        us = (1 << 32) - 200_000 + number * 33_333
        if number != MISSING:
            _show(stereo, depth, np.full((24, 32), 1000 + number, dtype=np.uint16), number, us, middle_us=us - 2000)
        _move(motion, accel, (0.0, -9.5 - number, 0.0), number, us)
        if number >= late:
            _show(colour, yuyv, np.full((48, 128), 16 + number, dtype=np.uint8), number, us)
            _move(motion, gyro, (0.1 * number, 0.0, 0.0), number, us + 10_000)


def _play_jpegs(colour: Any, mjpeg: Any) -> None:
    """As the SDK hands them out: in a buffer of the picture's size in pixels, behind them what an earlier one has left there."""
    buffer = np.zeros(MJPEG_SIZE[0] * MJPEG_SIZE[1], dtype=np.uint8)
    for number in range(FRAMES):
        picture = Path(os.environ["JPEGS"], f"{number}.jpg").read_bytes()
        buffer[: len(picture)] = np.frombuffer(picture, dtype=np.uint8)
        _show(
            colour, mjpeg, buffer.reshape(MJPEG_SIZE[1], MJPEG_SIZE[0]).copy(), number, number * 33_333, pixel_bytes=1
        )


def _show(
    sensor: Any, profile: Any, pixels: Any, number: int, us: int, middle_us: int = -1, pixel_bytes: int = 2
) -> None:
    frame = rs.software_video_frame()
    frame.pixels, frame.stride, frame.bpp = pixels, pixels.strides[0], pixel_bytes
    frame.timestamp, frame.domain, frame.frame_number = (
        us % (1 << 32) / 1000,
        rs.timestamp_domain.hardware_clock,
        number,
    )
    frame.profile = profile.as_video_stream_profile()
    if middle_us >= 0:
        sensor.set_metadata(rs.frame_metadata_value.sensor_timestamp, middle_us % (1 << 32))
    sensor.on_video_frame(frame)


def _move(sensor: Any, profile: Any, values: tuple[float, float, float], number: int, us: int) -> None:
    frame = rs.software_motion_frame()
    vector = rs.vector()
    vector.x, vector.y, vector.z = values
    frame.data, frame.frame_number = vector, number
    frame.timestamp, frame.domain = us % (1 << 32) / 1000, rs.timestamp_domain.hardware_clock
    frame.profile = profile.as_motion_stream_profile()
    sensor.on_motion_frame(frame)


def _video(sensor: Any, kind: Any, form: Any, uid: int, size: tuple[int, int], pixel_bytes: int) -> Any:
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.uid, stream.index, stream.fps, stream.bpp = kind, form, uid, 0, 30, pixel_bytes
    stream.width, stream.height = size
    lens = rs.intrinsics()
    lens.width, lens.height = size
    lens.fx = lens.fy = 50.0
    lens.ppx, lens.ppy = size[0] / 2, size[1] / 2
    lens.model, lens.coeffs = rs.distortion.brown_conrady, [0.1, 0.2, 0.0, 0.0, 0.3]
    stream.intrinsics = lens
    return sensor.add_video_stream(stream)


def _motion(sensor: Any, kind: Any, uid: int) -> Any:
    stream = rs.motion_stream()
    stream.type, stream.fmt, stream.uid, stream.index, stream.fps = kind, rs.format.motion_xyz32f, uid, 0, 200
    stream.intrinsics = rs.motion_device_intrinsic()
    return sensor.add_motion_stream(stream)
