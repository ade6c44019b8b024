"""What ROS' standard messages mean as samples. Message fields, frames and units: REP 103, sensor_msgs, nav_msgs, geometry_msgs.

Each function takes the stream, the message's time (header.stamp, or its arrival where that is zero) and the message as rosbags
deserialises it. DeviceError's text is the reason for which a message is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.device import Stream
from devices.errors import DeviceError
from devices.samples import Depth, FixQuality, GnssFix, Image, ImuSample, NamedVector, Sample

Convert = Callable[[Stream, int, Any], Sample | None]  # None: a message that holds nothing, and rightly so

_POSE_NAMES = ("pose.x_m", "pose.y_m", "pose.z_m", "pose.qw", "pose.qx", "pose.qy", "pose.qz")
_TWIST_NAMES = (
    "twist.x_m_s", "twist.y_m_s", "twist.z_m_s", "twist.roll_rad_s", "twist.pitch_rad_s", "twist.yaw_rad_s",
)  # fmt: skip
_CHANNELS: Mapping[str, int] = {
    "rgb8": 3, "8UC3": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1,
    "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
    "yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2,
}  # fmt: skip
_FIXES = {
    0: FixQuality.THREE_D,
    1: FixQuality.DIFFERENTIAL,
    2: FixQuality.DIFFERENTIAL,
}  # NavSatStatus: fix, SBAS, GBAS
_MM = 0.001


def stamp_ns(header: Any) -> int:
    """0 where nobody set it."""
    return time_ns(header.stamp)


def time_ns(stamp: Any) -> int:
    """builtin_interfaces/Time in ns."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def image(stream: Stream, t_ns: int, message: Any) -> Image:
    channels = _CHANNELS.get(message.encoding)
    if channels is None:
        raise DeviceError(f"a picture of encoding {message.encoding!r:.40} is not decoded")
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not 0 < width * channels <= step or step * height != len(message.data):
        raise DeviceError("a picture whose size does not fit its bytes")
    rows = np.asarray(message.data, dtype=np.uint8).reshape(height, step)[:, : width * channels]
    return Image(stream.sensor, t_ns, _rgb(rows.reshape(height, width, channels), message.encoding))


def depth(stream: Stream, t_ns: int, message: Any) -> Depth:
    """16UC1 and mono16 are mm, 32FC1 is m (REP 118); the latter to the nearest mm, up to 65 m."""
    kind = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}.get(message.encoding)
    if kind is None:
        raise DeviceError(f"depths of encoding {message.encoding!r:.40} are not decoded")
    height, width, step = int(message.height), int(message.width), int(message.step)
    pixel_bytes = int(kind[1])
    if not 0 < width * pixel_bytes <= step or step * height != len(message.data):
        raise DeviceError("a picture whose size does not fit its bytes")
    rows = np.asarray(message.data, dtype=np.uint8).reshape(height, step)[:, : width * pixel_bytes]
    values = np.ascontiguousarray(rows).view((">" if message.is_bigendian else "<") + kind)
    if kind == "f4":
        values = np.nan_to_num(values.astype(np.float64) * 1000, nan=0, posinf=0, neginf=0)
        values = np.where((values >= 0) & (values < 65_535.5), np.round(values), 0)
    return Depth(stream.sensor, t_ns, values.astype(np.uint16), _MM)


