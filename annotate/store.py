"""Labels on disk: immutable revisions, each whole in itself.

    labels/PROJECT/
      revisions/000001/cuboids.parquet      one row a cuboid, provenance included
                       keyframes.parquet    one row a labelled keyframe, those without any cuboid included
                       SHA256SUMS           of both, by which a bit that has flipped is found
      exports/                              what the labelling server gave, as it gave it

A revision is written beside the others and takes its number by one rename: it is there whole or not at all, and never changes.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.errors import AnnotateError
from annotate.labels import Cuboid, Provenance
from capture.checksums import NAME as SUMS
from capture.checksums import read_sums, sha256_of, write_sums
from capture.errors import CaptureError

if TYPE_CHECKING:
    import pyarrow as pa

    from capture.recording import Span
    from capture.workspace import Workspace

_NUMBER = re.compile(r"\d{6}")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrame:
    """A keyframe that a person has finished, with or without cuboids in it.

    uid: the keyframe's. t_ns: its instant, UTC. spans: the sweep and the pictures that were shown. annotator: e-mail.
    made_ns: when it was last saved, UTC.
    """

    uid: str
    t_ns: int
    recording_id: str
    calibration_id: str
    spans: tuple[Span, ...]
    annotator: str
    made_ns: int


class LabelStore:
    """The revisions of one project's labels."""

    def __init__(self, workspace: Workspace, project: str) -> None:
        if not _PROJECT.fullmatch(project):
            raise AnnotateError(f"'{project}' cannot name a project; use letters, digits, dot, dash and underscore")
        self.project = project
        self.folder: Path = workspace.labels / project

    @property
    def exports(self) -> Path:
        """Where raw exports of the labelling server are kept."""
        return self.folder / "exports"

    def revisions(self) -> list[int]:
        """The numbers of all revisions, oldest first."""
        folder = self.folder / "revisions"
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(entry.name) for entry in found if _NUMBER.fullmatch(entry.name))

    def save_revision(self, cuboids: Sequence[Cuboid], frames: Sequence[LabelledFrame]) -> int:
        """Store what the labels now are, all of them; returns the revision's number.

        A cuboid that stands unchanged since the revision before keeps its own revision number. Where nothing has changed
        at all (times of saving aside), no revision is made and the newest one's number comes back.
        Raises AnnotateError when a cuboid belongs to no frame, or two share an id in one frame.
        """
        _require_whole(cuboids, frames)
        known = self.revisions()
        newest = known[-1] if known else 0
        before = {_identity(cuboid): cuboid for cuboid in self.load(newest)} if newest else {}
        if newest and _same_frames(frames, self.keyframes(newest)) and _same_cuboids(cuboids, before):
            return newest
        number = newest + 1
        kept = [_numbered(cuboid, before.get(_identity(cuboid)), number) for cuboid in cuboids]
        self._write(number, kept, frames)
        return number

    def load(self, revision: int | None = None) -> list[Cuboid]:
        """The cuboids of a revision (the newest when None), by time and id."""
        rows = self._read(revision, "cuboids.parquet")
        return [_cuboid(row) for row in rows]

    def keyframes(self, revision: int | None = None) -> list[LabelledFrame]:
        """Every labelled frame of a revision (the newest when None), by time; empty ones included."""
        rows = self._read(revision, "keyframes.parquet")
        return [LabelledFrame(**{**row, "spans": _spans(row["spans"])}) for row in rows]

    def _write(self, number: int, cuboids: Sequence[Cuboid], frames: Sequence[LabelledFrame]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        revisions = self.folder / "revisions"
        revisions.mkdir(parents=True, exist_ok=True)
        cuboid_rows = [_row(cuboid) for cuboid in sorted(cuboids, key=lambda c: (c.t_ns, c.provenance.task, c.id))]
        frame_rows = [asdict(frame) for frame in sorted(frames, key=lambda f: (f.t_ns, f.uid))]
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=revisions))
        try:
            pq.write_table(pa.Table.from_pylist(cuboid_rows, _cuboid_schema()), draft / "cuboids.parquet")
            pq.write_table(pa.Table.from_pylist(frame_rows, _frame_schema()), draft / "keyframes.parquet")
            write_sums(draft)
            for file in (*draft.iterdir(), draft):
                _flush_to_disk(file)
            draft.chmod(0o755)
            draft.rename(revisions / f"{number:06d}")  # fails when another writer took the number
            _flush_to_disk(revisions)
        except OSError as error:
            raise AnnotateError(f"cannot write revision {number} to {revisions}: {error}; run it again") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _read(self, revision: int | None, name: str) -> list[dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = self.revisions()
        if not known:
            raise AnnotateError(
                f"no labels of project '{self.project}' in {self.folder}; run `fieldrig label pull` first"
            )
        number = known[-1] if revision is None else revision
        if number not in known:
            raise AnnotateError(f"project '{self.project}' has no revision {number}; it has {known[0]} to {known[-1]}")
        path = self.folder / "revisions" / f"{number:06d}" / name
        try:
            _require_as_written(path)
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException, CaptureError) as error:
            raise AnnotateError(
                f"cannot read {path}: {error}; restore {path.parent} from a copy, or delete it: "
                "`fieldrig label pull` makes it anew of what is on the server"
            ) from error
        return rows


