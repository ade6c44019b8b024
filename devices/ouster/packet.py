"""What stands where in an Ouster UDP packet: headers, columns, times, the CRC.

Little-endian throughout. Source: ouster-lidar/ouster-sdk and the sensor's "Sensor Data Format" documentation.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from devices.errors import UndecodableError
from devices.ouster.crc64 import crc64
from devices.ouster.metadata import OusterMetadata
from devices.ouster.profiles import PROFILES

LIDAR, IMU = 1, 2
HEADER_BYTES = FOOTER_BYTES = 32
_NO_CRC = (0, 0xDEADBEEF0000C0DE)  # what firmware writes that does not calculate it
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
                return time_ns(t_ns)
        columns = self.columns(data)
        times = columns["t_ns"][self.valid(columns)]
        return int(times_ns(times[-1])) if len(times) else None

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


def times_ns(values: object) -> NDArray[np.int64]:
    """A packet's stamps as int64. Raises ValueError beyond: no clock shows the year 2262, so the packet is broken."""
    times = np.array(values, dtype=np.uint64)
    if (times >> np.uint64(63)).any():
        raise ValueError("a time beyond the year 2262")
    return times.astype(np.int64)


def time_ns(t_ns: int) -> int:
    """The same, of one."""
    if t_ns >> 63:
        raise ValueError("a time beyond the year 2262")
    return t_ns


def crc_agrees(data: bytes) -> bool:
    """Whether the packet's last 8 bytes are the CRC-64 of all before, or say that there is none."""
    stated = int.from_bytes(data[-8:], "little")
    return stated in _NO_CRC or stated == crc64(data[:-8])
