"""A KITTI raw drive, played as if its sensors were there: PNG pictures, lidar turns and OXTS files from a folder.

    [sensors.camera_02]                    # image_02/data/*.png as camera_02/image
    driver = "kitti"
    folder = "2011_09_26_drive_0001_sync"

    [sensors.lidar]                        # velodyne_points/data/*.bin as lidar/points
    driver = "kitti"
    folder = "2011_09_26_drive_0001_sync"

    [sensors.oxts]                         # oxts/data/*.txt as oxts/gnss and as oxts/imu: GNSS and IMU in one file
    driver = "kitti"
    folder = "2011_09_26_drive_0001_sync"

Where the drive has timestamps.txt, those are the device's stamps. Where it has none, a clock of ``rate_hz`` is assigned.
Layout: Geiger et al. 2013, "Vision meets robotics: the KITTI dataset", and its raw data development kit.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from devices.cameras.picture import picture_decoder
from devices.device import ClockSource, Decoder, Found, PacketDecoder, Rejections, SensorConfig, Source, Stream
from devices.errors import DeviceError
from devices.logs import oxts
from devices.logs.pace import Pace
from devices.samples import GnssFix, Image, ImuSample, Packet, Sample, Stamps, Sweep

PICTURE_ENCODING, POINTS_ENCODING = "png", "xyzi.f32"
GNSS_ENCODING, IMU_ENCODING = "oxts.gnss", "oxts.imu"
# 2000-01-01T00:00:00Z: where an assigned clock starts, plainly no time at which anybody drove.
ASSIGNED_START_NS = 946_684_800_000_000_000
_POINT_BYTES = 16  # x, y, z in m, reflectance 0 to 1: float32 each
_LIDAR, _LIDAR_FOLDER = "lidar", "velodyne_points"
_OXTS = "oxts"  # the folder, and the sensor


class KittiConfig(SensorConfig):
    """pace: whether packets come as fast as they were measured, stamped with the present, or at once, stamped with the drive's time."""

    folder: Path
    rate_hz: float = Field(default=10.0, gt=0, le=1000)
    pace: bool = True


class KittiDriver:
    """Streams: ``camera_NN/image`` from image_NN, ``lidar/points`` from velodyne_points, ``oxts/gnss`` and
    ``oxts/imu`` from oxts, each with the whole file; the sensor's name says which.
    """

    config = KittiConfig
    sought = ""
    yields: ClassVar[Mapping[str, type[Sample]]] = {
        PICTURE_ENCODING: Image, POINTS_ENCODING: Sweep, GNSS_ENCODING: GnssFix, IMU_ENCODING: ImuSample,
    }  # fmt: skip

    def open(self, name: str, config: KittiConfig) -> Sequence[Source]:
        return [KittiSource(name, config, part) for part in _parts_of(name)]

    def decoder(self, stream: Stream) -> Decoder:
        if stream.encoding == PICTURE_ENCODING:
            return picture_decoder(stream.sensor)
        if stream.encoding == POINTS_ENCODING:
            return PacketDecoder(partial(_sweep, stream.sensor))
        if stream.encoding in _OXTS_DECODERS:
            return PacketDecoder(partial(_OXTS_DECODERS[stream.encoding], stream.sensor))
        raise DeviceError(f"{stream.name}: a KITTI drive has no stream of '{stream.encoding}'")

    def find(self, timeout_s: float) -> Sequence[Found]:  # noqa: ARG002
        """A drive is a folder, no sensor: it is not looked for."""
        return ()


def drive_sensors(folder: Path, *, rate_hz: float = 10.0, pace: bool = True) -> dict[str, dict[str, Any]]:
    """The ``sensors`` table of a rig.toml for what the drive's folder holds. Raises DeviceError when that is nothing."""
    names = [f"camera_{path.parent.name[-2:]}" for path in sorted(folder.glob("image_[0-9][0-9]/data"))]
    names += [_LIDAR] if (folder / _LIDAR_FOLDER / "data").is_dir() else []
    names += [_OXTS] if names and frame_files(folder / _OXTS, ".txt") else []
    if not names:
        raise DeviceError(
            f"{folder} is no KITTI drive: it has neither image_NN/data nor velodyne_points/data; give the drive's own folder"
        )
    return {name: {"driver": "kitti", "folder": str(folder), "rate_hz": rate_hz, "pace": pace} for name in names}


def frame_files(part: Path, suffix: str) -> list[Path]:
    """The files of a sensor's folder, in order: those that are called by their frame's number, and no others."""
    files = (part / "data").glob(f"*{suffix}")
    return sorted(file for file in files if file.stem.isascii() and file.stem.isdecimal())


def has_timestamps(folder: Path) -> bool:
    """Whether the drive's sensors have their times recorded. Where not, an assigned clock stands in, and must be said to.

    Raises DeviceError where some have and some have not: their times could not be told together.
    """
    parts = sorted(
        path.parent for path in (*folder.glob("image_[0-9][0-9]/data"), *folder.glob(f"{_LIDAR_FOLDER}/data"))
    )
    parts += [folder / _OXTS] if frame_files(folder / _OXTS, ".txt") else []
    stamped = [part.name for part in parts if (part / "timestamps.txt").is_file()]
    if stamped and len(stamped) < len(parts):
        bare = [part.name for part in parts if part.name not in stamped]
        raise DeviceError(
            f"{folder}: {', '.join(stamped)} has a timestamps.txt, {', '.join(bare)} has none, so they share no clock; "
            "copy the missing ones from the drive, or take all of them away to have a clock assigned"
        )
    return bool(stamped)


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a stream's files lie. what: the stream's name behind the sensor's. may_go_back: whether its stamps are taken as they are."""

    folder: str
    what: str
    encoding: str
    suffix: str
    may_go_back: bool = False


