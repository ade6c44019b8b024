"""How far long work has come: what it tells, and the bar that commands show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TextColumn

Progress = Callable[[str, float], None]  # what is being done, and the share of it that is done, 0 to 1


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, TaskProgressColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (what_is_done(), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def what_is_done() -> TextColumn:
    """A bar's words, as they are: a folder may be called ``[backup]``."""
    from rich.progress import TextColumn

    return TextColumn("{task.description}", markup=False)
