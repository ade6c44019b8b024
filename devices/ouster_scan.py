"""One turn of an Ouster lidar as an image of rows x columns, how packets fill it, and its points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.device import Rejections
from devices.ouster_metadata import OusterMetadata
from devices.ouster_packet import LidarPackets, Profile
from devices.samples import Sweep

# A packet that comes this many frames late at the most is a straggler of the network. A step further back or a leap ahead is
# believed when a second packet says the same: one broken frame id must not end a scan, nor a sensor's restart end the stream.
_LATE_FRAMES = 8
Columns = slice | NDArray[np.int64]  # of a scan: a run, or one by one


@dataclass(frozen=True, slots=True, eq=False)
class OusterScan:
    """What arrived of one turn. Rows are beams, the highest first; columns are measurement ids; nothing is destaggered.

    words: (columns, rows, words a pixel) uint32, zero where nothing arrived. column_t_ns: (columns,) uint64, the sensor's clock.
    status: (columns,) uint32, 0 where nothing valid arrived. order: the window's columns in the order of their measurement.
    """

    frame_id: int
    profile: Profile
    words: NDArray[np.uint32]
    column_t_ns: NDArray[np.uint64]
    status: NDArray[np.uint32]
    order: NDArray[np.int64]

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.profile.fields, "TIMESTAMP")

    def field(self, name: str) -> NDArray[np.generic]:
        """(rows, columns) of a pixel's field; TIMESTAMP is (columns,), ns. Raises KeyError when the profile has no such field."""
        if name == "TIMESTAMP":
            return self.column_t_ns
        return np.ascontiguousarray(self.profile.fields[name].of(self.words).T)

    @property
    def arrived(self) -> NDArray[np.int64]:
        """The valid columns, in the order of their measurement."""
        return np.asarray(self.order[self.status[self.order] != 0], dtype=np.int64)


class OusterGeometry:
    """Where every pixel looks: xyz = range * direction + start, in the sensor's frame."""

    def __init__(self, metadata: OusterMetadata) -> None:
        turned = 2 * np.pi * (1 - np.arange(metadata.columns) / metadata.columns)[:, None]  # (W, 1)
        azimuth = turned - np.radians(metadata.azimuth_deg)[None, :]  # (W, H)
        altitude = np.radians(metadata.altitude_deg)[None, :]
        x_mm, z_mm = metadata.beam_origin_mm
        shape = azimuth.shape if azimuth.shape[1] == metadata.rows else (metadata.columns, metadata.rows)
        parts = (np.cos(azimuth) * np.cos(altitude), np.sin(azimuth) * np.cos(altitude), np.sin(altitude))
        direction = np.stack([np.broadcast_to(part, shape) for part in parts], axis=-1)
        axis = (x_mm * np.cos(turned), x_mm * np.sin(turned), np.full_like(turned, z_mm))
        start = np.stack([np.broadcast_to(part, shape) for part in axis], axis=-1) - np.hypot(x_mm, z_mm) * direction
        rotation, shift_mm = metadata.lidar_to_sensor[:3, :3], metadata.lidar_to_sensor[:3, 3]
        # (3, W, H) float64, an axis after another so that each is one run through memory; m per mm of range, and m.
        self._direction = np.ascontiguousarray(np.moveaxis(direction @ rotation.T / 1000, -1, 0))
        self._start = np.ascontiguousarray(np.moveaxis((start @ rotation.T + shift_mm) / 1000, -1, 0))

    def points(self, columns: Columns, ranges_mm: Sequence[NDArray[np.generic]]) -> NDArray[np.float32]:
        """C columns and, a return each, the ranges of their pixels (C, H) -> (C, H, returns, 3) m; without meaning where the range is 0."""
        points = np.empty((*ranges_mm[0].shape, len(ranges_mm), 3), dtype=np.float32)
        products = np.empty(ranges_mm[0].shape, dtype=np.float64)
        for number, range_mm in enumerate(ranges_mm):
            for axis in range(3):
                np.multiply(range_mm, self._direction[axis, columns], out=products)
                np.add(products, self._start[axis, columns], out=points[:, :, number, axis], casting="same_kind")
        return points


def sweep_of(scan: OusterScan, sensor: str, geometry: OusterGeometry) -> Sweep | None:
    """The scan's returns: column by column, beam by beam, first return before second. None when no column arrived.

    intensity is REFLECTIVITY, the range-corrected 8-bit figure that every profile has; SIGNAL (photons) in LEGACY, whose
    REFLECTIVITY early firmware did not calibrate.
    """
    arrived = scan.arrived
    if not len(arrived):
        return None
    columns = _as_slice(arrived)
    words, fields = scan.words[columns], scan.profile.fields
    suffixes = ("", "2")[: scan.profile.returns]
    intensity_field = "SIGNAL" if scan.profile.legacy else "REFLECTIVITY"
    ranges = [fields["RANGE" + each].of(words) for each in suffixes]
    intensities = _interleaved([fields[intensity_field + each].of(words) for each in suffixes])
    measured = _interleaved([each != 0 for each in ranges])  # (C, H, returns)
    which = np.flatnonzero(measured)
    times = scan.column_t_ns[columns].astype(np.int64)
    rows, returns = measured.shape[1:]
    rings = np.repeat(np.arange(rows, dtype=np.uint16), returns)
    numbers = np.tile(np.arange(returns, dtype=np.uint8), rows)
    return Sweep(
        sensor=sensor,
        t_ns=int(times[0]),
        points_m=geometry.points(columns, ranges).reshape(-1, 3).take(which, axis=0),
        intensity=intensities.reshape(-1).take(which).astype(np.float32),
        offset_ns=np.repeat(times - times[0], measured.reshape(len(measured), -1).sum(axis=1)),
        return_number=np.tile(numbers, len(measured)).take(which),
        ring=np.tile(rings, len(measured)).take(which),
    )