def compressed_depth(stream: Stream, t_ns: int, message: Any) -> Depth:
    """compressed_depth_image_transport's: twelve bytes of settings, then a PNG of 16 bits in mm."""
    import cv2

    try:
        units = cv2.imdecode(np.asarray(message.data[12:], dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        units = None
    if units is None or units.ndim != 2 or units.dtype != np.uint16 or "32FC1" in message.format:
        raise DeviceError(f"depths of format {message.format!r:.40} are not decoded")
    return Depth(stream.sensor, t_ns, np.asarray(units, dtype=np.uint16), _MM)


def imu(stream: Stream, t_ns: int, message: Any) -> ImuSample:
    # sensor_msgs/Imu: a first covariance element of -1 says that this is not measured.
    if message.angular_velocity_covariance[0] == -1 or message.linear_acceleration_covariance[0] == -1:
        raise DeviceError("an IMU message without rates or without accelerations")
    return ImuSample(stream.sensor, t_ns, _xyz(message.angular_velocity), _xyz(message.linear_acceleration))


def fix(stream: Stream, t_ns: int, message: Any) -> GnssFix | None:
    if message.status.status < 0:  # the receiver sees too few satellites
        return None
    latitude, longitude, altitude = (float(getattr(message, name)) for name in ("latitude", "longitude", "altitude"))
    if not (abs(latitude) <= 90 and abs(longitude) <= 360):
        raise DeviceError("a fix outside the earth")
    variances = np.asarray(message.position_covariance, dtype=np.float64)[::4]
    known = message.position_covariance_type != 0 and bool((variances >= 0).all())
    return GnssFix(
        sensor=stream.sensor,
        t_ns=t_ns,
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=altitude if np.isfinite(altitude) else None,
        quality=_FIXES.get(int(message.status.status), FixQuality.THREE_D),
        sigma_m=np.sqrt(variances) if known else None,
    )


def odometry(stream: Stream, t_ns: int, message: Any) -> NamedVector:
    """The pose in header.frame_id, the velocity in child_frame_id."""
    values = np.concatenate([_pose(message.pose.pose), _twist(message.twist.twist)])
    return _vector(stream, t_ns, _POSE_NAMES + _TWIST_NAMES, values)


def pose_stamped(stream: Stream, t_ns: int, message: Any) -> NamedVector:
    return _vector(stream, t_ns, _POSE_NAMES, _pose(message.pose))


def pose_with_covariance(stream: Stream, t_ns: int, message: Any) -> NamedVector:
    return _vector(stream, t_ns, _POSE_NAMES, _pose(message.pose.pose))


def twist_stamped(stream: Stream, t_ns: int, message: Any) -> NamedVector:
    return _vector(stream, t_ns, _TWIST_NAMES, _twist(message.twist))


def joint_state(stream: Stream, t_ns: int, message: Any) -> NamedVector:
    """JOINT.position, .velocity, .effort of each joint: rad or m as the joint turns or slides, which the message does not say."""
    names: list[str] = []
    values: list[float] = []
    for what in ("position", "velocity", "effort"):
        given = getattr(message, what)
        if len(given) not in (0, len(message.name)):
            raise DeviceError(f"a joint state with {what}s for other joints than it names")
        names += [f"{joint}.{what}" for joint in message.name] if len(given) else []
        values += list(given)
    if len(set(names)) != len(names):
        raise DeviceError("a joint state that names a joint twice")
    return _vector(stream, t_ns, tuple(names), np.array(values, dtype=np.float64))


def _vector(stream: Stream, t_ns: int, names: tuple[str, ...], values: NDArray[np.float64]) -> NamedVector:
    if not np.isfinite(values).all():
        raise DeviceError("values that are not finite")
    return NamedVector(stream.sensor, t_ns, stream.name.partition("/")[2], names, values)


def _xyz(vector: Any) -> NDArray[np.float64]:
    return np.array([vector.x, vector.y, vector.z], dtype=np.float64)


def _pose(pose: Any) -> NDArray[np.float64]:
    turn = pose.orientation
    return np.array([*_xyz(pose.position), turn.w, turn.x, turn.y, turn.z], dtype=np.float64)


def _twist(twist: Any) -> NDArray[np.float64]:
    return np.concatenate([_xyz(twist.linear), _xyz(twist.angular)])


def _rgb(pixels: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """(H, W, channels) -> (H, W, 3). OpenCV names a Bayer pattern by the second row's second and third pixel."""
    import cv2

    if encoding in ("rgb8", "rgba8"):
        return np.ascontiguousarray(pixels[..., :3])
    if encoding in ("bgr8", "8UC3", "bgra8"):
        return np.ascontiguousarray(pixels[..., 2::-1])
    code = {
        "mono8": cv2.COLOR_GRAY2RGB, "8UC1": cv2.COLOR_GRAY2RGB,
        "bayer_rggb8": cv2.COLOR_BayerBG2RGB, "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
        "bayer_gbrg8": cv2.COLOR_BayerGR2RGB, "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
        "yuv422": cv2.COLOR_YUV2RGB_UYVY, "uyvy": cv2.COLOR_YUV2RGB_UYVY,
        "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV, "yuyv": cv2.COLOR_YUV2RGB_YUYV,
    }[encoding]  # fmt: skip
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), dtype=np.uint8)
    except cv2.error:
        raise DeviceError("a picture that does not decode") from None