class KittiSource:
    """The files of one sensor of a drive, one a packet, in order; EOFError after the last.

    Without timestamps.txt packets have no device stamp. Unpaced, their host stamp is the recorded or assigned time.
    """

    def __init__(self, name: str, config: KittiConfig, part: _Part) -> None:
        self._stream = Stream(f"{name}/{part.what}", part.encoding)
        folder = config.folder / part.folder
        self._files = frame_files(folder, part.suffix)
        if not self._files:
            raise DeviceError(
                f"{name}: no files named by their number, like 0000000000{part.suffix}, in {folder / 'data'}; "
                "give the folder of a KITTI raw drive"
            )
        times = folder / "timestamps.txt"
        self._stamped, self._times_ns = _times(times, self._files, config.rate_hz)
        if not part.may_go_back:
            _check_order(times, self._times_ns, self._files)
        self._next = 0
        self._closed = threading.Event()
        self._pace = Pace(self._closed) if config.pace else None

    @property
    def stream(self) -> Stream:
        return self._stream

    def read(self, timeout_s: float) -> Sequence[Packet]:
        if self._closed.is_set() or self._next >= len(self._files):
            raise EOFError(f"{self._stream.name}: the drive has ended")
        t_ns = self._times_ns[self._next]
        host_ns = self._pace.wait_for(t_ns, timeout_s) if self._pace else t_ns
        if host_ns is None:
            return []
        path, self._next = self._files[self._next], self._next + 1
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DeviceError(f"{self._stream.name}: cannot read {path}: {error}") from None
        return [Packet(self._stream.name, Stamps(host_ns, t_ns if self._stamped else None), data)]

    @property
    def lost(self) -> int:
        """Frames missing between the numbers of the files read so far."""
        if not self._next:
            return 0
        return int(self._files[self._next - 1].stem) - int(self._files[0].stem) + 1 - self._next

    @property
    def clock_source(self) -> ClockSource:
        return ClockSource.FREE if self._stamped else ClockSource.NONE

    def close(self) -> None:
        self._closed.set()


def _sweep(sensor: str, packet: Packet, rejections: Rejections) -> Iterable[Sweep]:
    """t_ns is when the lidar faced forward, offset_ns is 0: the file does not say when within the turn a point was measured."""
    if not packet.data or len(packet.data) % _POINT_BYTES:
        rejections.add("not a whole number of points")
        return
    points = np.frombuffer(packet.data, dtype="<f4").reshape(-1, 4)
    points = points[np.isfinite(points).all(axis=1)]
    yield Sweep(
        sensor=sensor,
        t_ns=packet.stamps.own_ns,
        points_m=points[:, :3].astype(np.float32),
        intensity=points[:, 3].astype(np.float32),
        offset_ns=np.zeros(len(points), dtype=np.int64),
        return_number=np.zeros(len(points), dtype=np.uint8),
    )


def _parts_of(name: str) -> list[_Part]:
    """What the drive has of the sensor of that name."""
    camera = re.fullmatch(r"camera_(\d\d)", name)
    if camera:
        return [_Part(f"image_{camera[1]}", "image", PICTURE_ENCODING, ".png")]
    if name == _LIDAR:
        return [_Part(_LIDAR_FOLDER, "points", POINTS_ENCODING, ".bin")]
    if name == _OXTS:
        # In drives that were not brought to the cameras' rate some of their stamps are out of order, as KITTI gives them out.
        return [_Part(_OXTS, "gnss", GNSS_ENCODING, ".txt", True), _Part(_OXTS, "imu", IMU_ENCODING, ".txt", True)]
    raise DeviceError(f"a KITTI drive has no sensor '{name}'; call it camera_00 to camera_03, lidar or oxts")


def _times(path: Path, files: Sequence[Path], rate_hz: float) -> tuple[bool, list[int]]:
    """Whether the times are recorded ones, and the ns of each file. Line n of timestamps.txt belongs to the file of number n."""
    numbers = [int(each.stem) for each in files]
    if not path.is_file():
        return False, [ASSIGNED_START_NS + round(number * 1e9 / rate_hz) for number in numbers]
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        times_ns = [_ns_of(lines[number]) for number in numbers]
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise DeviceError(
            f"{path}: no time for each of {len(files)} files ({error}); a line reads 2011-09-26 13:02:25.964389445"
        ) from None
    return True, times_ns


def _check_order(path: Path, times_ns: Sequence[int], files: Sequence[Path]) -> None:
    for file, before_ns, after_ns in zip(files[1:], times_ns, times_ns[1:], strict=False):
        if after_ns < before_ns:
            raise DeviceError(
                f"{path}: line {int(file.stem) + 1} goes back by {(before_ns - after_ns) / 1e9:.3f} s; correct it"
            )


def _ns_of(line: str) -> int:
    """``2011-09-26 13:02:25.964389445`` -> ns, taken for UTC as the development kit does not say. Raises ValueError."""
    whole, _, fraction = line.strip().partition(".")
    moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or "0")


_OXTS_DECODERS: dict[str, Callable[[str, Packet, Rejections], Iterable[Sample]]] = {
    GNSS_ENCODING: oxts.fix, IMU_ENCODING: oxts.inertial,
}  # fmt: skip
DRIVER = KittiDriver()
