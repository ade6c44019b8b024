"""Keeps the truth shut while a stage that is scored runs: opening it then is an error, whoever tries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devices.errors import FieldrigError

TRUTH_FILES = frozenset({"truth.json", "play.json"})


class TruthReadError(FieldrigError):
    """A stage that is being scored tried to open the truth."""


class Seal:
    """An audit hook (PEP 578) on every file that this process opens. It cannot be taken out again, only lifted for a while."""

    def __init__(self) -> None:
        self._closed = False
        sys.addaudithook(self._watch)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing in this process can open the truth inside this block."""
        before, self._closed = self._closed, True
        try:
            yield
        finally:
            self._closed = before

    def _watch(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._closed or event != "open" or not isinstance(arguments[0], str | bytes | Path):
            return
        path = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0])
        if Path(path).name in TRUTH_FILES:
            raise TruthReadError(f"a stage that is scored opened {path}; only the annotator and the scorecard may")
