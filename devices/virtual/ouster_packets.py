"""Ouster's packets, metadata and checksum: what makes ranges into bytes that Ouster's own SDK accepts.

Source: ouster-sdk, and the Ouster firmware manuals' "Lidar Data Packet Format"; profile RNG19_RFL8_SIG16_NIR16, legacy IMU packets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.ouster.crc64 import crc64

BEAMS = 64
COLUMNS = 1024
COLUMNS_A_PACKET = 16
PACKETS_A_SWEEP = COLUMNS // COLUMNS_A_PACKET
SWEEP_NS = 100_000_000
SERIAL = 122_600_000_064
SESSION = 64_064
_HEAD_BYTES, _FOOT_BYTES = 32, 32
G_M_S2 = 9.80665

_COLUMN = np.dtype([("t_ns", "<u8"), ("column", "<u2"), ("status", "<u2"), ("pixel", "<u4", (BEAMS, 3))])
PACKET = np.dtype(
    [
        ("head", "u1", _HEAD_BYTES),
        ("columns", _COLUMN, COLUMNS_A_PACKET),
        ("foot", "u1", _FOOT_BYTES - 8),
        ("crc", "<u8"),
    ]
)
IMU_PACKET = np.dtype([("t_ns", "<u8", 3), ("acceleration_g", "<f4", 3), ("rate_deg_s", "<f4", 3)])

_PN = {
    "prod_line": "OS-1-64",
    "prod_pn": "840-103575-06",
    "prod_sn": str(SERIAL),
    "image_rev": "ousteros-image-prod-aries-v2.5.3",
}


def column_offsets_ns() -> NDArray[np.int64]:
    """(COLUMNS,) of each column after the sweep's first."""
    return (np.arange(COLUMNS, dtype=np.int64) * SWEEP_NS) // COLUMNS


def sweep_packets(
    first_column_ns: int,
    frame_id: int,
    range_mm: NDArray[np.uint32],
    reflectivity: NDArray[np.uint32],
    signal: NDArray[np.uint32],
    near_ir: NDArray[np.uint32],
) -> NDArray[np.void]:
    """(COLUMNS, BEAMS) fields -> (PACKETS_A_SWEEP,) PACKET, stamped with the take's time and without a checksum."""
    packets = np.zeros(PACKETS_A_SWEEP, dtype=PACKET)
    packets["head"] = _head(frame_id)
    columns = packets["columns"].reshape(-1)
    columns["t_ns"] = first_column_ns + column_offsets_ns()
    columns["column"] = np.arange(COLUMNS)
    columns["status"] = 1
    columns["pixel"][..., 0] = range_mm & 0x7FFFF
    columns["pixel"][..., 1] = (reflectivity & 0xFF) | (signal << 16)
    columns["pixel"][..., 2] = near_ir & 0xFFFF
    packets["columns"] = columns.reshape(packets["columns"].shape)
    return packets


def _head(frame_id: int) -> NDArray[np.uint8]:
    """Packet type 1 at byte 0, frame id at 2, session (24 bit) at 4, serial number (40 bit) at 7."""
    head = (
        (1).to_bytes(2, "little")
        + (frame_id & 0xFFFF).to_bytes(2, "little")
        + SESSION.to_bytes(3, "little")
        + SERIAL.to_bytes(5, "little")
    )
    return np.frombuffer(head.ljust(_HEAD_BYTES, b"\0"), dtype=np.uint8)


def restamped(packet: NDArray[np.void], device_ns: NDArray[np.int64]) -> bytes:
    """One PACKET with its columns' times on the sensor's clock, (COLUMNS_A_PACKET,), and with its checksum."""
    patched = packet.copy()
    patched["columns"]["t_ns"] = device_ns
    patched["crc"] = crc64(patched.tobytes()[:-8])
    return patched.tobytes()


def beam_altitudes_deg() -> NDArray[np.float64]:
    """(BEAMS,) from the highest down: 33.2 degrees in nearly even steps, as an OS1-64's factory calibration has them."""
    wobble = np.random.default_rng(64).normal(0, 0.03, BEAMS)
    return np.round(np.linspace(16.6, -16.6, BEAMS) + wobble, 2)


def beam_azimuths_deg() -> NDArray[np.float64]:
    """(BEAMS,) staggered in fours."""
    wobble = np.random.default_rng(65).normal(0, 0.01, BEAMS)
    return np.round(np.tile([4.21, 1.40, -1.41, -4.22], BEAMS // 4) + wobble, 2)


BEAM_ORIGIN_MM = 15.806
LIDAR_TO_SENSOR_MM = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 36.18], [0, 0, 0, 1]])
IMU_TO_SENSOR_MM = np.array([[1.0, 0, 0, 6.253], [0, 1, 0, -11.775], [0, 0, 1, 7.645], [0, 0, 0, 1]])


def metadata(lidar_port: int, imu_port: int) -> dict[str, Any]:
    """The JSON that the sensor serves, in the layout of firmware 2.5 and ouster-sdk's SensorInfo."""
    beam_to_lidar = np.eye(4)
    beam_to_lidar[0, 3] = BEAM_ORIGIN_MM
    return {
        "sensor_info": {
            **_PN,
            "build_date": "2023-10-12T18:10:21Z",
            "build_rev": "v2.5.3",
            "initialization_id": SESSION,
            "proto_rev": "",
            "status": "RUNNING",
        },
        "beam_intrinsics": {
            "beam_altitude_angles": beam_altitudes_deg().tolist(),
            "beam_azimuth_angles": beam_azimuths_deg().tolist(),
            "beam_to_lidar_transform": beam_to_lidar.reshape(-1).tolist(),
            "lidar_origin_to_beam_origin_mm": BEAM_ORIGIN_MM,
        },
        "lidar_intrinsics": {"lidar_to_sensor_transform": LIDAR_TO_SENSOR_MM.reshape(-1).tolist()},
        "imu_intrinsics": {"imu_to_sensor_transform": IMU_TO_SENSOR_MM.reshape(-1).tolist()},
        "lidar_data_format": {
            "pixels_per_column": BEAMS,
            "columns_per_packet": COLUMNS_A_PACKET,
            "columns_per_frame": COLUMNS,
            "column_window": [0, COLUMNS - 1],
            "pixel_shift_by_row": np.round(beam_azimuths_deg() * COLUMNS / 360).astype(int).tolist(),
            "udp_profile_lidar": "RNG19_RFL8_SIG16_NIR16",
            "udp_profile_imu": "LEGACY",
            "fps": 10,
        },
        "calibration_status": {"reflectivity": {"timestamp": "2023-01-01T00:00:00", "valid": True}},
        "config_params": {
            "lidar_mode": f"{COLUMNS}x10",
            "timestamp_mode": "TIME_FROM_INTERNAL_OSC",
            "udp_dest": "127.0.0.1",
            "udp_port_lidar": lidar_port,
            "udp_port_imu": imu_port,
            "udp_profile_lidar": "RNG19_RFL8_SIG16_NIR16",
            "udp_profile_imu": "LEGACY",
            "operating_mode": "NORMAL",
            "columns_per_packet": COLUMNS_A_PACKET,
            "azimuth_window": [0, 360000],
        },
        "user_data": "",
    }
