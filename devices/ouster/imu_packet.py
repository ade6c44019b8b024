"""What stands where in an Ouster's IMU packets, of both profiles. Sources as in ouster_packet.py."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.errors import UndecodableError
from devices.ouster.metadata import OusterMetadata
from devices.ouster.packet import FOOTER_BYTES, IMU, PacketHeader, crc_agrees, time_ns, times_ns
from devices.samples import STANDARD_GRAVITY

OFF = "OFF"  # what a sensor says that was told to send none of a kind
IMU_PROFILES = ("LEGACY", "ACCEL32_GYRO32_NMEA")

_IMU_LEGACY = struct.Struct("<QQQ6f")  # since boot, accelerometer's, gyroscope's time; g; deg/s
_IMU_FIRST = 132  # after the header, the NMEA sentence's time and text
_IMU_RECORD = np.dtype(
    [("t_ns", "<u8"), ("id", "<u2"), ("status", "<u2"), ("acceleration", "<f4", 3), ("rate", "<f4", 3)]
)


@dataclass(frozen=True, slots=True, eq=False)
class ImuReadings:
    """(N,) t_ns int64, (N, 3) acceleration m/s^2, (N, 3) angular_rate rad/s, all in the IMU's frame."""

    t_ns: NDArray[np.int64]
    acceleration: NDArray[np.float64]
    angular_rate: NDArray[np.float64]


class ImuPackets:
    """The layout of one sensor's IMU packets. Raises UndecodableError for a profile that is not known."""

    def __init__(self, metadata: OusterMetadata) -> None:
        if metadata.imu_profile not in IMU_PROFILES:
            raise UndecodableError(
                f"the profile {metadata.imu_profile} is recorded, but not decodable here yet; to see it, set udp_profile_imu "
                f"to one of: {', '.join(IMU_PROFILES)}"
            )
        self.legacy = metadata.imu_profile == "LEGACY"
        self.header = PacketHeader(metadata)
        self._count = metadata.imu_measurements_per_packet
        measured = _IMU_FIRST + self._count * _IMU_RECORD.itemsize
        self.size_bytes = _IMU_LEGACY.size if self.legacy else measured + FOOTER_BYTES
        self._has_crc = not (self.legacy or metadata.fusa)

    def readings(self, data: bytes) -> ImuReadings:
        """Raises ValueError when the size is another."""
        if len(data) != self.size_bytes:
            raise ValueError(f"{len(data)} B instead of {self.size_bytes}")
        if self.legacy:
            _, _, gyro_ns, *values = _IMU_LEGACY.unpack(data)
            acceleration = np.array([values[:3]], dtype=np.float64) * STANDARD_GRAVITY
            return ImuReadings(times_ns([gyro_ns]), acceleration, np.radians(np.array([values[3:]], dtype=np.float64)))
        records = np.frombuffer(data, dtype=_IMU_RECORD, count=self._count, offset=_IMU_FIRST)
        records = records[records["status"] & 1 == 1]
        return ImuReadings(
            times_ns(records["t_ns"]), records["acceleration"].astype(np.float64), records["rate"].astype(np.float64)
        )

    def foreign(self, data: bytes) -> str | None:
        """Why this is none of the sensor's IMU packets, or None."""
        if len(data) != self.size_bytes:
            return "wrong size"
        return None if self.legacy else self.header.foreign(data, IMU)

    def newest_ns(self, data: bytes) -> int | None:
        """The last valid reading's time. Raises ValueError when it is nonsense."""
        return None if self.foreign(data) else self.last_ns(data)

    def last_ns(self, data: bytes) -> int | None:
        """The same of a packet that is the sensor's."""
        if self.legacy:
            return time_ns(_IMU_LEGACY.unpack(data)[2])
        times = self.readings(data).t_ns
        return int(times[-1]) if len(times) else None

    def intact(self, data: bytes) -> bool:
        return not self._has_crc or crc_agrees(data)
