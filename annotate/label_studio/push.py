"""Give frames out: keyframes with their pictures and pre-labels become tasks on the server, each exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate import birdseye
from annotate.birdseye import View
from annotate.errors import AnnotateError
from annotate.keyframes import Keyframe, keyframes
from annotate.label_studio import shown
from annotate.label_studio.client import Client, Task
from annotate.label_studio.screen import BIRDSEYE, CAMERAS, GUIDELINE, RULES, find_screen
from annotate.label_studio.server import Server
from annotate.label_studio.shown import Shown
from annotate.label_studio.tasks import task
from annotate.labels import Cuboid, Provenance
from annotate.mosaic import mosaic
from annotate.prelabel.boxes import PreLabel
from annotate.prelabel.prelabels import NAME, find_prelabels
from annotate.prelabel.tracks import Tracker
from annotate.store import LabelStore
from calibration.left_out import LeftOut
from capture.whole_file import write_whole
from devices.cameras.picture import jpeg, png
from devices.progress import Progress

if TYPE_CHECKING:
    from calibration.calibration import Calibration
    from calibration.motion import Trajectory
    from capture.recording import Recording
    from capture.workspace import Workspace

_BATCH = 50
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class PushReport:
    """url: where people open the project. sent, already_there: frames. doubles: tasks removed since another had their uid.

    left_out: what of the recording was left out and why, a line for each reason.
    """

    project: str
    url: str
    sent: int
    already_there: int
    doubles: int
    prelabels: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A keyframe, its points with the ground found in them, and its guesses."""

    keyframe: Keyframe
    shown: Shown
    view: View
    prelabels: list[PreLabel]


def push(
    server: Server,
    workspace: Workspace,
    project: str,
    recording: Recording,
    calibration: Calibration,
    every_ns: int | None = 500_000_000,
    progress: Progress | None = None,
    trajectory: Trajectory | None = None,
) -> PushReport:
    """Put a recording's keyframes, every_ns apart, on the server; those that are there already stay as they are.

    trajectory: worked out from the recording when not given. Raises CalibrationError when the calibration was refused,
    AnnotateError when the project holds frames of this recording that were made with another calibration.
    """
    from calibration.calibration import refuse, save
    from calibration.motion import trajectory as work_out

    refuse(calibration)
    LabelStore(workspace, project)  # the name is checked before anything is made
    folder = server.files / project
    folder.mkdir(parents=True, exist_ok=True)
    client = Client(server)
    number = client.ensure_project(project, find_screen(), RULES, folder)
    there, doubles = _reconcile(client, number)
    _require_one_calibration(there.values(), recording, calibration, project)

    save(calibration, workspace)  # the labels lead back to it by its ID
    left_out = LeftOut()
    path = trajectory or work_out(recording, calibration, left_out)
    sent, already, boxes = 0, 0, 0
    batch: list[dict[str, Any]] = []
    for prepared in _prepare(recording, calibration, every_ns, path, left_out):
        uid = prepared.keyframe.uid
        urls = _write_pictures(prepared, folder, calibration)
        boxes += len(prepared.prelabels)
        if uid in there:
            already += 1
        else:
            batch.append(task(prepared.keyframe, calibration.id, prepared.view, urls, prepared.prelabels))
            sent += 1
        if len(batch) == _BATCH:
            client.import_tasks(number, batch)
            batch = []
        if progress is not None:
            done = (prepared.keyframe.t_ns - recording.start_ns) / max(recording.end_ns - recording.start_ns, 1)
            progress("preparing frames", min(max(done, 0.0), 1.0))
    client.import_tasks(number, batch)
    told = tuple(left_out.lines(recording))
    return PushReport(project, f"{server.url}/projects/{number}/data", sent, already, doubles, boxes, told)


