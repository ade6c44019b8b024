"""`fieldrig import KIND`: one command for every importer that is registered."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption
from capture.errors import CaptureError
from capture.importers import importer, importers

if TYPE_CHECKING:
    from rich.console import Console

PathArgument = Annotated[Path, typer.Argument(help="The log: a file or a folder.", metavar="PATH")]
RigOption = Annotated[Path, typer.Option(help="The rig whose sensors are in the log.", metavar="RIG.toml")]
AgainOption = Annotated[bool, typer.Option("--again", help="Take it in even if it was imported before.")]


def command_of(kind: str) -> Callable[..., None]:
    """What `fieldrig import KIND` calls; logs that do not say which sensors they hold ask for a rig.toml."""
    found = importer(kind)
    if found.needs_rig:

        def run(
            path: PathArgument, rig: RigOption, again: AgainOption = False, workspace: WorkspaceOption = None
        ) -> None:
            bring_in(kind, path, workspace, rig, again=again)
    else:

        def run(path: PathArgument, again: AgainOption = False, workspace: WorkspaceOption = None) -> None:  # type: ignore[misc]
            bring_in(kind, path, workspace, again=again)

    run.__doc__ = (
        f"{found.line} Bytes and stamps are kept as they are.\n\nExample: fieldrig import {kind} {found.example}"
    )
    return run


def bring_in(kind: str, path: Path, workspace: Path | None, rig: Path | None = None, *, again: bool = False) -> None:
    """Imports a log, with a bar on a terminal, and prints what became of it."""
    from capture.importers.imported_before import check_is_new
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar
    from devices.rig import load_rig

    found, console = importer(kind), open_console(soft_wrap=True)
    check_kind(kind, path)
    described = None if rig is None else load_rig(rig)
    place = Workspace.at(workspace)
    with progress_bar(console) as bar:
        try:
            if not again:
                bar(f"looking whether {path.name} was imported before", 0.0)
                check_is_new(path, place, described)
            folder = found.import_into(
                path,
                place,
                lambda done, total, unit="messages": bar(f"importing {path.name}: {done} {unit}", done / max(total, 1)),
                described,
            )
        except OSError as error:  # where no session was open that says it itself: a file or folder that may not be read
            raise CaptureError(f"cannot read {path}: {error}; nothing was imported") from None
    print_imported(folder, console)


def print_imported(folder: Path, console: Console) -> None:
    """What a recording that was imported holds, what is doubted of it, and its verdict."""
    from capture.recording_info import load_info

    info = load_info(folder)
    console.print(f"recording {folder}")
    for name, count in info.counts.items():
        console.print(f"  {name}: {count} messages")
    for line in (*info.reasons, *info.notes):
        console.print(line, style="yellow" if line in info.reasons else "dim")
    console.print(f"verdict: {info.verdict}")


def check_kind(kind: str, path: Path) -> None:
    """Raises CaptureError when the log plainly is another importer's."""
    if not path.exists() or importer(kind).recognises(path):
        return
    others = [name for name in importers() if name != kind and importer(name).recognises(path)]
    if others:
        raise CaptureError(f"{path} is not of this kind; run: fieldrig import {others[0]} {shlex.quote(str(path))}")
