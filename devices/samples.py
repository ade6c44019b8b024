"""What a sensor gives: packets as their bytes came, and the samples that decoding makes of them.

Every sample carries ``sensor`` (its name in rig.toml) and ``t_ns``. As a decoder yields it, ``t_ns`` is read off the sensor's own
clock, or is the host's arrival time where the sensor has none. calibration/sync.py turns it into UTC.
Arrays are read-only once they are in a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stamps:
    """When a packet came.

    host_ns: arrival at this machine, host time (devices/host_clock.py): UTC that nobody sets; the kernel's stamp where there is one.
    device_ns: the newest instant that the packet speaks of, on the sensor's own clock; None where it has no clock.
    """

    host_ns: int
    device_ns: int | None = None

    @property
    def own_ns(self) -> int:
        """The device's stamp, or the arrival where it has no clock."""
        return self.host_ns if self.device_ns is None else self.device_ns


@dataclass(frozen=True, slots=True)
class Packet:
    """Bytes as they came on one stream of one sensor."""

    stream: str
    stamps: Stamps
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One picture. pixels: (H, W, 3) uint8 RGB.

    t_ns: what its camera stamps: the middle of its exposure (OAK; RealSense where the firmware says it; an MJPEG camera's X-Timestamp),
    the start of the frame (USB on Linux), what the sender calls the time of capture (RTSP), a log's own stamp; the arrival where there is
    none. A constant distance from the middle is part of the sensor's latency.
    """

    sensor: str
    t_ns: int
    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """One picture of distances along the optical axis. units: (H, W) uint16; 0: none was measured. t_ns: as an Image's.

    scale_m: metres a unit.
    """

    sensor: str
    t_ns: int
    units: NDArray[np.uint16]
    scale_m: float

    def __post_init__(self) -> None:
        self.units.setflags(write=False)

    def metres(self) -> NDArray[np.float32]:
        """(H, W) float32, NaN where nothing was measured."""
        return np.where(self.units > 0, self.units * np.float32(self.scale_m), np.float32("nan"))


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One turn of a lidar, N returns in the order in which they were measured.

    t_ns: the first column's time. points_m: (N, 3) float32, lidar frame. intensity: (N,) float32, the sensor's own unit.
    offset_ns: (N,) int64, each point's time after t_ns.
    return_number: (N,) uint8, which of a firing's returns: 0 the strongest of a Velodyne, the nearest of a Hesai, the first that the packet
    holds of an Ouster or a Livox, what a bag's cloud says; only 0 where a firing has one. ring: (N,) uint16, the beam, 0 the highest; None where the source does not
    say. A Livox has lasers that fire in turn instead, in no order of height: their number.
    """

    sensor: str
    t_ns: int
    points_m: NDArray[np.float32]
    intensity: NDArray[np.float32]
    offset_ns: NDArray[np.int64]
    return_number: NDArray[np.uint8]
    ring: NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        for array in (self.points_m, self.intensity, self.offset_ns, self.return_number):
            array.setflags(write=False)
        if self.ring is not None:
            self.ring.setflags(write=False)

    def __len__(self) -> int:
        return len(self.points_m)


STANDARD_GRAVITY = 9.80665  # m/s^2: what an accelerometer means that speaks in g


@dataclass(frozen=True, slots=True, eq=False)
class ImuSample:
    """angular_rate: (3,) rad/s. acceleration: (3,) m/s^2, specific force (gravity included). Both in the IMU's frame."""

    sensor: str
    t_ns: int
    angular_rate: NDArray[np.float64]
    acceleration: NDArray[np.float64]

    def __post_init__(self) -> None:
        self.angular_rate.setflags(write=False)
        self.acceleration.setflags(write=False)


class FixQuality(StrEnum):
    """What a GNSS receiver says its position rests on, from the least to the best."""

    NONE = "none"
    DEAD_RECKONING = "dead reckoning"
    TWO_D = "2d"
    THREE_D = "3d"
    DIFFERENTIAL = "differential"
    RTK_FLOAT = "rtk float"
    RTK_FIXED = "rtk fixed"


@dataclass(frozen=True, slots=True, eq=False)
class GnssFix:
    """Where a receiver's antenna was, in WGS84. t_ns: UTC by the satellites' time.

    altitude_m: above the ellipsoid, not above the sea; None where the receiver gives no height (or not which). sigma_m: (3,)
    float64, one standard deviation east, north, up; None where not stated. velocity_m_s: (3,) float64, east, north, up; its third is
    NaN where the receiver speaks of the plane only; None where not stated. satellites: used in the fix; None where not stated.
    """

    sensor: str
    t_ns: int
    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None
    quality: FixQuality
    satellites: int | None = None
    sigma_m: NDArray[np.float64] | None = None
    velocity_m_s: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for array in (self.sigma_m, self.velocity_m_s):
            if array is not None:
                array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class NamedVector:
    """Numbers with names: a robot's state, the action that it was commanded. values: (N,) float64, units stand in the names."""

    sensor: str
    t_ns: int
    topic: str
    names: tuple[str, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        self.values.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant that a person or a robot pointed out. kind: ``episode_start``, ``episode_stop`` or free; text: the task, a note."""

    sensor: str
    t_ns: int
    kind: str
    text: str = ""
    data: dict[str, str] = field(default_factory=dict)


Sample = Image | Depth | Sweep | ImuSample | GnssFix | NamedVector | Mark
