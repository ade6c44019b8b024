"""What the catalog holds of a recording, table by table; each stage may add a table of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from capture.offload.ledger import LedgerEntry
    from capture.recording_info import RecordingInfo
    from capture.workspace import Workspace

Value = str | int | float | None


class Indexer(Protocol):
    """A table of the catalog. columns: as SQLite declares them, e.g. ``("sensor TEXT", "driver TEXT")``.

    rows() is asked when a recording.json is new or has changed; version() at every update: another answer than the last time has all rows made
    anew, so a stage whose rows rest on files of its own (calibrations, labels) lets them change it.
    """

    @property
    def table(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def version(self, workspace: Workspace) -> str: ...

    def rows(self, folder: Path, info: RecordingInfo) -> Iterable[Sequence[Value]]: ...


class _InfoIndexer:
    """Of one whose rows rest on recording.json alone."""

    def version(self, _workspace: Workspace) -> str:
        return ""


class SensorIndexer(_InfoIndexer):
    """A row a sensor."""

    table = "sensors"
    columns = ("sensor TEXT", "driver TEXT")

    def rows(self, _folder: Path, info: RecordingInfo) -> Iterable[Sequence[Value]]:
        return [(name, sensor.driver) for name, sensor in info.rig.sensors.items()]


class ConsentIndexer(_InfoIndexer):
    """A row a consent that the recording was made under."""

    table = "consents"
    columns = ("consent TEXT",)

    def rows(self, _folder: Path, info: RecordingInfo) -> Iterable[Sequence[Value]]:
        return [(consent,) for consent in info.consent_ids]


class TaskIndexer(_InfoIndexer):
    """A row a task that episodes were made of, and how many."""

    table = "tasks"
    columns = ("task TEXT", "episodes INTEGER")

    def rows(self, _folder: Path, info: RecordingInfo) -> Iterable[Sequence[Value]]:
        return list(Counter(episode.task for episode in info.episodes).items())


BUILT_IN: tuple[Indexer, ...] = (SensorIndexer(), ConsentIndexer(), TaskIndexer())

# The table of recordings itself: a column, its type, and where its value comes from.
COLUMNS = {
    "id": "TEXT",
    "rig": "TEXT",
    "vehicle": "TEXT",
    "site": "TEXT",
    "task": "TEXT",
    "operator": "TEXT",
    "customer_order": "TEXT",
    "started_ns": "INTEGER",
    "kept_s": "REAL",
    "state": "TEXT",
    "verdict": "TEXT",
    "size_bytes": "INTEGER",
    "messages": "INTEGER",
    "lost": "INTEGER",
    "episodes": "INTEGER",
    "offloaded_to": "TEXT",
    "deleted_ns": "INTEGER",
    "words": "TEXT",
}


def recording_row(folder: Path, info: RecordingInfo, offloaded: LedgerEntry | None = None) -> dict[str, Value]:
    """A recording's values for COLUMNS. kept_s: what its files hold, without pauses and what --keep gave up; size_bytes: of all its files;
    words: all that a free search looks through. offloaded: of one that was deleted here, which says where it is.
    """
    from capture.checksums import bytes_in
    from capture.kept import kept_ns

    spoken = (
        info.id,
        info.rig.name,
        info.rig.vehicle,
        info.site,
        info.task,
        info.operator,
        info.order,
        *info.reasons,
        *info.notes,
        *(f"{mark.kind} {mark.text}" for mark in info.marks),
    )
    episodes = [episode.task for episode in info.episodes]
    return {
        "id": info.id,
        "rig": info.rig.name,
        "vehicle": info.rig.vehicle,
        "site": info.site,
        "task": info.task,
        "operator": info.operator,
        "customer_order": info.order,
        "started_ns": info.started_ns,
        "kept_s": None if info.ended_ns is None else kept_ns(info) / 1e9,
        "state": info.state,
        "verdict": info.verdict,
        "size_bytes": offloaded.size_bytes if offloaded else bytes_in(folder),
        "messages": sum(info.counts.values()),
        "lost": sum(loss.total for loss in info.losses.values()),
        "episodes": len(episodes),
        "offloaded_to": offloaded.where if offloaded else "",
        "deleted_ns": offloaded.deleted_ns if offloaded else None,
        "words": "\n".join((*spoken, *episodes, *info.rig.sensors, *info.consent_ids)).casefold(),
    }
