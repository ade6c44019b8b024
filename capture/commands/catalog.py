"""fieldrig list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption
from capture.commands.verdict_colours import VERDICT_COLOURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capture.catalog.catalog import Listed, Listing
    from capture.catalog.index import Value

_CELL_LETTERS = 28
_MANY = 200  # recordings to be read anew, above which their reading is shown


def list_recordings(
    words: Annotated[
        list[str] | None, typer.Argument(help="What occurs anywhere: a reason, a note, a mark, an ID.")
    ] = None,
    site: Annotated[str, typer.Option(help="Part of the site's name.")] = "",
    task: Annotated[str, typer.Option(help="Part of the task, or of an episode's.")] = "",
    rig: Annotated[str, typer.Option(help="Part of the rig's name.")] = "",
    operator: Annotated[str, typer.Option(help="Part of the operator's name.")] = "",
    order: Annotated[str, typer.Option(help="Part of the order's name.")] = "",
    sensor: Annotated[str, typer.Option(help="Part of a sensor's name, or of its driver's.")] = "",
    consent: Annotated[str, typer.Option(help="A consent's ID, whole.")] = "",
    verdict: Annotated[str, typer.Option(help="good, doubtful, bad, or none: not finished.")] = "",
    since: Annotated[str, typer.Option(help="2026-01-31, 2026-01-31T10:15 (UTC), today, 7d.")] = "",
    until: Annotated[str, typer.Option(help="The same; a day includes its end.")] = "",
    limit: Annotated[int, typer.Option(help="The newest so many; 0: all.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: all that the catalog holds.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Search the workspace's recordings. All that is given must hold; the newest stands last.

    Example: fieldrig list --site yard --since 7d --verdict good
    """
    from capture.catalog.catalog import search_catalog
    from capture.catalog.search import Search, moment_ns
    from capture.workspace import Workspace

    search = Search(
        site=site, task=task, rig=rig, operator=operator, order=order, sensor=sensor, consent=consent, verdict=verdict,
        since_ns=moment_ns(since) if since else None, until_ns=moment_ns(until, is_end=True) if until else None,
        words=tuple(words or ()), limit=limit or None,
    )  # fmt: skip
    place = Workspace.at(workspace)
    listing = search_catalog(place, search, say=_complain, progress=_counter())
    if as_json:
        typer.echo(_json(listing))
    else:
        _print_table(listing, place.recordings)
    for line in listing.unreadable:
        _complain(f"passed over {line}")


def _complain(line: str) -> None:
    typer.secho(line, fg="yellow", err=True)


def _counter() -> Callable[[int, int], None]:
    """Shows on a terminal how far the reading of many recordings is."""
    import sys

    def show(done: int, total: int) -> None:
        if total >= _MANY and sys.stderr.isatty() and (done % 100 == 0 or done == total):
            typer.echo(f"\r{done} of {total} recordings read", nl=done == total, err=True)

    return show


def _json(listing: Listing) -> str:
    import json

    rows = []
    for each in listing.found:
        values = {name: value for name, value in each.values.items() if name != "words"}
        rows.append({"folder": each.folder, **values, **each.tables})
    return json.dumps(rows, indent=1)


def _print_table(listing: Listing, where: Path) -> None:
    if not listing.found:
        typer.echo(
            f"none of {listing.recordings} recordings in {where}" if listing.recordings else f"no recordings in {where}"
        )
        return
    headings = ("began (UTC)", "rig", "site", "task", "length", "size", "verdict", "recording")
    rows = [_cells(each, where) for each in listing.found]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(headings, widths, "")]
    lines += [_line(row, widths, str(each.values["verdict"])) for row, each in zip(rows, listing.found, strict=True)]
    typer.echo("\n".join(lines))
    seconds = sum(float(each.values["kept_s"] or 0) for each in listing.found)
    here = [each for each in listing.found if not each.values["deleted_ns"]]
    gone = [each for each in listing.found if each.values["deleted_ns"]]
    apart = f" here; {len(gone)} deleted here were {_size(_bytes_of(gone))}" if gone else ""
    typer.echo(f"{len(rows)} of {listing.recordings} recordings, {_length(seconds)}, {_size(_bytes_of(here))}{apart}")


def _bytes_of(recordings: Sequence[Listed]) -> int:
    return sum(int(each.values["size_bytes"] or 0) for each in recordings)


def _cells(each: Listed, recordings: Path) -> tuple[str, ...]:
    from datetime import UTC, datetime

    values = each.values
    began = datetime.fromtimestamp(int(values["started_ns"] or 0) / 1e9, UTC)
    return (
        f"{began:%Y-%m-%d %H:%M}",
        _short(str(values["rig"])),
        _short(str(values["site"])),
        _short(str(values["task"])),
        "" if values["kept_s"] is None else _length(float(values["kept_s"])),
        _size(int(values["size_bytes"] or 0)),
        str(values["verdict"] or _state(values["state"], recordings / each.folder)),
        f"{each.folder}{_where_it_went(each)}",
    )


def _state(state: Value, folder: Path) -> str:
    """What stands for a verdict that is not known. A recorder that was killed leaves a recording that nobody is at work on."""
    from capture.lock import is_held

    return "(unfinished)" if state == "recording" and not is_held(folder) else f"({state})"


def _where_it_went(each: Listed) -> str:
    from datetime import UTC, datetime

    if not each.values["deleted_ns"]:
        return ""
    deleted = datetime.fromtimestamp(int(each.values["deleted_ns"]) / 1e9, UTC)
    return f"  offloaded to {each.values['offloaded_to']} on {deleted:%Y-%m-%d}, deleted here"


def _line(cells: Sequence[str], widths: Sequence[int], verdict: str) -> str:
    padded = [cell.rjust(width) if index in {4, 5} else cell.ljust(width) for index, (cell, width) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
    if verdict in VERDICT_COLOURS:
        padded[6] = typer.style(padded[6], fg=VERDICT_COLOURS[verdict])
    return "  ".join(padded).rstrip()


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _CELL_LETTERS else words[: _CELL_LETTERS - 1] + "…"


def _length(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _size(size: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