def _prepare(
    recording: Recording, calibration: Calibration, every_ns: int | None, trajectory: Trajectory, left_out: LeftOut
) -> Iterator[_Prepared]:
    """Every keyframe, also those that were sent before: a track goes on through them."""
    tracker = Tracker()
    view: View | None = None
    for keyframe in keyframes(recording, calibration, every_ns, trajectory, left_out=left_out):
        made = shown.shown_in(keyframe)
        view = view or View.for_scene(keyframe.points_m, made.ground.height_m)  # one for all: frames look alike
        reach_m = view.width_px * view.m_per_px / 2 - 1.0
        world_from_lidar = trajectory.at(keyframe.t_ns) @ calibration.rig_from(keyframe.lidar)
        guesses = find_prelabels(keyframe.points_m, made.ground, reach_m)
        yield _Prepared(keyframe, made, view, tracker.follow(keyframe.t_ns, guesses, world_from_lidar))


def _write_pictures(prepared: _Prepared, folder: Path, calibration: Calibration) -> dict[str, str]:
    """The pictures' addresses on the server; files that are there already are left alone."""
    keyframe = prepared.keyframe
    stem = shown.file_stem(keyframe.uid)
    overhead, cameras = folder / f"{stem}.birdseye.png", folder / f"{stem}.cameras.jpg"
    points = shown.points_file(folder, keyframe.uid)
    if not overhead.exists():
        picture = birdseye.draw(prepared.view, keyframe.points_m, keyframe.intensity, prepared.shown.ground.height_m)
        write_whole(overhead, png(picture))
    if not cameras.exists():
        pictures = {name: recorded.sample.pixels for name, recorded in keyframe.frame.images.items()}  # type: ignore[union-attr]
        wires = [_wire(box, keyframe, calibration) for box in prepared.prelabels]
        write_whole(cameras, jpeg(mosaic(pictures, wires, keyframe.lidar, calibration), _JPEG_QUALITY))
    if not shown.is_kept(points):
        shown.save(prepared.shown, points)
    address = "/data/local-files/?d=" + folder.name + "/"
    return {BIRDSEYE: address + overhead.name, CAMERAS: address + cameras.name}


def _wire(box: PreLabel, keyframe: Keyframe, calibration: Calibration) -> Cuboid:
    provenance = Provenance(
        spans=keyframe.spans,
        calibration_id=calibration.id,
        annotator=NAME,
        task=keyframe.uid,
        guideline=GUIDELINE,
        made_ns=keyframe.t_ns,
        origin="prelabel",
    )
    return Cuboid(
        id=box.track or "",
        track=box.track,
        category=box.category,
        t_ns=keyframe.t_ns,
        center_m=box.center_m,
        size_m=box.size_m,
        yaw_rad=box.yaw_rad,
        num_points=box.num_points,
        provenance=provenance,
    )


def _reconcile(client: Client, project: int) -> tuple[dict[str, Task], int]:
    """The task of each uid; of tasks with one uid (an import that was cut short) the first annotated one stays. Also how many went."""
    tasks: dict[str, list[Task]] = {}
    for found in client.tasks(project):
        tasks.setdefault(found.uid, []).append(found)
    doubled = {uid for uid, same in tasks.items() if uid and len(same) > 1}
    if not doubled:
        return {uid: same[0] for uid, same in tasks.items()}, 0
    annotated = {found.id for found in client.tasks_with_predictions(project) if found.annotations}
    spare = []
    for uid in doubled:
        kept = [found for found in tasks[uid] if found.id in annotated] or tasks[uid][:1]
        spare += [found.id for found in tasks[uid] if found not in kept]
    client.delete_tasks(spare)
    return {uid: same[0] for uid, same in tasks.items()}, len(spare)


def _require_one_calibration(
    there: Iterable[Task], recording: Recording, calibration: Calibration, project: str
) -> None:
    for found in there:
        if found.data.get("recording") == recording.id and found.data.get("calibration") != calibration.id:
            raise AnnotateError(
                f"project '{project}' holds frames of {recording.id} made with calibration {found.data.get('calibration')}, "
                f"not {calibration.id}; push under another project's name"
            )
