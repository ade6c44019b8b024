"""The view of the data that every format reads: which recordings, calibration, labels and episodes, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.store import LabelledFrame, LabelStore
from calibration.calibration import Calibration, refuse
from calibration.errors import CalibrationError
from calibration.lookup import caveats, look_up
from capture.recording import Recording, open_recording
from export.drive import Drive
from export.errors import ExportError

if TYPE_CHECKING:
    from annotate.labels import Cuboid
    from capture.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Which labels a dataset holds."""

    project: str
    revision: int


@dataclass(frozen=True, slots=True, eq=False)
class DatasetView:
    """A dataset before it has a format. notes: what a reader of any format should know."""

    name: str
    drives: tuple[Drive, ...]
    labels: LabelSet | None = None
    notes: tuple[str, ...] = field(default=())


def build(
    workspace: Workspace,
    recordings: Sequence[str | Path],
    *,
    name: str,
    project: str | None = None,
    revision: int | None = None,
    calibration: str | None = None,
) -> DatasetView:
    """The view of some recordings, with the labels of a project (its newest revision when none is named).

    calibration: its ID or file; without it each recording is seen through the calibration that its labels were made with, or
    through its rig's latest. Raises ExportError when labels and the calibration asked for differ, CalibrationError when one
    was refused or is not there.
    """
    if not recordings:
        raise ExportError("name at least one recording to export")
    opened = [open_recording(workspace.recording(Path(folder))) for folder in recordings]
    store = None if project is None else LabelStore(workspace, project)
    if store is not None and revision is None:
        revision = max(store.revisions(), default=None)
    frames = [] if store is None else store.keyframes(revision)
    cuboids = [] if store is None else store.load(revision)
    drives = [_drive(workspace, recording, frames, cuboids, calibration) for recording in opened]
    if len({drive.id for drive in drives}) != len(drives):
        raise ExportError("a recording was named twice; a dataset holds each once")
    labels = None if project is None or revision is None else LabelSet(project, revision)
    return DatasetView(name, tuple(drives), labels, tuple(_notes(drives)))


def _drive(
    workspace: Workspace,
    recording: Recording,
    frames: Sequence[LabelledFrame],
    cuboids: Sequence[Cuboid],
    named: str | None,
) -> Drive:
    own = [frame for frame in frames if frame.recording_id == recording.id]
    used = {frame.calibration_id for frame in own}
    asked = None if named is None else look_up(workspace, recording.rig.name, named)
    if len(used | (set() if asked is None else {asked.id})) > 1:
        raise ExportError(
            f"the labels of {recording.id} were made with calibration {', '.join(sorted(used))}"
            + ("" if asked is None else f", not with {asked.id}")
            + "; one recording is exported with one calibration"
        )
    calibration = asked or _of_labels(workspace, recording, used) or look_up(workspace, recording.rig.name)
    refuse(calibration)
    by_frame: dict[str, list[Cuboid]] = {frame.uid: [] for frame in own}
    for cuboid in cuboids:
        if cuboid.provenance.task in by_frame:
            by_frame[cuboid.provenance.task].append(cuboid)
    return Drive(recording, calibration, {frame.t_ns: tuple(by_frame[frame.uid]) for frame in own})


def _of_labels(workspace: Workspace, recording: Recording, used: Collection[str]) -> Calibration | None:
    """The calibration that labels were made with; None where there are none."""
    try:
        return next((look_up(workspace, recording.rig.name, named) for named in used), None)
    except CalibrationError as error:
        raise ExportError(
            f"the labels of {recording.id} need the calibration that they were made with: {error}"
        ) from None


def _notes(drives: Sequence[Drive]) -> Iterator[str]:
    for drive in drives:
        for note in drive.notes:
            yield f"{drive.id}: {note}"
        if drive.doubt:
            yield f"{drive.id}: {drive.doubt}"
        if drive.discarded:
            yield f"{drive.id}: {_discarded(drive)}"
        for caveat in caveats(drive.calibration, drive.rig):
            yield f"{drive.id}: {caveat}"
        yield from drive.oddities


def _discarded(drive: Drive) -> str:
    count = len(drive.discarded)
    what = (
        "1 episode was discarded by its crew and is"
        if count == 1
        else f"{count} episodes were discarded by their crew and are"
    )
    labelled = f", {drive.labelled_in_vain} labelled keyframes in it" if drive.labelled_in_vain else ""
    return f"{what} left out{labelled}"
