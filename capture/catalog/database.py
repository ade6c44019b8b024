"""catalog.db as a file: opened, recognised, its tables made where they are not those of this version; set aside when it is broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from capture.catalog.index import COLUMNS, Indexer
from capture.catalog.search import contains

NAME = "catalog.db"
_APPLICATION = 0x46524947  # "FRIG": tells our files from others'
_WAIT_S = 10.0  # for another process that is updating it


class ForeignError(Exception):
    """A database, but not ours."""


@contextmanager
def opened(path: Path | None, indexers: Sequence[Indexer]) -> Iterator[sqlite3.Connection]:
    """The catalog in a file, or one in memory. Raises sqlite3.Error, or ForeignError."""
    database = sqlite3.connect(":memory:" if path is None else path, timeout=_WAIT_S, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # a power cut may cost the catalog, which costs nothing
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise ForeignError("another program's")
        _make_tables(database, indexers)
        database.create_function("contains", 2, contains, deterministic=True)
        yield database
    finally:
        database.close()


@contextmanager
def alone(database: sqlite3.Connection) -> Iterator[None]:
    """Other processes wait; what is done inside is done whole or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    path.rename(aside)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return aside


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
    with alone(database):
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