def _as_slice(columns: NDArray[np.int64]) -> Columns:
    """The same columns as a run where they are one, as is the rule: it is then looked at in place, not copied."""
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if last - first == len(columns) - 1 and (np.diff(columns) == 1).all() else columns


def _interleaved(by_return: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(C, H) of each return -> (C, H, returns)."""
    return by_return[0][..., None] if len(by_return) == 1 else np.stack(by_return, axis=-1)


class ScanAssembler:
    """Packets in, scans out. Only valid columns are written. Counts what it passes over in ``rejections``."""

    def __init__(self, metadata: OusterMetadata, rejections: Rejections) -> None:
        self._metadata = metadata
        self._layout = LidarPackets(metadata)
        self._rejections = rejections
        self._order = metadata.window_columns()
        self._scan: OusterScan | None = None
        self._filled = np.zeros(metadata.columns, dtype=np.bool_)  # columns that a packet spoke of, valid or not
        self._finished: int | None = None  # the frame id of the scan given out last
        self._doubtful: tuple[int, bytes] | None = None  # a packet whose frame id no other has confirmed

    def add(self, data: bytes) -> Iterator[OusterScan]:
        """The scans that this packet finishes: the one before when it begins a new one, its own when nothing is missing any more."""
        reason = self._fault(data)
        if reason:
            self._rejections.add(reason)
            return
        columns = self._layout.columns(data)
        frame_id = self._layout.frame_id(data, columns)
        current = self._finished if self._scan is None else self._scan.frame_id
        step = 1 if current is None else self._step(current, frame_id)
        if step == 0 and self._scan is None:
            self._rejections.add("duplicate packet")
            return
        if -_LATE_FRAMES <= step < 0:
            self._rejections.add("late packet")
            return
        if step not in (0, 1):
            yield from self._leap(frame_id, data)
            return
        if self._doubtful:
            self._rejections.add("foreign frame id")
            self._doubtful = None
        if step == 1:
            yield from self.finish()
            self._scan = self._empty(frame_id)
        yield from self._write(columns)

    def finish(self) -> Iterator[OusterScan]:
        """The scan in hand, unfinished as it is."""
        if self._scan is not None:
            scan, self._scan = self._scan, None
            self._finished = scan.frame_id
            yield scan

    def _fault(self, data: bytes) -> str | None:
        """Why the packet is not to be used, or None."""
        reason = self._layout.foreign(data)
        if reason:
            return reason
        if not self._layout.intact(data):
            return "wrong CRC"
        columns = self._layout.columns(data)
        if (columns["id"] >= self._metadata.columns).any():
            return "measurement id out of range"
        if (columns["t_ns"] >> np.uint64(63)).any():
            return "time beyond the year 2262"
        return None

    def _step(self, from_: int, to: int) -> int:
        """How many frames ``to`` is after ``from_``, negative before it; frame ids wrap."""
        turn = 1 << self._layout.header.frame_bits
        return (to - from_ + turn // 2) % turn - turn // 2

    def _leap(self, frame_id: int, data: bytes) -> Iterator[OusterScan]:
        before, self._doubtful = self._doubtful, (frame_id, data)
        if before is None:
            return
        if before[0] != frame_id:
            self._rejections.add("foreign frame id")
            return
        self._doubtful = None
        yield from self.finish()
        self._scan = self._empty(frame_id)
        for each in (before[1], data):
            yield from self._write(self._layout.columns(each))

    def _empty(self, frame_id: int) -> OusterScan:
        meta, profile = self._metadata, self._layout.profile
        self._filled[:] = False
        return OusterScan(
            frame_id=frame_id,
            profile=profile,
            words=np.zeros((meta.columns, meta.rows, profile.words), dtype=np.uint32),
            column_t_ns=np.zeros(meta.columns, dtype=np.uint64),
            status=np.zeros(meta.columns, dtype=np.uint32),
            order=self._order,
        )

    def _write(self, columns: NDArray[np.void]) -> Iterator[OusterScan]:
        scan = self._scan
        if scan is None:
            return
        ids = columns["id"]
        if self._filled[ids].all():
            self._rejections.add("duplicate packet")
            return
        use = self._layout.valid(columns) & ~self._filled[ids]
        written = ids[use]
        scan.words[written] = columns["pixels"][use]
        scan.column_t_ns[written] = columns["t_ns"][use]
        scan.status[written] = columns["status"][use]
        self._filled[ids] = True
        if self._filled[self._order].all():
            yield from self.finish()
