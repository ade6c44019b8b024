"""A KITTI raw drive as a recording: every picture and every lidar turn, byte for byte."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from capture.errors import CaptureError
from capture.intake import Inlet, open_inlets
from capture.recording_folder import begin_folder, close_folder
from capture.recording_info import Losses, RecordingInfo
from capture.workspace import Workspace
from capture.writer import BagWriter
from devices.device import Decoder
from devices.kitti import drive_sensors, has_timestamps
from devices.rig import Rig, rig_from_dict
from devices.samples import Image, Packet

RATE_HZ = 10.0  # of every KITTI drive (Geiger et al. 2013)


class KittiImporter:
    """A drive's folder: image_NN/data/*.png, velodyne_points/data/*.bin, timestamps.txt where the drive has them."""

    def recognises(self, path: Path) -> bool:
        return any(path.glob("image_[0-9][0-9]/data")) or (path / "velodyne_points" / "data").is_dir()

    def import_into(self, path: Path, workspace: Workspace, progress: Callable[[int, int], None] | None = None) -> Path:
        return import_kitti(path, workspace, progress)


def import_kitti(folder: Path, workspace: Workspace, progress: Callable[[int, int], None] | None = None) -> Path:
    """Imports a drive; returns the recording's folder. Raises DeviceError when the folder holds no drive.

    Where the drive has no timestamps, packets lie on an assigned clock of 10 Hz, and recording.json says so in its notes. Files that
    are missing or cannot be read as what they are named make the recording doubtful; their bytes are kept as they are.
    """
    if not folder.is_dir():
        raise CaptureError(f"no KITTI drive at {folder}: there is no such folder")
    rig = rig_from_dict({"name": "kitti", "sensors": drive_sensors(folder.absolute(), rate_hz=RATE_HZ, pace=False)})
    stamped = has_timestamps(folder)
    inlets = open_inlets(rig)
    recording, info = begin_folder(workspace, rig, [inlet.stream for inlet in inlets])
    try:
        _fill(recording, info, folder, inlets, stamped, progress)
    except BaseException as error:  # half an import is worth nothing: all of it is in the drive
        shutil.rmtree(recording, ignore_errors=True)
        if isinstance(error, OSError):
            raise CaptureError(
                f"cannot import {folder} into {recording.parent}: {error}; nothing of it was kept"
            ) from None
        raise
    return recording


def _fill(
    recording: Path,
    info: RecordingInfo,
    folder: Path,
    inlets: list[Inlet],
    stamped: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Every packet of the drive into the recording's folder, which is closed then."""
    bag = BagWriter(recording / f"{recording.name}_0.mcap", [inlet.stream for inlet in inlets])
    trials = [_Trial(info.rig, inlet) for inlet in inlets]
    total = sum(
        len(list(folder.glob(pattern))) for pattern in ("image_[0-9][0-9]/data/*.png", "velodyne_points/data/*.bin")
    )
    try:
        arrivals = heapq.merge(*map(_packets, inlets), key=lambda each: each[1].stamps.host_ns)
        for done, (inlet, packet) in enumerate(arrivals, start=1):
            bag.add(inlet.index, inlet.note(packet), packet, packet.stamps.host_ns)
            trials[inlet.index].take(packet)
            if progress is not None:
                progress(done, total)
    finally:
        summary, sha256 = bag.finish()
    reasons = [reason for trial in trials for reason in trial.reasons()]
    changes = {
        "started_ns": summary.start_ns,
        "ended_ns": summary.end_ns,
        "losses": {inlet.stream.name: Losses(before_read=inlet.source.lost) for inlet in inlets},
        "verdict": "doubtful" if reasons else "good",
        "reasons": tuple(reasons),
        "notes": tuple(_notes(folder, stamped)),
    }
    close_folder(recording, info.model_copy(update=changes), {bag.path.name: summary}, {bag.path.name: sha256})


class _Trial:
    """Decodes what one inlet brings, once, to tell what of it nobody will be able to use."""

    def __init__(self, rig: Rig, inlet: Inlet) -> None:
        self._inlet = inlet
        self._decoder: Decoder = rig.sensors[inlet.stream.sensor].loaded_driver().decoder(inlet.stream)
        self._sizes: set[tuple[int, ...]] = set()

    def take(self, packet: Packet) -> None:
        for sample in self._decoder.decode(packet):
            if isinstance(sample, Image):
                self._sizes.add(sample.pixels.shape[1::-1])

    def reasons(self) -> Iterator[str]:
        name, lost = self._inlet.stream.name, self._inlet.source.lost
        if lost:
            yield f"{name}: {lost} frames are missing in the drive"
        for reason, count in self._decoder.rejected.items():
            yield f"{name}: {count} of {self._inlet.received} files cannot be read: {reason}; copy them from the drive anew"
        if len(self._sizes) > 1:
            sizes = ", ".join(f"{width} x {height}" for width, height in sorted(self._sizes))
            yield f"{name}: its pictures are of several sizes ({sizes}); a calibration fits one"


def _packets(inlet: Inlet) -> Iterator[tuple[Inlet, Packet]]:
    try:
        while True:
            for packet in inlet.source.read(0.0):
                yield inlet, packet
    except EOFError:
        return


def _notes(folder: Path, stamped: bool) -> list[str]:
    notes = [f"imported from the KITTI drive {folder.name}"]
    if not stamped:
        notes.append(
            f"this drive has no timestamps: a clock of {RATE_HZ:g} Hz was assigned, beginning at 2000-01-01T00:00:00Z; "
            "times between frames are nominal, the date means nothing"
        )
    return notes


IMPORTER = KittiImporter()
