"""EuRoC MAV folders: pictures, IMU and ground truth, byte for byte, at the times of their CSV files.

Layout: Burri et al. 2016, "The EuRoC micro aerial vehicle datasets". Beside mav0/camN/data/*.png and mav0/camN/data.csv, which name each
picture's time in ns, there are mav0/imuN/data.csv, mav0/state_groundtruth_estimate0/data.csv and a sensor.yaml a sensor. TUM-VI and others use it, too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

from capture.errors import CaptureError
from capture.importers import Progress, check_is_folder
from capture.importers.import_session import ImportSession
from capture.importers.ros_topics import rig_name
from capture.workspace import Workspace
from devices.device import Stream
from devices.logs.euroc import (
    DATA,
    NAMES,
    PICTURE,
    SENSOR_YAML,
    STATE_ENCODING,
    encoding_of,
    mounting_of,
    picture_names,
    time_ns,
)
from devices.rig import Mounting, Rig, Sensor
from devices.samples import Packet, Stamps

_ROOT = "mav0"


class EurocImporter:
    """The folder that holds mav0/, or mav0/ itself."""

    line = "Import a EuRoC folder (mav0): cameras, IMU, ground truth."
    example = "MH_01_easy"
    needs_rig = False

    def recognises(self, path: Path) -> bool:
        root = path / _ROOT if (path / _ROOT).is_dir() else path
        return path.is_dir() and any((each / DATA).is_file() for each in root.glob("*[0-9]"))

    def import_into(
        self, path: Path, workspace: Workspace, progress: Progress | None = None, rig: Rig | None = None
    ) -> Path:
        """A stream a sensor: camN/image, imuN/imu, and the ground truth as vectors. Every sensor.yaml, body.yaml and other small text is kept.

        Pictures that the CSV names and that are not there, lines that are no measurement, and other sensors' files, which are left out, make
        the recording doubtful.
        """
        check_is_folder(path, "EuRoC folder")
        if rig is not None:
            raise CaptureError("a EuRoC folder says itself which sensors it holds; leave --rig out")
        root = path / _ROOT if (path / _ROOT).is_dir() else path
        folders = [_SensorFolder(folder) for folder in sorted(root.iterdir()) if encoding_of(folder.name)]
        folders = [folder for folder in folders if (folder.path / DATA).is_file()]
        if not folders:
            raise CaptureError(f"{path} is no EuRoC folder: it holds no mav0/cam0, imu0, ... with a {DATA}")
        streams = [folder.stream for folder in folders]
        described = Rig(name=rig_name(path), sensors={folder.path.name: folder.sensor() for folder in folders})
        files = [file for folder in folders for file in folder.files()]
        total = sum(folder.count_lines() for folder in folders)
        session = ImportSession(workspace, described, streams, path, files, total=total, progress=progress)
        with session:
            arrivals = heapq.merge(
                *map(_numbered, range(len(folders)), folders), key=lambda each: each[1].stamps.host_ns
            )
            for number, packet in arrivals:
                session.add(number, packet)
            for folder in folders:
                session.lost(folder.stream.name, folder.missing)
                for text in folder.doubts():
                    session.doubt(text)
            session.check_understood()
        return session.folder


class _SensorFolder:
    """One sensor's folder. taken: messages; missing: pictures that are not there; untimed: lines whose time cannot be read.

    All are counted as far as it was read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.taken = self.missing = self.untimed = 0
        self._shown: set[str] = set()  # pictures that a line names
        self._encoding = encoding_of(folder.name)
        what = {PICTURE: "image", STATE_ENCODING: "state"}.get(self._encoding, "imu")
        self.stream = Stream(f"{folder.name}/{what}", self._encoding, self._header())

    def sensor(self) -> Sensor:
        """As sensor.yaml places it: T_BS is the body's pose of the sensor, and the body is the rig."""
        mounting = mounting_of(self.path / SENSOR_YAML)
        mounted = None if mounting is None else Mounting(xyz_m=mounting[0], rpy_deg=mounting[1])
        return Sensor(name=self.path.name, driver="euroc", mounting=mounted, own={"folder": self.path.name})

    def files(self) -> Iterator[Path]:
        """Those that its messages are made of."""
        yield self.path / DATA
        yield from self._pictures()

    def count_lines(self) -> int:
        with (self.path / DATA).open("rb") as file:
            return sum(not line.startswith(b"#") and bool(line.strip()) for line in file)

    def packets(self) -> Iterator[Packet]:
        """In the CSV's order. A line that goes back in time is passed over."""
        last_ns = -1
        with (self.path / DATA).open("rb") as file:
            for line in file:
                if line.startswith(b"#") or not line.strip():
                    continue
                t_ns = time_ns(line)
                if t_ns is None or t_ns < last_ns:
                    self.untimed += 1
                    continue
                last_ns = t_ns
                data = self._picture(line) if self._encoding == PICTURE else line
                if data is not None:
                    self.taken += 1
                    yield Packet(self.stream.name, Stamps(t_ns), data)

    def doubts(self) -> Iterator[str]:
        """What is amiss with it, once all packets were read."""
        name = self.stream.name
        if self.missing:
            yield f"{name}: {self.missing} pictures that {DATA} names are not there"
        if self.untimed:
            yield f"{name}: {self.untimed} lines of {DATA} have no time, or one before the last"
        if not self.taken + self.missing + self.untimed:
            yield f"{name}: {DATA} holds no line"
        if unnamed := sum(path.name not in self._shown for path in self._pictures()):
            yield f"{name}: {unnamed} pictures that no line of {DATA} names were left out"

    def _picture(self, line: bytes) -> bytes | None:
        for name in picture_names(line):
            path = self.path / "data" / name
            if path.is_file():
                self._shown.add(name)
                return path.read_bytes()
        self.missing += 1
        return None

    def _pictures(self) -> list[Path]:
        return sorted((self.path / "data").glob("*.png")) if self._encoding == PICTURE else []

    def _header(self) -> str:
        """The CSV's first line, which names the columns."""
        if self._encoding in (PICTURE, "") or not (self.path / DATA).is_file():
            return ""
        with (self.path / DATA).open("rb") as file:
            first = file.readline().decode("utf-8", "replace").strip()
        return first if first.startswith("#") else NAMES.get(self._encoding, "")


def _numbered(number: int, folder: _SensorFolder) -> Iterator[tuple[int, Packet]]:
    for packet in folder.packets():
        yield number, packet


IMPORTER = EurocImporter()
