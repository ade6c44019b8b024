"""catalog.db as a file: opened, recognised, its tables made where they are not those of this version; set aside when it is broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from capture.catalog.index import COLUMNS, Indexer
from capture.catalog.search import contains

NAME = "catalog.db"
_APPLICATION = 0x46524947  # "FRIG": tells our files from others'
_WAIT_S = 10.0  # for another process that is updating it


_REFUSED = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
}  # fmt: skip


class ForeignError(Exception):
    """A database, but not ours."""


def is_refused(error: Exception) -> bool:
    """Whether the file cannot be read or written here and now; with any other error it is the file that is broken."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _REFUSED


@contextmanager
def opened(path: Path | None, indexers: Sequence[Indexer]) -> Iterator[sqlite3.Connection]:
    """The catalog in a file, or one in memory. Raises sqlite3.Error, or ForeignError."""
    database = sqlite3.connect(":memory:" if path is None else path, timeout=_WAIT_S, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # a power cut may cost the catalog, which costs nothing
        database.execute(
            "PRAGMA secure_delete = ON"
        )  # else freed pages need not lie in the file as the checksum has them
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
    database.execute(f"PRAGMA user_version = {_checksum(database)}")
    database.execute("COMMIT")


def _check_bytes(database: sqlite3.Connection) -> None:
    """Raises DatabaseError when they are not those that were written: a flipped bit in a text is nothing that SQLite itself would see."""
    database.execute("BEGIN")
    (stated,) = database.execute("PRAGMA user_version").fetchone()
    found = _checksum(database)
    database.execute("COMMIT")
    if found != stated:
        raise sqlite3.DatabaseError("its bytes are not those that were written")


def _checksum(database: sqlite3.Connection) -> int:
    """Over the file as it will be, but for what SQLite counts in its head, and for where this stands. As user_version: signed, 32 bits."""
    content = bytearray(database.serialize())
    for at in (24, 60, 92, 96):  # file change counter, user_version, version valid for, SQLite's own version
        content[at : at + 4] = bytes(4)
    unsigned = crc32(content)
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


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
        "files": "folder TEXT PRIMARY KEY, mtime_ns INTEGER, size INTEGER, folder_mtime_ns INTEGER, why TEXT",
        "recordings": f"folder TEXT PRIMARY KEY, {columns}",
        "state": "versions TEXT",
        **{indexer.table: f"folder TEXT, {', '.join(indexer.columns)}" for indexer in indexers},
    }
    statements = {table: f"CREATE TABLE {table} ({columns})" for table, columns in wanted.items()}
    if _tables(database) == statements:
        _check_bytes(database)
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