# --- what counts as a change ----------------------------------------------------------------------------------


def _identity(cuboid: Cuboid) -> tuple[str, str]:
    return cuboid.provenance.task, cuboid.id


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a label says, without when it was saved and in which revision it was stored."""
    return {key: value for key, value in row.items() if key not in ("revision", "made_ns")}


def _same_cuboids(cuboids: Sequence[Cuboid], before: Mapping[tuple[str, str], Cuboid]) -> bool:
    now = {_identity(cuboid): _content(_row(cuboid)) for cuboid in cuboids}
    return now == {identity: _content(_row(cuboid)) for identity, cuboid in before.items()}


def _same_frames(now: Sequence[LabelledFrame], before: Sequence[LabelledFrame]) -> bool:
    return {f.uid: replace(f, made_ns=0) for f in now} == {f.uid: replace(f, made_ns=0) for f in before}


def _numbered(cuboid: Cuboid, before: Cuboid | None, number: int) -> Cuboid:
    if before is not None and _content(_row(cuboid)) == _content(_row(before)):
        return before
    return cuboid.of_revision(number)


def _require_whole(cuboids: Sequence[Cuboid], frames: Sequence[LabelledFrame]) -> None:
    uids = {frame.uid for frame in frames}
    if len(uids) != len(frames):
        raise AnnotateError("two labelled frames share one uid; a frame is stored once")
    seen = set()
    for cuboid in cuboids:
        identity = _identity(cuboid)
        if identity[0] not in uids:
            raise AnnotateError(
                f"cuboid {cuboid.id} belongs to frame {identity[0]}, which is not among the labelled frames"
            )
        if identity in seen:
            raise AnnotateError(f"two cuboids of frame {identity[0]} share the id {cuboid.id}")
        seen.add(identity)


# --- rows -----------------------------------------------------------------------------------------------------


def _row(cuboid: Cuboid) -> dict[str, Any]:
    return {
        "id": cuboid.id,
        "track": cuboid.track,
        "category": cuboid.category,
        "t_ns": cuboid.t_ns,
        "frame": cuboid.frame,
        "center_m": cuboid.center_m.tolist(),
        "size_m": cuboid.size_m.tolist(),
        "yaw_rad": cuboid.yaw_rad,
        "sigma_m": None if cuboid.sigma_m is None else cuboid.sigma_m.tolist(),
        "num_points": cuboid.num_points,
        "attributes": [{"name": name, "value": value} for name, value in sorted(cuboid.attributes.items())],
        **asdict(cuboid.provenance),
    }


def _cuboid(row: Mapping[str, Any]) -> Cuboid:
    own = {key: row[key] for key in ("id", "track", "category", "t_ns", "frame", "yaw_rad", "num_points")}
    provenance = {key: row[key] for key in _PROVENANCE}
    return Cuboid(
        center_m=row["center_m"],
        size_m=row["size_m"],
        sigma_m=row["sigma_m"],
        attributes={pair["name"]: pair["value"] for pair in row["attributes"]},
        provenance=Provenance(spans=_spans(row["spans"]), **provenance),
        **own,
    )


_PROVENANCE = ("calibration_id", "annotator", "task", "guideline", "made_ns", "origin", "revision")


def _spans(rows: Sequence[Mapping[str, Any]]) -> tuple[Span, ...]:
    from capture.recording import Span

    return tuple(Span(**row) for row in rows)


def _span_type() -> pa.DataType:
    import pyarrow as pa

    integers = ("first_sequence", "last_sequence", "first_host_ns", "last_host_ns")
    fields = [("recording_id", pa.string()), ("stream", pa.string())]
    return pa.list_(pa.struct([*fields, *((name, pa.int64()) for name in integers), ("sha256", pa.string())]))


def _cuboid_schema() -> pa.Schema:
    import pyarrow as pa

    text, number, three = pa.string(), pa.int64(), pa.list_(pa.float64(), 3)
    pairs = pa.list_(pa.struct([("name", text), ("value", text)]))
    own = {
        "id": text,
        "track": text,
        "category": text,
        "t_ns": number,
        "frame": text,
        "center_m": three,
        "size_m": three,
    }
    own |= {"yaw_rad": pa.float64(), "sigma_m": three, "num_points": number, "attributes": pairs}
    source = {"spans": _span_type(), "calibration_id": text, "annotator": text, "task": text, "guideline": text}
    return pa.schema({**own, **source, "made_ns": number, "origin": text, "revision": number})


def _frame_schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    own = {"uid": text, "t_ns": number, "recording_id": text, "calibration_id": text, "spans": _span_type()}
    return pa.schema({**own, "annotator": text, "made_ns": number})


def _require_as_written(path: Path) -> None:
    """Raises CaptureError when a table is not the one that was written. Revisions that were made before there were sums have none."""
    if (path.parent / SUMS).exists() and read_sums(path.parent).get(path.name) != sha256_of(path):
        raise CaptureError("it is not the file that was written: its SHA-256 differs")


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
