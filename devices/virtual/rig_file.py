"""The rig.toml that a crew would have written for the virtual rig: addresses, stated latencies, mounting measured by hand."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from devices.transform import Transform
from devices.virtual.board import DICTIONARY, MARGIN_M, MARKER_M, SQUARE_M, SQUARES
from devices.virtual.rig_truth import CAMERAS, LIDAR, RIG_FROM, TRANSPORTS

BASE_PORT = 17500
_OFFSETS = {"lidar": 2, "imu": 3, "state": 4, "action": 5, "marks": 6, "http": 10}

# By how much the tape measure and the eye were off: (roll, pitch, yaw) in degrees, then metres. The lidar sits on a machined plate;
# its measured place defines the rig's frame in a calibration.
_MISMEASURED = MappingProxyType(
    {
        "lidar": ((0.2, -0.15, 0.25), (0.004, -0.006, 0.008)),
        "camera_left": ((-1.3, 1.9, 1.6), (0.022, -0.017, 0.026)),
        "camera_right": ((1.7, -1.4, -2.0), (-0.019, 0.024, -0.021)),
    }
)


def ports(base: int = BASE_PORT) -> dict[str, int]:
    """What each stream's port is called and which it is."""
    return {name: base + offset for name, offset in _OFFSETS.items()}


def hand_measured(sensor: str) -> tuple[list[float], list[float]]:
    """xyz_m and rpy_deg as somebody with a tape measure would have written them down."""
    rpy_deg, shift_m = _MISMEASURED[sensor]
    true = RIG_FROM[sensor]
    turned = true @ Transform.from_rpy(sensor, sensor, rpy_deg, (0, 0, 0))
    r = turned.rotation
    rpy = np.degrees([np.arctan2(r[2, 1], r[2, 2]), -np.arcsin(np.clip(r[2, 0], -1, 1)), np.arctan2(r[1, 0], r[0, 0])])
    return (true.translation_m + shift_m).round(3).tolist(), rpy.round(1).tolist()


def rig_toml(base_port: int = BASE_PORT) -> str:
    """The file's text."""
    port = ports(base_port)
    http = f"http://127.0.0.1:{port['http']}"
    lines = [
        "# The virtual rig: a delivery robot with a lidar and two cameras, played on this machine's loopback.",
        'name = "virtual"',
        'vehicle = "delivery robot"',
        "",
        "[board]",
        f"squares = [{SQUARES[0]}, {SQUARES[1]}]",
        f"square_m = {SQUARE_M}",
        f"marker_m = {MARKER_M}",
        f"margin_m = {MARGIN_M}",
        f'dictionary = "{DICTIONARY}"',
    ]
    for camera in CAMERAS:
        lines += _sensor(camera, "mjpeg", camera, [f'url = "{http}/{camera}.mjpeg"'])
    own = [
        f'metadata = "{http}/metadata.json"',
        'host = "127.0.0.1"',
        f"lidar_port = {port['lidar']}",
        f"imu_port = {port['imu']}",
    ]
    lines += _sensor(LIDAR, "ouster", LIDAR, own)
    lines += _sensor(
        "robot", "named_vector", None, [f"ports = {{ state = {port['state']}, action = {port['action']} }}"]
    )
    lines += _sensor("operator", "marks", None, [f"port = {port['marks']}"])
    return "\n".join(lines) + "\n"


def _sensor(name: str, driver: str, mounted: str | None, own: list[str]) -> list[str]:
    lines = [
        "",
        f"[sensors.{name}]",
        f'driver = "{driver}"',
        f"least_latency_ms = {TRANSPORTS[name].least_latency_ns / 1e6:g}",
    ]
    if mounted:
        xyz_m, rpy_deg = hand_measured(mounted)
        lines.append(f"mounting = {{ xyz_m = {xyz_m}, rpy_deg = {rpy_deg} }}")
    return lines + own
