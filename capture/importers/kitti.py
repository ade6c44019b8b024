"""A KITTI raw drive as a recording: every picture, lidar turn and OXTS file, byte for byte."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from capture.errors import CaptureError
from capture.importers import Progress, check_is_folder
from capture.importers.import_session import ImportSession
from capture.workspace import Workspace
from devices.device import Source
from devices.logs.kitti import drive_sensors, frame_files, has_timestamps
from devices.rig import Rig, rig_from_dict
from devices.samples import Packet

RATE_HZ = 10.0  # of every KITTI drive (Geiger et al. 2013)
_PARTS = {"image_[0-9][0-9]": ".png", "velodyne_points": ".bin", "oxts": ".txt"}
_TIMES = ("image_[0-9][0-9]/timestamps.txt", "velodyne_points/timestamps.txt", "oxts/timestamps.txt")
_OXTS = "oxts"


class KittiImporter:
    """A drive's folder: image_NN/data/*.png, velodyne_points/data/*.bin, oxts/data/*.txt; timestamps.txt where the drive has them."""

    line = "Import a KITTI drive: its sensors and its calibration."
    example = "2011_09_26/2011_09_26_drive_0001_sync"
    needs_rig = False

    def recognises(self, path: Path) -> bool:
        return any(path.glob("image_[0-9][0-9]/data")) or (path / "velodyne_points" / "data").is_dir()

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        if rig is not None:
            raise CaptureError("a KITTI drive says itself which sensors it holds; leave --rig out")
        return import_kitti(path, workspace, progress)


def import_kitti(folder: Path, workspace: Workspace, progress: Progress | None = None) -> Path:
    """Imports a drive; returns the recording's folder. Raises DeviceError when the folder holds no drive.

    Where the drive has no timestamps, packets lie on an assigned clock of 10 Hz, and recording.json says so in its notes. Files that
    are missing or cannot be read as what they are named make the recording doubtful; their bytes are kept as they are.
    """
    rig = drive_rig(folder)
    stamped = has_timestamps(folder)
    sources = [
        source for each in rig.sensors.values() for source in each.loaded_driver().open(each.name, each.config())
    ]
    parts = ((part, suffix) for pattern, suffix in _PARTS.items() for part in sorted(folder.glob(pattern)))
    data = [file for part, suffix in parts for file in frame_files(part, suffix)]
    times = [file for pattern in _TIMES for file in sorted(folder.glob(pattern))]
    missing = _missing(data, times)
    total = len(data) + sum(file.parent.parent.name == _OXTS for file in data)  # each OXTS file in two streams
    streams = [source.stream for source in sources]
    session = ImportSession(workspace, rig, streams, folder, data + times, total=total, progress=progress)
    with session:
        lanes = (_packets(index, source) for index, source in enumerate(sources))
        last_ns, back = [0] * len(sources), [0] * len(sources)
        for index, packet in heapq.merge(*lanes, key=lambda each: each[1].stamps.host_ns):
            session.add(index, packet)
            back[index] += packet.stamps.host_ns < last_ns[index]
            last_ns[index] = packet.stamps.host_ns
        for source, count in zip(sources, back, strict=True):
            if count:
                session.doubt(f"{source.stream.name}: {count} of the drive's stamps lie before the one before")
            lost = missing[source.stream.sensor]
            session.lost(source.stream.name, lost)
            if lost:
                session.doubt(f"{source.stream.name}: {lost} frames are missing in the drive")
        session.check_understood()
        if not stamped:
            session.note(
                f"this drive has no timestamps: a clock of {RATE_HZ:g} Hz was assigned, beginning at 2000-01-01T00:00:00Z; "
                "times between frames are nominal, the date means nothing"
            )
    return session.folder


def drive_rig(folder: Path) -> Rig:
    """The sensors that the drive's folder holds files of. Raises CaptureError or DeviceError when it is no drive's."""
    check_is_folder(folder, "KITTI drive")
    return rig_from_dict({"name": "kitti", "sensors": drive_sensors(folder.absolute(), rate_hz=RATE_HZ, pace=False)})


def _missing(files: Sequence[Path], times: Sequence[Path]) -> dict[str, int]:
    """Sensor -> frames that it lacks, of those that any sensor has a file, or a timestamps.txt a line for.

    In drives that were not brought to the cameras' rate OXTS measures ten times as often: of its numbers cameras and lidar need none.
    """
    frames: dict[str, set[int]] = {}
    stamped: dict[str, set[int]] = {}
    for file in files:
        frames.setdefault(_sensor_of(file.parent.parent), set()).add(int(file.stem))
    for path in times:
        lines = sum(bool(line.strip()) for line in path.read_bytes().splitlines())
        stamped[_sensor_of(path.parent)] = set(range(lines))
    every = set[int]().union(*(own for told in (frames, stamped) for sensor, own in told.items() if sensor != _OXTS))
    return {sensor: len((every | stamped.get(sensor, set())) - own) for sensor, own in frames.items()}


def _sensor_of(part: Path) -> str:
    return "lidar" if part.name == "velodyne_points" else part.name.replace("image", "camera")


def _packets(index: int, source: Source) -> Iterator[tuple[int, Packet]]:
    try:
        while True:
            for packet in source.read(0.0):
                yield index, packet
    except EOFError:
        return


IMPORTER = KittiImporter()
