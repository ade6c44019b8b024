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
from annotate.label_studio import shown
from annotate.label_studio.client import Client
from annotate.label_studio.lost_points import restore
from annotate.label_studio.results import cuboid_from_region, ns_from_iso, regions
from annotate.label_studio.server import Server
from annotate.labels import Cuboid, Provenance
from annotate.store import LabelledFrame, LabelStore
from capture.whole_file import write_whole
from devices.progress import Progress

if TYPE_CHECKING:
    from capture.recording import Span
    from capture.workspace import Workspace


_Drawn = tuple[Mapping[str, Any], Mapping[str, Any]]  # a task and an annotation of it
_Finished = dict[Any, _Drawn]  # what tells frames apart -> the newest of a frame
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class PullReport:
    """revision: the store's newest, 0 while nothing is labelled; is_new: made by this pull.

    frames, cuboids: in that revision. kept: frames of it that this export holds no valid annotation of. open: tasks that
    nobody has finished. skipped: tasks that people passed over. replaced: annotations that a later one of the same frame stands for.
    broken: what could not be read, a line a reason.
    """

    revision: int
    is_new: bool
    frames: int
    cuboids: int
    kept: int
    open: int
    skipped: int
    replaced: int
    broken: tuple[str, ...]
    export: Path


class _PointsLackingError(Exception):
    """The points that an annotation was drawn on are not kept, or damaged."""


@dataclass(slots=True)
class _Labelled:
    """What an export says, frame by frame."""

    frames: dict[str, LabelledFrame] = field(default_factory=dict)
    cuboids: dict[str, list[Cuboid]] = field(default_factory=dict)
    open: int = 0
    skipped: int = 0
    replaced: int = 0
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
        replaced=labelled.replaced,
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
            labelled.replaced += len(made)
        elif task.get("annotations"):
            labelled.skipped += 1
        else:
            labelled.open += 1
    labelled.replaced -= len(finished)
    lost: dict[tuple[str, str], list[_Drawn]] = {}
    for k, (task, annotation) in enumerate(finished.values()):
        if not _is_read(task, annotation, emails, folder, labelled):
            source = str(task["data"]["recording"]), str(task["data"]["calibration"])
            lost.setdefault(source, []).append((task, annotation))
        if progress is not None:
            progress("reading annotations", (k + 1) / len(finished))
    for (recording_id, calibration_id), drawn in lost.items():
        uids = {str(task["data"]["uid"]) for task, _ in drawn}
        why = restore(uids, recording_id, calibration_id, folder, workspace, progress)
        still = [task for task, annotation in drawn if not _is_read(task, annotation, emails, folder, labelled)]
        if still:
            labelled.broken.append(
                f"{_told(still)} of {recording_id}: the points that they were drawn on are not kept in {folder} any more, and "
                f"cannot be made anew: {why or 'they cannot be read back'}; put that right and pull again: the annotations are "
                "still on the server"
            )
    return labelled


def _is_read(
    task: Mapping[str, Any],
    annotation: Mapping[str, Any],
    emails: Mapping[int, str],
    folder: Path,
    labelled: _Labelled,
) -> bool:
    """Adds what an annotation says, or why it cannot be read; False where only the points that it was drawn on are lacking."""
    try:
        frame, cuboids = _read_annotation(task["data"], annotation, emails, folder)
    except _PointsLackingError:
        return False
    except (AnnotateError, KeyError, TypeError, ValueError, AttributeError) as error:
        labelled.broken.append(f"annotation {annotation.get('id')} of task {task.get('id')}: {_words(error)}")
        return True
    labelled.frames[frame.uid] = frame
    labelled.cuboids[frame.uid] = cuboids
    return True


def _told(tasks: Sequence[Mapping[str, Any]]) -> str:
    """How many annotations, and of which tasks."""
    numbers = [str(task.get("id")) for task in tasks]
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    plural = "s" if len(numbers) > 1 else ""
    return f"{len(numbers)} annotation{plural} (task{plural} {', '.join(numbers[:_MOST_NAMED])}{more})"


def _keep_newest(
    finished: _Finished,
    task: Mapping[str, Any],
    made: Sequence[Mapping[str, Any]],
) -> None:
    """Of several annotations of one frame the one saved last counts; the export keeps the others."""
    data = task.get("data")
    uid = data.get("uid") if isinstance(data, Mapping) else None
    newest = max(made, key=_saved_ns)
    key = uid or ("task", task.get("id"))
    if key not in finished or _saved_ns(newest) > _saved_ns(finished[key][1]):
        finished[key] = (task, newest)


def _saved_ns(annotation: Mapping[str, Any]) -> int:
    try:
        return ns_from_iso(str(annotation.get("updated_at")))
    except AnnotateError:
        return 0  # told when it is read, if it is the only one


def _read_annotation(
    data: Mapping[str, Any], annotation: Mapping[str, Any], emails: Mapping[int, str], folder: Path
) -> tuple[LabelledFrame, list[Cuboid]]:
    """Raises _PointsLackingError; AnnotateError, KeyError, TypeError, ValueError or AttributeError when something in it is wrong."""
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
    if not found:
        return frame, []
    points = shown.load(shown.points_file(folder, uid))
    if points is None:
        raise _PointsLackingError
    view, tracks = View(**data["view"]), data.get("tracks", {})
    cuboids = [
        cuboid_from_region(region, view, points, t_ns, provenance, tracks.get(region_id))
        for region_id, region in found.items()
    ]
    return frame, cuboids


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
