"""catalog.db: what all recordings of a workspace are, for searching. It can be deleted at any time: it is made from their recording.json.

At every update folders are compared with it by time and size of their recording.json; only what is new or has changed is read.
"""

# ruff: noqa: S608 (names of tables and columns are the indexers', never a person's words)
from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capture.catalog.index import BUILT_IN, COLUMNS, Indexer, Value, recording_row
from capture.catalog.search import Search, contains
from capture.errors import CaptureError
from capture.workspace import Workspace

NAME = "catalog.db"
INFO_NAME = "recording.json"  # recording_info.NAME; its models take longer to import than a search takes
_APPLICATION = 0x46524947  # "FRIG": tells our files from others'
_WAIT_S = 10.0  # for another process that is updating it


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
    for _ in range(2):
        try:
            with _opened(path, everything) as database:
                return _updated_and_searched(database, workspace, search or Search(), everything, progress)
        except sqlite3.OperationalError as error:
            say(f"{path} cannot be kept ({error}); the recordings were read without it")
            break
        except (sqlite3.DatabaseError, _ForeignError) as error:
            try:
                aside = _set_aside(path)
            except OSError as refusal:
                say(f"{path} is no catalog of fieldrig ({error}) and cannot be set aside ({refusal.strerror})")
                break
            say(f"{path} is no catalog of fieldrig ({error}); set aside as {aside.name} and made anew")
    with _opened(None, everything) as database:
        return _updated_and_searched(database, workspace, search or Search(), everything, progress)


def _updated_and_searched(
    database: sqlite3.Connection,
    workspace: Workspace,
    search: Search,
    indexers: Sequence[Indexer],
    progress: Callable[[int, int], None] | None,
) -> Listing:
    _update(database, workspace, indexers, progress)
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
    return Listing(tuple(found), count, tuple(f"{folder}: {why}" for folder, why in unreadable))


def _rows_of(database: sqlite3.Connection, indexer: Indexer) -> dict[str, list[dict[str, Value]]]:
    names = [column.split()[0] for column in indexer.columns]
    found: dict[str, list[dict[str, Value]]] = {}
    for folder, *values in database.execute(f"SELECT folder, {', '.join(names)} FROM {indexer.table} ORDER BY rowid"):
        found.setdefault(folder, []).append(dict(zip(names, values, strict=True)))
    return found


def _update(
    database: sqlite3.Connection,
    workspace: Workspace,
    indexers: Sequence[Indexer],
    progress: Callable[[int, int], None] | None,
) -> None:
    versions = json.dumps({indexer.table: indexer.version(workspace) for indexer in indexers})
    present = dict(_present(workspace.recordings))
    if not any(_differences(database, present, versions)):
        return
    with _alone(database):
        gone, changed = _differences(database, present, versions)
        _forget(database, (*gone, *changed), indexers)
        for done, folder in enumerate(changed, start=1):
            _read(database, workspace.recordings / folder, present[folder], indexers)
            if progress is not None:
                progress(done, len(changed))
        database.execute("UPDATE state SET versions = ?", (versions,))


def _differences(
    database: sqlite3.Connection, present: dict[str, tuple[int, int]], versions: str
) -> tuple[list[str], list[str]]:
    """Folders that are there no longer, and those to be read; all of them when an indexer's rows hold no longer."""
    is_current = database.execute("SELECT versions FROM state").fetchone() == (versions,)
    known = {folder: stamp for folder, *stamp in database.execute("SELECT folder, mtime_ns, size FROM files")}
    changed = [folder for folder, stamp in present.items() if not is_current or known.get(folder) != [*stamp]]
    return sorted(known.keys() - present.keys()), sorted(changed)


def _present(recordings: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Folder -> time and size of its recording.json."""
    try:
        entries = os.scandir(recordings)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CaptureError(f"cannot read {recordings}: {error.strerror}; see whether its disk is well") from None
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                stat = os.stat(f"{entry.path}/{INFO_NAME}")  # noqa: PTH116 (ten thousand of them)
            except OSError:
                continue
            yield entry.name, (stat.st_mtime_ns, stat.st_size)


def _forget(database: sqlite3.Connection, folders: Iterable[str], indexers: Sequence[Indexer]) -> None:
    gone = [(folder,) for folder in folders]
    for table in ("files", "recordings", *(indexer.table for indexer in indexers)):
        database.executemany(f"DELETE FROM {table} WHERE folder = ?", gone)


def _read(database: sqlite3.Connection, folder: Path, stamp: tuple[int, int], indexers: Sequence[Indexer]) -> None:
    from capture.recording_info import load_info

    why = ""
    try:
        info = load_info(folder)
        row = recording_row(folder, info)
        rows = {
            indexer.table: [(folder.name, *values) for values in indexer.rows(folder, info)] for indexer in indexers
        }
    except (CaptureError, OSError) as error:
        why, row, rows = str(error), {}, {}
    database.execute("INSERT INTO files VALUES (?, ?, ?, ?)", (folder.name, *stamp, why))
    if row:
        database.execute(f"INSERT INTO recordings VALUES ({_marks(len(COLUMNS) + 1)})", (folder.name, *row.values()))
    for table, values in rows.items():
        if values:
            database.executemany(f"INSERT INTO {table} VALUES ({_marks(len(values[0]))})", values)


class _ForeignError(Exception):
    """A database, but not ours."""


@contextmanager
def _opened(path: Path | None, indexers: Sequence[Indexer]) -> Iterator[sqlite3.Connection]:
    """The catalog in a file, or one in memory; its tables made where they are not those that this version has."""
    database = sqlite3.connect(":memory:" if path is None else path, timeout=_WAIT_S, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # a power cut may cost the catalog, which costs nothing
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise _ForeignError("another program's")
        _make_tables(database, indexers)
        database.create_function("contains", 2, contains, deterministic=True)
        yield database
    finally:
        database.close()


def _make_tables(database: sqlite3.Connection, indexers: Sequence[Indexer]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    wanted = {
        "files": "folder TEXT PRIMARY KEY, mtime_ns INTEGER, size INTEGER, why TEXT",
        "recordings": f"folder TEXT PRIMARY KEY, {columns}",
        "state": "versions TEXT",
        **{indexer.table: f"folder TEXT, {', '.join(indexer.columns)}" for indexer in indexers},
    }
    statements = {table: f"CREATE TABLE {table} ({columns})" for table, columns in wanted.items()}
    if _tables(database) == statements:
        return
    with _alone(database):
        found = _tables(database)
        if found == statements:  # made by another process meanwhile
            return
        for table in found:
            database.execute(f'DROP TABLE "{table}"')
        for table, statement in statements.items():
            database.execute(statement)
            if table in {indexer.table for indexer in indexers}:
                database.execute(f"CREATE INDEX {table}_folder ON {table} (folder)")
        database.execute("INSERT INTO state VALUES ('')")
        database.execute(f"PRAGMA application_id = {_APPLICATION}")


def _tables(database: sqlite3.Connection) -> dict[str, str]:
    """Name -> the statement that made it."""
    return dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))


@contextmanager
def _alone(database: sqlite3.Connection) -> Iterator[None]:
    """Other processes wait; what is done inside is done whole or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    path.rename(aside)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return aside


def _marks(count: int) -> str:
    return ", ".join("?" * count)
