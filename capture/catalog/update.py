"""Brings catalog.db up to date: folders are compared with it by their stamps, and only what is new is read."""

# ruff: noqa: S608 (names of tables and columns are the indexers', never a person's words)
from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from capture.catalog.database import alone
from capture.catalog.index import COLUMNS, Indexer, recording_row
from capture.errors import CaptureError
from capture.offload.aside import put_back
from capture.workspace import Workspace

# When recording.json changed, its bytes, and when a file last came into its folder or went; ns.
Stamp = tuple[int, int, int]
INFO_NAME = "recording.json"  # recording_info.NAME; its models take longer to import than a search takes


def update(
    database: sqlite3.Connection,
    workspace: Workspace,
    indexers: Sequence[Indexer],
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    """Returns a line for each folder that cannot be in the catalog."""
    versions = json.dumps({indexer.table: indexer.version(workspace) for indexer in indexers})
    put_back(workspace.recordings)
    here, lost = _present(workspace.recordings)
    present = _elsewhere(workspace.offloaded) | here
    if any(_differences(database, present, versions)):
        with alone(database):
            gone, changed = _differences(database, present, versions)
            _forget(database, (*gone, *changed), indexers)
            for done, folder in enumerate(changed, start=1):
                entry = None if folder in here else workspace.offloaded / f"{folder}.json"
                _read(database, workspace.recordings / folder, entry, present[folder], indexers)
                if progress is not None:
                    progress(done, len(changed))
            database.execute("UPDATE state SET versions = ?", (versions,))
    return lost


def _differences(database: sqlite3.Connection, present: dict[str, Stamp], versions: str) -> tuple[list[str], list[str]]:
    """Folders that are there no longer, and those to be read; all of them when an indexer's rows hold no longer."""
    is_current = database.execute("SELECT versions FROM state").fetchone() == (versions,)
    known = {
        folder: stamp
        for folder, *stamp in database.execute("SELECT folder, mtime_ns, size, folder_mtime_ns FROM files")
    }
    changed = [folder for folder, stamp in present.items() if not is_current or known.get(folder) != [*stamp]]
    return sorted(known.keys() - present.keys()), sorted(changed)


def _present(recordings: Path) -> tuple[dict[str, Stamp], list[str]]:
    """Folder -> its stamp; and a line for each folder of messages that has none, or cannot be named."""
    try:
        entries = os.scandir(recordings)
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        raise CaptureError(f"cannot read {recordings}: {error.strerror}; see whether its disk is well") from None
    present: dict[str, Stamp] = {}
    lost: list[str] = []
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                stat = os.stat(f"{entry.path}/{INFO_NAME}")  # noqa: PTH116 (ten thousand of them)
                folder = entry.stat()
            except OSError:
                lost += [f"{_shown(entry.name)}: it holds no {INFO_NAME}"] if _holds_messages(entry) else []
                continue
            if entry.name == _shown(entry.name):
                present[entry.name] = (stat.st_mtime_ns, stat.st_size, folder.st_mtime_ns)
            else:
                lost.append(
                    f"{_shown(entry.name)}: its name is no text in UTF-8; rename the folder to the recording's ID"
                )
    return present, sorted(lost)


def _elsewhere(offloaded: Path) -> dict[str, Stamp]:
    """The same of the ledger: recordings that were deleted here once they had arrived there."""
    stats = {path.stem: path.stat() for path in offloaded.glob("[!.]*.json") if path.name == _shown(path.name)}
    return {name: (stat.st_mtime_ns, stat.st_size, 0) for name, stat in stats.items()}


def _shown(name: str) -> str:
    """A folder's name, what UTF-8 cannot say escaped: a database cannot hold that either."""
    return name if name.isascii() else name.encode(errors="backslashreplace").decode()


def _holds_messages(entry: os.DirEntry[str]) -> bool:
    return any(path.suffix == ".mcap" for path in Path(entry).iterdir()) if entry.is_dir() else False


def _forget(database: sqlite3.Connection, folders: Iterable[str], indexers: Sequence[Indexer]) -> None:
    gone = [(folder,) for folder in folders]
    for table in ("files", "recordings", *(indexer.table for indexer in indexers)):
        database.executemany(f"DELETE FROM {table} WHERE folder = ?", gone)


def _read(
    database: sqlite3.Connection,
    folder: Path,
    entry: Path | None,
    stamp: Stamp,
    indexers: Sequence[Indexer],
) -> None:
    """entry: the ledger's, of a recording that is not here any more."""
    from capture.offload.ledger import read_entry
    from capture.recording_info import load_info

    why = ""
    try:
        offloaded = None if entry is None else read_entry(entry)
        info = load_info(folder) if offloaded is None else offloaded.recording
        row = recording_row(folder, info, offloaded)
        rows = {
            indexer.table: [(folder.name, *values) for values in indexer.rows(folder, info)] for indexer in indexers
        }
    except (CaptureError, OSError) as error:
        why, row, rows = str(error), {}, {}
    database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", (folder.name, *stamp, why))
    if row:
        database.execute(f"INSERT INTO recordings VALUES ({_marks(len(COLUMNS) + 1)})", (folder.name, *row.values()))
    for table, values in rows.items():
        if values:
            database.executemany(f"INSERT INTO {table} VALUES ({_marks(len(values[0]))})", values)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
