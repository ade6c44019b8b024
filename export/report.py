"""What writing or checking a dataset found: figures, problems, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devices.errors import DeviceError

Figure = int | float | str
# What reading raises of a table whose field lacks, or holds something else.
_UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, DeviceError)


@dataclass(slots=True)
class Report:
    """The outcome for one folder in one format.

    figures: what was counted or measured, by name. problems: what must be put right, each naming the file, row or token.
    notes: what a reader should know and what makes nothing wrong.
    """

    format: str
    folder: Path
    figures: dict[str, Figure] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        return "fail" if self.problems else "pass"

    def require(self, holds: bool, problem: str) -> bool:
        """Add a problem unless something holds; says whether it did."""
        if not holds:
            self.problems.append(problem)
        return holds

    def require_none(self, found: Iterable[str], most: int = 5) -> bool:
        """Add every item found as a problem, the first few in full and the rest as a count; says whether there was none."""
        items = list(found)
        self.problems += items[:most]
        if len(items) > most:
            self.problems.append(f"... and {len(items) - most} more like the last")
        return not items

    @contextmanager
    def believing(self, kind: str) -> Iterator[None]:
        """While tables are read that may hold anything: what cannot be read is a problem. kind: of table, with who demands what of it."""
        try:
            yield
        except _UNREADABLE as error:
            self.problems.append(f"{kind}: {error!r}")
