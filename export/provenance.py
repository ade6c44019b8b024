"""Where everything in a dataset came from: fieldrig.json, and a table beside it with a row for every delivered thing.

fieldrig.json            what the dataset holds, in counts and tolerances; which recordings, calibrations and labels
(named there)            sources.parquet: each picture, sweep, vector and label and the messages that it was made from
(named there)            the calibration files, as they are in the workspace
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from calibration.calibration import file_text
from export.errors import ExportError

if TYPE_CHECKING:
    import pyarrow as pa

    from capture.recording import Span
    from export.dataset import DatasetView

NAME = "fieldrig.json"
FORMAT = "fieldrig-dataset-1"
_BATCH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One delivered thing and the messages that it was made from.

    kind: what it is. part: its place in the format: a feature, a channel, a table. token: its identity there, where the format
    has one. episode_index, frame_index: its row, where the format has rows. t_ns: its true time, UTC.
    thumbnail: the picture as recorded, 16 x 16 grey, to tell frames apart by. label_*: for labels only.
    """

    kind: Literal["picture", "sweep", "vector", "label"]
    part: str
    t_ns: int
    calibration_id: str
    spans: Sequence[Span]
    token: str | None = None
    episode_index: int | None = None
    frame_index: int | None = None
    thumbnail: bytes | None = None
    label_id: str | None = None
    label_revision: int | None = None
    annotator: str | None = None


class SourceWriter:
    """Writes sources.parquet row by row; a context manager."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = _schema()
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, source: Source) -> None:
        self._rows.append(asdict(source))
        if len(self._rows) >= _BATCH:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        self._file.close()

    def _write(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows.clear()


def write_provenance(
    folder: Path, view: DatasetView, format_name: str, beside: str, content: Mapping[str, Any]
) -> None:
    """Write fieldrig.json and the calibration files. beside: the folder of sources.parquet within ``folder``."""
    calibrations = {drive.calibration.id: drive.calibration for drive in view.drives}
    for name, calibration in sorted(calibrations.items()):
        path = folder / beside / f"calibration-{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file_text(calibration), encoding="utf-8")
    table = {
        "type": FORMAT,
        "fieldrig": version("fieldrig"),
        "dataset": view.name,
        "format": format_name,
        "sources": f"{beside}/sources.parquet",
        "calibrations": {name: f"{beside}/calibration-{name}.json" for name in sorted(calibrations)},
        "recordings": [
            {
                "id": drive.id,
                "rig": drive.rig,
                "site": drive.site,
                "calibration": drive.calibration.id,
                "start_ns": drive.start_ns,
                "end_ns": drive.end_ns,
            }
            for drive in view.drives
        ],
        "notes": list(view.notes),
        **content,
    }
    text = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / NAME).write_text(text, encoding="utf-8")


def read_provenance(folder: Path) -> dict[str, Any]:
    """What fieldrig.json says. Raises ExportError when there is none that can be read."""
    path = folder / NAME
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(f"no {NAME} in {folder}: nothing says what the dataset should hold; export it anew") from None
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read {path}: {error}; export the dataset anew") from None
    if table.get("type") != FORMAT:
        raise ExportError(f"{path} is of type '{table.get('type')}', not '{FORMAT}'; export the dataset anew")
    return table


def read_sources(folder: Path, provenance: Mapping[str, Any], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of sources.parquet, in the order in which they were written. Raises ExportError when it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / str(provenance["sources"])
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(columns)):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ExportError(f"cannot read {path}: {error}; export the dataset anew") from None


def read_thumbnails(
    folder: Path, provenance: Mapping[str, Any], part: str, first_episode: int, last_episode: int
) -> list[bytes]:
    """The thumbnails of one camera in some consecutive episodes, row by row. Raises ExportError when they cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / str(provenance["sources"])
    wanted = [("part", "==", part), ("episode_index", ">=", first_episode), ("episode_index", "<=", last_episode)]
    try:
        found: list[bytes] = pq.read_table(path, columns=["thumbnail"], filters=wanted)["thumbnail"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ExportError(f"cannot read {path}: {error}; export the dataset anew") from None
    return found


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    span = {"recording_id": text, "stream": text, "first_sequence": number, "last_sequence": number}
    span |= {"first_host_ns": number, "last_host_ns": number, "sha256": text}
    own = {"kind": text, "part": text, "t_ns": number, "calibration_id": text, "spans": pa.list_(pa.struct(span))}
    own |= {"token": text, "episode_index": number, "frame_index": number, "thumbnail": pa.binary()}
    return pa.schema({**own, "label_id": text, "label_revision": number, "annotator": text})
