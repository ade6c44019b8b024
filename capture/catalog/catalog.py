"""catalog.db: what all recordings of a workspace are, for searching. It can be deleted at any time: it is made from their recording.json."""

# ruff: noqa: S608 (names of tables and columns are the indexers', never a person's words)
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capture.catalog.database import NAME, ForeignError, is_refused, opened, set_aside
from capture.catalog.index import BUILT_IN, COLUMNS, Indexer, Value
from capture.catalog.search import Search
from capture.catalog.update import update
from capture.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Listed:
    """A recording as the catalog has it. values: by column of COLUMNS; tables: rows of each stage's table, as name -> value."""

    folder: str
    values: dict[str, Value]
    tables: dict[str, list[dict[str, Value]]]


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, oldest first; in how many; and what could not be read, a line each."""

    found: tuple[Listed, ...]
    recordings: int
    unreadable: tuple[str, ...]


def search_catalog(
    workspace: Workspace,
    search: Search | None = None,
    *,
    indexers: Sequence[Indexer] = (),
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] | None = None,
) -> Listing:
    """Brings the catalog up to date and searches it. ``say`` is told, in one line, when it had to be set aside or cannot be kept.

    progress gets (recordings read, recordings to be read).
    """
    everything = (*BUILT_IN, *indexers)
    path = workspace.root / NAME
    kept = path if workspace.recordings.is_dir() else None  # nothing is left where there are no recordings
    for _ in range(2):
        try:
            with opened(kept, everything) as database:
                return _updated_and_searched(database, workspace, search or Search(), everything, progress)
        except (sqlite3.DatabaseError, UnicodeDecodeError, ForeignError) as error:
            if is_refused(error):
                say(f"{path} cannot be kept ({error}); the recordings were read without it")
                break
            try:
                aside = set_aside(path)
            except OSError as refusal:
                say(f"{path} is no catalog of fieldrig ({error}) and cannot be set aside ({refusal.strerror})")
                break
            say(f"{path} is no catalog of fieldrig ({error}); set aside as {aside.name} and made anew")
    with opened(None, everything) as database:
        return _updated_and_searched(database, workspace, search or Search(), everything, progress)


def _updated_and_searched(
    database: sqlite3.Connection,
    workspace: Workspace,
    search: Search,
    indexers: Sequence[Indexer],
    progress: Callable[[int, int], None] | None,
) -> Listing:
    lost = update(database, workspace, indexers, progress)
    _expect_sound(database)
    where, values = search.conditions()
    chosen = f"SELECT folder FROM recordings WHERE {where} ORDER BY started_ns DESC, folder DESC LIMIT ?"
    values.append(-1 if search.limit is None else search.limit)
    columns = ", ".join(COLUMNS)
    rows = database.execute(
        f"SELECT folder, {columns} FROM recordings WHERE folder IN ({chosen}) ORDER BY started_ns, folder", values
    ).fetchall()  # fmt: skip
    tables = {indexer.table: _rows_of(database, indexer) for indexer in indexers}
    found = [
        Listed(
            folder,
            dict(zip(COLUMNS, rest, strict=True)),
            {table: of.get(folder, []) for table, of in tables.items()},
        )
        for folder, *rest in rows
    ]
    unreadable = database.execute("SELECT folder, why FROM files WHERE why != '' ORDER BY folder").fetchall()
    (count,) = database.execute("SELECT count(*) FROM recordings").fetchone()
    return Listing(tuple(found), count, (*(f"{folder}: {why}" for folder, why in unreadable), *lost))


def _expect_sound(database: sqlite3.Connection) -> None:
    """Raises DatabaseError when a recording that was read is not listed, or the other way round: then bytes of the catalog have turned."""
    read, listed = "SELECT folder FROM files WHERE why = ''", "SELECT folder FROM recordings"
    for one, other in ((read, listed), (listed, read)):
        if database.execute(f"{one} EXCEPT {other} LIMIT 1").fetchone() is not None:
            raise sqlite3.DatabaseError("its tables contradict each other")


def _rows_of(database: sqlite3.Connection, indexer: Indexer) -> dict[str, list[dict[str, Value]]]:
    names = [column.split()[0] for column in indexer.columns]
    found: dict[str, list[dict[str, Value]]] = {}
    for folder, *values in database.execute(f"SELECT folder, {', '.join(names)} FROM {indexer.table} ORDER BY rowid"):
        found.setdefault(folder, []).append(dict(zip(names, values, strict=True)))
    return found
