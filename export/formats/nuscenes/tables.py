"""nuScenes' tables while a dataset is written: records by table, chains along time, tokens by identity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from export.formats.nuscenes.layout import LINKS, VERSION, token

Record = dict[str, Any]


class Tables:
    """All records. They hold no pixels and no points, so they fit in memory: some 1 kB a frame and channel."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {name: [] for name in LINKS}
        self._known: dict[str, Record] = {}
        self._chains: dict[tuple[str, str], Record] = {}

    def add(self, table: str, identity: tuple[object, ...], **fields: Any) -> Record:
        """A new record, or the one that was added under the same identity."""
        name = token(table, *identity)
        if name not in self._known:
            self._known[name] = {"token": name, **fields}
            self.records[table].append(self._known[name])
        return self._known[name]

    def add_to_chain(self, table: str, chain: str, identity: tuple[object, ...], **fields: Any) -> Record:
        """A new record after the last one of a chain: each names the one before and the one after it, "" at the ends."""
        before = self._chains.get((table, chain))
        record = self.add(table, identity, **fields, prev="" if before is None else before["token"], next="")
        if before is not None:
            before["next"] = record["token"]
        self._chains[table, chain] = record
        return record

    def called(self, name: str) -> Record:
        """The record with a token."""
        return self._known[name]

    def write(self, folder: Path) -> None:
        (folder / VERSION).mkdir(parents=True)
        for name, records in self.records.items():
            path = folder / VERSION / f"{name}.json"
            path.write_text(json.dumps(records, indent=0, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    def counts(self) -> dict[str, int]:
        return {name: len(records) for name, records in self.records.items()}
