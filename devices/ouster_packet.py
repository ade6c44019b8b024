"""What stands where in an Ouster UDP packet: headers, columns, the pixel words of every profile, IMU packets, the CRC.

Little-endian throughout. Source: ouster-lidar/ouster-sdk and the sensor's "Sensor Data Format" documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from devices.crc64 import crc64
from devices.errors import UndecodableError
from devices.ouster_metadata import OusterMetadata

LIDAR, IMU = 1, 2
HEADER_BYTES = FOOTER_BYTES = 32
_NO_CRC = (0, 0xDEADBEEF0000C0DE)  # what firmware writes that does not calculate it


@dataclass(frozen=True, slots=True)
class Field:
    """Bits ``low``..``high`` (inclusive, from the least significant) of a pixel's 32-bit ``word``, times ``scale``."""

    word: int
    low: int
    high: int
    dtype: DTypeLike
    scale: int = 1

    def of(self, words: NDArray[np.uint32]) -> NDArray[np.generic]:
        """(..., words a pixel) -> (...) of dtype."""
        mask = np.uint32((1 << (self.high - self.low + 1)) - 1)
        values = words[..., self.word]
        values = (values >> np.uint32(self.low) if self.low else values) & mask
        values = values.astype(self.dtype, copy=False)
        return values if self.scale == 1 else values * values.dtype.type(self.scale)


@dataclass(frozen=True, slots=True)
class Profile:
    """A lidar profile: how wide a pixel is, and what its words hold. RANGE in mm (0: no return), the rest in the sensor's unit."""

    name: str
    words: int
    fields: Mapping[str, Field]

    @property
    def returns(self) -> int:
        return 2 if "RANGE2" in self.fields else 1

    @property
    def legacy(self) -> bool:
        return self.name == "LEGACY"


