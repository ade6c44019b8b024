"""fieldrig offload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress

    from capture.offload.move import Offloaded
    from capture.workspace import Workspace

_NAMED_MAX = 3


def offload(
    recordings: Annotated[
        list[str] | None,
        typer.Argument(
            help="Recordings' folders or IDs, and last where to: a folder, or a URL such as s3://bucket/field.",
            metavar="RECORDING... DEST",
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every recording of the workspace.")] = False,
    zstd: Annotated[bool, typer.Option("--zstd", help="Compress chunks; every message is compared.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Send anew what is there compressed, or with --zstd what is not.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete here what is verified there, and only that.")
    ] = False,
    same_disk: Annotated[
        bool, typer.Option("--same-disk", help="Let --delete leave the only copy on this disk.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Copy recordings elsewhere and read every file back there. Interrupted, it goes on where it was. Exit code 1 unless all arrived.

    Credentials are found as the URL's driver finds them: s3:// in AWS_* variables and ~/.aws, sftp:// with the keys in ~/.ssh, at servers that ~/.ssh/known_hosts names.

    Example: fieldrig offload 20260131T101500Z-van-k3f9 /media/crew/disk7 --delete
    """  # fmt: skip
    import time

    from capture.errors import CaptureError
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.errors import FieldrigError

    place, console, failed = Workspace.at(workspace), open_console(soft_wrap=True), dict[Path, str]()
    folders, to = _asked(place, recordings or [], all_=all_)
    if not folders:
        console.print(f"no recordings in {place.recordings}: nothing to move")
    with _bar(console) as bar:
        for folder in folders:
            started_s = time.monotonic()
            try:
                done = _offload(folder, to, bar, zstd=zstd, replace=replace, delete=delete, same_disk=same_disk)
            except (FieldrigError, OSError) as error:
                failed[folder] = str(error) if folder.exists() else _gone(folder)
                continue
            _say(console, folder, done, time.monotonic() - started_s)
    if failed:
        others = f" ({len(failed)} of {len(folders)} recordings)" if len(folders) > 1 else ""
        raise CaptureError(f"not offloaded{others}: {_in_words(failed)}")


def _asked(place: Workspace, words: list[str], *, all_: bool) -> tuple[list[Path], str]:
    """The recordings that are to be moved, once removals that were interrupted are finished, and where to."""
    from capture.errors import CaptureError
    from capture.offload.removal import finish_removals

    if len(words) < (1 if all_ else 2):
        raise CaptureError("say which recordings, or --all, and then where to: fieldrig offload RECORDING... DEST")
    to = words[-1]
    if to.startswith("memory:"):
        raise CaptureError(f"{to} keeps nothing; name a folder, or a URL like sftp://host/folder")
    finish_removals(place.recordings)
    folders = [place.as_in_workspace(place.recording(Path(word))) for word in words[:-1]]
    return folders + [folder for folder in (_all(place) if all_ else []) if folder not in folders], to


def _gone(folder: Path) -> str:
    return f"{folder} was moved and deleted here by another process (fieldrig list {folder.name})"


def _in_words(failed: Mapping[Path, str]) -> str:
    """Each reason once: where it kept several recordings from moving, ID stands for theirs."""
    alike: dict[str, list[Path]] = {}
    for folder, why in failed.items():
        alike.setdefault(why.replace(folder.name, "ID"), []).append(folder)
    return "; ".join(
        f"{why} ({len(folders)} recordings: {_names(folders)})" if len(folders) > 1 else failed[folders[0]]
        for why, folders in alike.items()
    )


def _names(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - _NAMED_MAX} more" if len(folders) > _NAMED_MAX else ""
    return ", ".join(folder.name for folder in folders[:_NAMED_MAX]) + more


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from devices.progress import what_is_done

    columns = (what_is_done(), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    is_piped = not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=is_piped, speed_estimate_period=10)


def _offload(
    folder: Path, to: str, bar: Progress, *, zstd: bool, replace: bool, delete: bool, same_disk: bool
) -> Offloaded:
    from capture.offload.offload import offload as offload_recording
    from capture.offload.progress import OffloadProgress

    task = bar.add_task(folder.name, total=None)

    def show(now: OffloadProgress) -> None:
        bar.update(task, completed=now.done_bytes, total=now.total_bytes, description=f"{now.doing} {now.name}")

    try:
        return offload_recording(
            folder, to, zstd=zstd, replace=replace, delete=delete, same_disk=same_disk, progress=show
        )
    finally:
        bar.remove_task(task)


def _all(place: Workspace) -> list[Path]:
    """Every recording of the workspace, and what seems to have been one: those that cannot be moved are told when their turn comes."""
    folders = sorted(path for path in place.recordings.glob("[!.]*") if path.is_dir())
    return [path for path in folders if (path / "recording.json").exists() or any(path.glob("*.mcap"))]


def _say(console: Console, folder: Path, done: Offloaded, took_s: float) -> None:
    rate = f", {done.sent_bytes / 1e6 / took_s:.0f} MB/s with reading back" if done.sent else ""
    sent = (
        f"{done.sent} of {done.files} files sent ({done.sent_bytes / 1e6:.1f} MB{rate})"
        if done.sent
        else "nothing left to send"
    )
    console.print(
        f"{folder.name} is whole at {done.where}: {sent}, {done.stored_bytes / 1e6:.1f} MB there"
        + ("; deleted here" if done.deleted else "")
        + (f"; it was there {done.kept}, and was kept so: --replace replaces it" if done.kept else "")
    )
