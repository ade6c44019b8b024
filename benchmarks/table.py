"""The one table that every benchmark prints: what was measured, the figure, its target, and whether it is met."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FILE_WIDTH = 150
ROWS_FILE = "FIELDRIG_BENCH_ROWS"  # where rows are also appended, a JSON line each, for who runs several benchmarks


@dataclass(frozen=True, slots=True)
class Row:
    """met: None where there is no target: a peer, or a figure that explains another. is_ratio: to a named peer."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    is_ratio: bool = False


def show(title: str, rows: Sequence[Row]) -> None:
    """Prints the rows, and hands them to whoever runs several benchmarks."""
    if path := os.environ.get(ROWS_FILE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"title": title} | asdict(row), default=_plain) + "\n" for row in rows)
    print_table(title, rows)


def print_table(title: str, rows: Iterable[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measured", "figure", "target", "met", title=title, title_justify="left")
    for row in rows:
        met = "" if row.met is None else "[green]yes[/]" if row.met else "[red]no[/]"
        table.add_row(row.what, row.figure, row.target, met)
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    console.print(table)


def _plain(number: Any) -> float | bool:
    """Of numpy's numbers and truths, Python's."""
    return number.item()  # type: ignore[no-any-return]
