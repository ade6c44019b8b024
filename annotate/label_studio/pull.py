"""Take labels back: what people drew becomes cuboids in the store, one revision for each change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.birdseye import View
from annotate.errors import AnnotateError
from annotate.keyframes import keyframes
from annotate.label_studio import shown
from annotate.label_studio.client import Client
from annotate.label_studio.results import cuboid_from_region, ns_from_iso, regions
from annotate.label_studio.server import Server
from annotate.labels import Cuboid, Provenance
from annotate.store import LabelledFrame, LabelStore
from capture.whole_file import write_whole
from devices.progress import Progress

if TYPE_CHECKING:
    from capture.recording import Span
    from capture.workspace import Workspace


# What tells frames apart -> the task and its newest annotation.
_Finished = dict[Any, tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class PullReport:
    """revision: the store's newest, 0 while nothing is labelled; is_new: made by this pull.

    frames, cuboids: in that revision. kept: frames of it that this export holds no valid annotation of. open: tasks that
    nobody has finished. skipped: tasks that people passed over. broken: what could not be read, one line each.
    """

    revision: int
    is_new: bool
    frames: int
    cuboids: int
    kept: int
    open: int
    skipped: int
    broken: tuple[str, ...]
    export: Path


@dataclass(slots=True)
class _Labelled:
    """What an export says, frame by frame."""

    frames: dict[str, LabelledFrame] = field(default_factory=dict)
    cuboids: dict[str, list[Cuboid]] = field(default_factory=dict)
    open: int = 0
    skipped: int = 0
    broken: list[str] = field(default_factory=list)


def pull(server: Server, workspace: Workspace, project: str, progress: Progress | None = None) -> PullReport:
    """Store what is finished on the server. Pulling again without a change makes no new revision.

    A frame that was stored before and has no valid annotation now (the task was deleted, the annotation is broken) keeps what it
    had: only an annotation replaces an annotation.
    """
    store = LabelStore(workspace, project)
    client = Client(server)
    raw = client.export(client.project(project))
    archived = _archive(raw, store.exports)
    labelled = _read_export(json.loads(raw), client.emails(), server.files / project, workspace, progress)

    known = store.revisions()
    kept = 0
    if known:
        earlier_cuboids = store.load()
        for frame in store.keyframes():
            if frame.uid not in labelled.frames:
                labelled.frames[frame.uid] = frame
                labelled.cuboids[frame.uid] = [c for c in earlier_cuboids if c.provenance.task == frame.uid]
                kept += 1
    cuboids = [cuboid for found in labelled.cuboids.values() for cuboid in found]
    revision = store.save_revision(cuboids, list(labelled.frames.values())) if labelled.frames else 0
    return PullReport(
        revision=revision,
        is_new=revision not in (0, *known),
        frames=len(labelled.frames),
        cuboids=len(cuboids),
        kept=kept,
        open=labelled.open,
        skipped=labelled.skipped,
        broken=tuple(labelled.broken),
        export=archived,
    )


def _read_export(
    tasks: Sequence[Mapping[str, Any]],
    emails: Mapping[int, str],
    folder: Path,
    workspace: Workspace,
    progress: Progress | None,
) -> _Labelled:
    labelled = _Labelled()
    finished: _Finished = {}
    for task in tasks:
        made = [annotation for annotation in task.get("annotations", ()) if not annotation.get("was_cancelled")]
        if made:
            _keep_newest(finished, task, made)
        elif task.get("annotations"):
            labelled.skipped += 1
        else:
            labelled.open += 1
    _restore_points([task for task, _ in finished.values()], folder, workspace)
    for k, (task, annotation) in enumerate(finished.values()):
        try:
            frame, cuboids = _read_annotation(task["data"], annotation, emails, folder)
        except (AnnotateError, KeyError, TypeError, ValueError, AttributeError) as error:
            labelled.broken.append(f"annotation {annotation.get('id')} of task {task.get('id')}: {_words(error)}")
            continue
        labelled.frames[frame.uid] = frame
        labelled.cuboids[frame.uid] = cuboids
        if progress is not None:
            progress("reading annotations", (k + 1) / len(finished))
    return labelled


def _keep_newest(
    finished: _Finished,
    task: Mapping[str, Any],
    made: Sequence[Mapping[str, Any]],
) -> None:
    """Of several annotations of one frame the one saved last counts; the export keeps the others."""
    data = task.get("data")
    uid = data.get("uid") if isinstance(data, Mapping) else None
    newest = max(made, key=_saved)
    key = uid or ("task", task.get("id"))
    if key not in finished or _saved(newest) > _saved(finished[key][1]):
        finished[key] = (task, newest)


def _saved(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or "")


def _read_annotation(
    data: Mapping[str, Any], annotation: Mapping[str, Any], emails: Mapping[int, str], folder: Path
) -> tuple[LabelledFrame, list[Cuboid]]:
    """Raises AnnotateError, or KeyError, TypeError, ValueError, AttributeError, when something in it is not as it should be."""
    uid, t_ns = str(data["uid"]), int(data["t_ns"])
    annotator = emails.get(int(annotation["completed_by"]), f"user {annotation['completed_by']}")
    spans = tuple(_span(entry) for entry in data["spans"])
    frame = LabelledFrame(
        uid=uid,
        t_ns=t_ns,
        recording_id=str(data["recording"]),
        calibration_id=str(data["calibration"]),
        spans=spans,
        annotator=annotator,
        made_ns=ns_from_iso(annotation["updated_at"]),
    )
    provenance = Provenance(
        spans=spans,
        calibration_id=frame.calibration_id,
        annotator=annotator,
        task=uid,
        guideline=str(data["guideline"]),
        made_ns=frame.made_ns,
        origin="human",
    )
    found = regions(annotation["result"])
    points = shown.load(shown.points_file(folder, uid))
    if points is None:
        raise AnnotateError(f"the points of {uid} are neither cached nor can they be made from its recording")
    view, tracks = View(**data["view"]), data.get("tracks", {})
    cuboids = [
        cuboid_from_region(region, view, points, t_ns, provenance, tracks.get(region_id))
        for region_id, region in found.items()
    ]
    return frame, cuboids


def _restore_points(tasks: Sequence[Mapping[str, Any]], folder: Path, workspace: Workspace) -> None:
    """Make the points anew, from the recordings, where their cache was lost."""
    missing: dict[tuple[str, str], set[str]] = {}
    for task in tasks:
        data = task.get("data")
        if isinstance(data, Mapping) and {"uid", "recording", "calibration"} <= data.keys():
            uid = str(data["uid"])
            if not shown.is_kept(shown.points_file(folder, uid)):
                missing.setdefault((str(data["recording"]), str(data["calibration"])), set()).add(uid)
    for (recording_id, calibration_id), uids in missing.items():
        _restore_recording(recording_id, calibration_id, uids, folder, workspace)


def _restore_recording(
    recording_id: str, calibration_id: str, uids: set[str], folder: Path, workspace: Workspace
) -> None:
    from calibration.calibration import load
    from capture.recording import open_recording
    from devices.errors import FieldrigError

    found = sorted(workspace.calibrations.glob(f"*/{calibration_id}.json"))
    if not found:
        return  # each annotation that needs it says so
    try:
        recording = open_recording(workspace.recordings / recording_id)
        folder.mkdir(parents=True, exist_ok=True)
        for keyframe in keyframes(recording, load(found[0]), only=uids):
            shown.save(shown.shown_in(keyframe), shown.points_file(folder, keyframe.uid))
    except FieldrigError:
        return


def _archive(raw: bytes, folder: Path) -> Path:
    """Keep the export as it came; the server has no history. The same export is kept once."""
    digest = hashlib.sha256(raw).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"*-{digest}.json"):
        return path
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{digest}.json"
    write_whole(path, raw)
    return path


def _span(entry: Mapping[str, Any]) -> Span:
    from capture.recording import Span

    fields: dict[str, Any] = {name: int(value) if name.endswith("_ns") else value for name, value in entry.items()}
    return Span(**fields)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, AnnotateError) else f"{type(error).__name__} {error}"