_U8, _U16, _U32 = np.uint8, np.uint16, np.uint32
_FIRST = {"RANGE": Field(0, 0, 18, _U32), "FLAGS": Field(0, 19, 23, _U8)}
_SECOND = {"RANGE2": Field(1, 0, 18, _U32), "FLAGS2": Field(1, 19, 23, _U8), "REFLECTIVITY2": Field(1, 24, 31, _U8)}
_SINGLE = _FIRST | {
    "REFLECTIVITY": Field(1, 0, 7, _U8), "SIGNAL": Field(1, 16, 31, _U16), "NEAR_IR": Field(2, 0, 15, _U16),
}  # fmt: skip
_BOTH = _FIRST | _SECOND | {
    "REFLECTIVITY": Field(0, 24, 31, _U8), "SIGNAL": Field(2, 0, 15, _U16), "SIGNAL2": Field(2, 16, 31, _U16),
}  # fmt: skip
_DUAL = _BOTH | {"NEAR_IR": Field(3, 0, 15, _U16)}
_LEGACY = {
    "RANGE": Field(0, 0, 19, _U32), "FLAGS": Field(0, 28, 31, _U8), "REFLECTIVITY": Field(1, 0, 7, _U8),
    "SIGNAL": Field(1, 16, 31, _U16), "NEAR_IR": Field(2, 0, 15, _U16),
}  # fmt: skip
_LOW_RATE_FIRST = {
    "RANGE": Field(0, 0, 14, _U32, 8), "FLAGS": Field(0, 15, 15, _U8), "REFLECTIVITY": Field(0, 16, 23, _U8),
}  # fmt: skip
_LOW_RATE = _LOW_RATE_FIRST | {"NEAR_IR": Field(0, 24, 31, _U16, 16)}
_LOW_RATE_DUAL = _LOW_RATE | {
    "RANGE2": Field(1, 0, 14, _U32, 8), "FLAGS2": Field(1, 15, 15, _U8), "REFLECTIVITY2": Field(1, 16, 23, _U8),
    "WINDOW": Field(1, 24, 31, _U8),
}  # fmt: skip
_COLOUR = _FIRST | {
    "REFLECTIVITY": Field(0, 24, 31, _U8), "SIGNAL": Field(1, 0, 15, _U16), "NEAR_IR": Field(1, 16, 31, _U16),
    "R": Field(2, 0, 15, _U16), "G": Field(2, 16, 31, _U16), "B": Field(3, 0, 15, _U16),
}  # fmt: skip
_COLOUR_DUAL = _DUAL | {"R": Field(3, 16, 31, _U16), "G": Field(4, 0, 15, _U16), "B": Field(4, 16, 31, _U16)}
PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("LEGACY", 3, _LEGACY),
        Profile("RNG19_RFL8_SIG16_NIR16", 3, _SINGLE | {"WINDOW": Field(2, 24, 31, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_DUAL", 4, _DUAL | {"WINDOW": Field(3, 24, 31, _U8)}),
        Profile("RNG15_RFL8_NIR8", 1, _LOW_RATE),
        Profile("RNG15_RFL8_NIR8_DUAL", 2, _LOW_RATE_DUAL),
        Profile("FUSA_RNG15_RFL8_NIR8_DUAL", 2, _LOW_RATE_DUAL),
        Profile("FIVE_WORD_PIXEL", 5, _DUAL),
        Profile("RNG15_RFL8_WIN8", 1, _LOW_RATE_FIRST | {"WINDOW": Field(0, 24, 31, _U8)}),
        Profile("RNG15_RFL8_NIR8_ZONE16", 2, _LOW_RATE | {"ZONE_MASK": Field(1, 0, 15, _U16), "WINDOW": Field(1, 16, 23, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_ZONE16", 3, _SINGLE | {"WINDOW": Field(1, 8, 15, _U8), "ZONE_MASK": Field(2, 16, 31, _U16)}),
        Profile("RNG19_RFL8_SIG16_ZONE16_DUAL", 4, _BOTH | {"ZONE_MASK": Field(3, 0, 15, _U16), "WINDOW": Field(3, 24, 31, _U8)}),
        Profile("RNG19_RFL8_SIG16_NIR16_RGB16", 4, _COLOUR),
        Profile("RNG19_RFL8_SIG16_NIR16_RGB16_DUAL", 5, _COLOUR_DUAL),
    )
}  # fmt: skip
OFF = "OFF"  # what a sensor says that was told to send none of a kind
IMU_PROFILES = ("LEGACY", "ACCEL32_GYRO32_NMEA")


_COLUMN_HEAD = struct.Struct("<QHH")  # time, measurement id, status; of all profiles but LEGACY


class LidarPackets:
    """The layout of one sensor's lidar packets. Raises UndecodableError for a profile that is not known."""

    def __init__(self, metadata: OusterMetadata) -> None:
        if metadata.lidar_profile not in PROFILES:
            raise UndecodableError(
                f"the profile {metadata.lidar_profile} is recorded, but not decodable here yet; to see it, set udp_profile_lidar "
                f"to one of: {', '.join(PROFILES)}"
            )
        self.profile = PROFILES[metadata.lidar_profile]
        self.header = PacketHeader(metadata)
        legacy = self.profile.legacy
        pixels = ("pixels", "<u4", (metadata.rows, self.profile.words))
        if legacy:  # measurement id, frame id, encoder position (90112 a turn); all ones in status: valid
            column = [("t_ns", "<u8"), ("id", "<u2"), ("frame", "<u2"), ("encoder", "<u4"), pixels, ("status", "<u4")]
        else:
            column = [("t_ns", "<u8"), ("id", "<u2"), ("status", "<u2"), pixels]
        self.column_dtype = np.dtype(column)
        self._count = metadata.columns_per_packet
        self._header_bytes = 0 if legacy else HEADER_BYTES
        self.size_bytes = self.column_dtype.itemsize * self._count + (0 if legacy else HEADER_BYTES + FOOTER_BYTES)
        self._last_column = self._header_bytes + (self._count - 1) * self.column_dtype.itemsize
        self._has_crc = not (legacy or metadata.fusa)

    def columns(self, data: bytes) -> NDArray[np.void]:
        """(columns a packet,) records of t_ns, id, status, pixels (rows, words). Raises ValueError when the size is another."""
        if len(data) != self.size_bytes:
            raise ValueError(f"{len(data)} B instead of {self.size_bytes}")
        return np.frombuffer(data, dtype=self.column_dtype, count=self._count, offset=self._header_bytes)

    def valid(self, columns: NDArray[np.void]) -> NDArray[np.bool_]:
        """(columns a packet,): whether the sensor measured that column."""
        if self.profile.legacy:
            return np.asarray(columns["status"] == 0xFFFFFFFF)
        return np.asarray(columns["status"] & 1 == 1)

    def frame_id(self, data: bytes, columns: NDArray[np.void]) -> int:
        return int(columns["frame"][0]) if self.profile.legacy else self.header.frame_id(data)

    def foreign(self, data: bytes) -> str | None:
        """Why this is none of the sensor's lidar packets, or None."""
        if len(data) != self.size_bytes:
            return "wrong size"
        return None if self.profile.legacy else self.header.foreign(data, LIDAR)

    def newest_ns(self, data: bytes) -> int | None:
        """The last valid column's time, on the sensor's clock: the packet leaves as soon as that is measured.

        Raises ValueError when the time is nonsense.
        """
        return None if self.foreign(data) else self.last_ns(data)

    def last_ns(self, data: bytes) -> int | None:
        """The same of a packet that is the sensor's."""
        if not self.profile.legacy:
            t_ns, _, status = _COLUMN_HEAD.unpack_from(data, self._last_column)
            if status & 1:  # nearly always; asked for every packet while it is recorded
                return _time(t_ns)
        columns = self.columns(data)
        times = columns["t_ns"][self.valid(columns)]
        return int(_times(times[-1])) if len(times) else None

    def intact(self, data: bytes) -> bool:
        """Whether the CRC agrees, where the packet has one."""
        return not self._has_crc or crc_agrees(data)


class PacketHeader:
    """The 32 bytes before the columns; two layouts. LEGACY packets have none."""

    def __init__(self, metadata: OusterMetadata) -> None:
        self._fusa = metadata.fusa
        self._expected_id = metadata.initialization_id
        self._serial_number = metadata.serial_number
        self.frame_bits = 32 if metadata.fusa else 16

    def foreign(self, data: bytes, kind: int) -> str | None:
        """Why this is no packet of that kind from the sensor that the metadata describes, or None."""
        if (data[0] if self._fusa else int.from_bytes(data[0:2], "little")) != kind:
            return "not a lidar packet" if kind == LIDAR else "not an IMU packet"
        start = 1 if self._fusa else 4
        if self._expected_id is None or int.from_bytes(data[start : start + 3], "little") == self._expected_id:
            return None
        # A sensor draws this number anew at every start; which sensor it is says its serial number, where both sides state one.
        start = 11 if self._fusa else 7
        serial_number = int.from_bytes(data[start : start + 5], "little")
        return None if serial_number and serial_number == self._serial_number else "foreign initialization id"

    def frame_id(self, data: bytes) -> int:
        return int.from_bytes(data[4:8] if self._fusa else data[2:4], "little")


_IMU_LEGACY = struct.Struct("<QQQ6f")  # since boot, accelerometer's, gyroscope's time; g; deg/s
_IMU_FIRST = 132  # after the header, the NMEA sentence's time and text
_IMU_RECORD = np.dtype(
    [("t_ns", "<u8"), ("id", "<u2"), ("status", "<u2"), ("acceleration", "<f4", 3), ("rate", "<f4", 3)]
)
_STANDARD_GRAVITY = 9.80665


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
            acceleration = np.array([values[:3]], dtype=np.float64) * _STANDARD_GRAVITY
            return ImuReadings(_times([gyro_ns]), acceleration, np.radians(np.array([values[3:]], dtype=np.float64)))
        records = np.frombuffer(data, dtype=_IMU_RECORD, count=self._count, offset=_IMU_FIRST)
        records = records[records["status"] & 1 == 1]
        return ImuReadings(
            _times(records["t_ns"]), records["acceleration"].astype(np.float64), records["rate"].astype(np.float64)
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
            return _time(_IMU_LEGACY.unpack(data)[2])
        times = self.readings(data).t_ns
        return int(times[-1]) if len(times) else None

    def intact(self, data: bytes) -> bool:
        return not self._has_crc or crc_agrees(data)


def _time(t_ns: int) -> int:
    """As _times(), of one."""
    if t_ns >> 63:
        raise ValueError("a time beyond the year 2262")
    return t_ns


def _times(values: object) -> NDArray[np.int64]:
    """Raises ValueError beyond int64: no clock shows the year 2262, so the packet is broken."""
    times = np.array(values, dtype=np.uint64)
    if (times >> np.uint64(63)).any():
        raise ValueError("a time beyond the year 2262")
    return times.astype(np.int64)


def crc_agrees(data: bytes) -> bool:
    """Whether the packet's last 8 bytes are the CRC-64 of all before, or say that there is none."""
    stated = int.from_bytes(data[-8:], "little")
    return stated in _NO_CRC or stated == crc64(data[:-8])
