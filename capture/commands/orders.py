"""fieldrig order status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from capture.orders.orders import Order
    from capture.orders.status import Cell, OrderStatus
    from capture.workspace import Workspace


def order_status(
    name: Annotated[str, typer.Argument(help="An order; else all of the workspace.", metavar="[NAME]")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Compare what orders want with what is recorded: done and missing of each task, site and operator.

    An order that cannot be read hides no other; the exit code is 1 then.

    Example: fieldrig order status kitchen
    """
    from capture.errors import CaptureError
    from capture.orders.done import DoneEpisodes
    from capture.orders.orders import order_names
    from capture.orders.status import status
    from capture.workspace import Workspace
    from devices.console import open_console

    place, console = Workspace.at(workspace), open_console(soft_wrap=True)
    names = [name] if name else order_names(place)
    if not names:
        raise CaptureError(f"no orders in {place.orders}; docs/FORMATS.md shows how to write one")
    orders, mistaken = _loaded(place, names)
    done = DoneEpisodes(place)
    episodes = done.look() if orders else []
    for order in orders:
        found = status(order, episodes)
        console.print(_table(found))
        for line in _remarks(found):
            console.print(line, style="yellow")
        console.print(f"order {order.name}: {f'{found.missing} episodes still to do' if found.missing else 'complete'}")
    for line in done.unreadable:
        console.print(f"not counted: {line}", style="yellow")
    if mistaken:
        raise CaptureError("; ".join(mistaken))


def _loaded(place: Workspace, names: Sequence[str]) -> tuple[list[Order], list[str]]:
    """Those that can be read, and a line for each that cannot."""
    from capture.errors import CaptureError
    from capture.orders.orders import load_order

    orders: list[Order] = []
    mistaken: list[str] = []
    for name in names:
        try:
            orders.append(load_order(place, name))
        except CaptureError as error:
            mistaken.append(str(error))
    return orders, mistaken


def _table(found: OrderStatus) -> Table:
    from rich.table import Table

    table = Table("task", "wanted", "done", "missing", title=f"{found.order.name}  {found.order.customer}".strip())
    for task in found.tasks:
        table.add_row(task.wanted.words, *_figures(task.total))
        for cell in (*task.sites, *task.operators):
            table.add_row(f"  {cell.at}", *_figures(cell, "at least "), style="dim")
    return table


def _figures(cell: Cell, least: str = "") -> tuple[str, str, Text]:
    from rich.text import Text

    return f"{least}{cell.wanted}", str(cell.done), Text(str(cell.missing), "red" if cell.missing else "green")


def _remarks(found: OrderStatus) -> list[str]:
    """What counts with a doubt, and what does not count."""
    lines = [f"{found.doubtful} of those done are of recordings whose verdict is doubtful"] if found.doubtful else []
    lines += [f"{found.unassigned} of those done are of recordings that name no order"] if found.unassigned else []
    return lines + [f"not counted: {count} {why}" for why, count in sorted(found.passed_over.items())]
