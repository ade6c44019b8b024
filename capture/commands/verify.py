"""fieldrig verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption
from capture.commands.verdict_colours import VERDICT_COLOURS

if TYPE_CHECKING:
    from rich.console import Console

    from capture.recording_info import RecordingInfo
    from capture.stream_check import StreamCheck


def verify(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings' folders or IDs.", metavar="RECORDING...")],
    decode: Annotated[bool, typer.Option(help="Whether every packet is decoded, too, which takes longer.")] = True,
    workspace: WorkspaceOption = None,
) -> None:
    """Check recordings: hashes, counts, gaps, stamps, health, and that their packets decode. Exit code 1 when one is damaged.

    Example: fieldrig verify recordings/20260131T101500Z-van-k3f9
    """
    from capture.errors import CaptureError
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.errors import FieldrigError

    place, console, failed = Workspace.at(workspace), open_console(soft_wrap=True), list[str]()
    for recording in recordings:
        if len(recordings) > 1:
            console.print(str(recording), style="bold")
        try:
            _verify(place.recording(recording), console, decode=decode)
        except FieldrigError as error:
            if len(recordings) == 1:
                raise
            console.print(str(error), style="red")
            failed.append(str(recording))
    if failed:
        raise CaptureError(
            f"{len(failed)} of {len(recordings)} recordings are damaged or cannot be read: {', '.join(failed)}"
        )


def _verify(folder: Path, console: Console, *, decode: bool) -> None:
    """Raises CaptureError when it is damaged."""
    import time

    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    from rich.text import Text

    from capture.errors import CaptureError
    from capture.kept import given_up_in_words
    from capture.verify import verify as verify_recording
    from devices.progress import what_is_done

    columns = (what_is_done(), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())  # fmt: skip
    started_s = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"verifying {folder.name}", total=None)
        found = verify_recording(
            folder, lambda done, total: bar.update(task, completed=done, total=total), decode=decode
        )
    took_s = time.monotonic() - started_s
    info = found.recording.info
    for check in found.streams:
        console.print(_line(check, info))
    if given_up := given_up_in_words(info):
        console.print(given_up)
    for doubt in found.doubts:
        console.print(doubt, style="yellow")
    for note in info.notes:
        console.print(note, style="dim")
    if found.damage:
        raise CaptureError(found.damaged_in_words)
    rate = f"{found.read_bytes / 1e6:.1f} MB read in {took_s:.1f} s, {found.read_bytes / 1e6 / took_s:.0f} MB/s"
    console.print("verdict:", Text(found.verdict, VERDICT_COLOURS[found.verdict]), f"({rate})")


def _line(check: StreamCheck, info: RecordingInfo) -> str:
    """What was lost before it was read bears no numbers between which it could be missing; what was given up is not missing."""
    from capture.kept import given_up_count

    said = [
        f"{check.messages} messages",
        f"{max(0, check.missing - given_up_count(info, check.name))} missing between them",
    ]
    losses = info.losses.get(check.name)
    if losses is not None and losses.before_read:
        said.append(f"{losses.before_read} lost before they were read")
    return f"{check.name}: {', '.join(said)}, longest gap {check.longest_gap_ns / 1e6:.1f} ms"
