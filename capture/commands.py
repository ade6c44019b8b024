"""fieldrig record, info, verify, repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.arguments import RecordingArgument, WorkspaceOption

if TYPE_CHECKING:
    from rich.table import Table

    from capture.recorder import RecordingProgress
    from capture.recording_info import RecordingInfo

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_COLOURS = {"good": "green", "doubtful": "yellow", "bad": "red"}


def record(
    rig: Annotated[Path, typer.Argument(help="The rig's description.", metavar="RIG.toml")],
    for_: Annotated[str, typer.Option("--for", help="How long, e.g. 20s, 5min, 1h; else until Ctrl+C.")] = "",
    site: Annotated[str, typer.Option(help="Where this is.")] = "",
    task: Annotated[str, typer.Option(help="What is being done.")] = "",
    operator: Annotated[str, typer.Option(help="Who does it.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Record all sensors of a rig until the time is over or Ctrl+C is pressed.

    Example: fieldrig record rig.toml --for 20s
    """
    import signal
    import threading

    from rich.console import Console
    from rich.live import Live

    from capture.errors import CaptureError
    from capture.recorder import record as record_rig
    from capture.recording_info import load_info
    from capture.workspace import Workspace
    from devices.rig import load_rig

    console, stop = Console(), threading.Event()
    described, duration_s = load_rig(rig), seconds(for_) if for_ else None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=False) as live:
        folder = record_rig(
            described,
            Workspace.at(workspace),
            duration_s=duration_s,
            stop=stop,
            progress=(lambda now: live.update(_rates(now), refresh=True)) if console.is_terminal else None,
            site=site,
            task=task,
            operator=operator,
        )
    made = load_info(folder)
    console.print(f"recording {folder}", soft_wrap=True, highlight=False)
    _print_info(made)
    if made.verdict == "bad":
        raise CaptureError(f"{folder}: {'; '.join(made.reasons)}")


def info(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Show what a recording holds: its streams, counts, losses, clocks and verdict.

    Example: fieldrig info recordings/20260131T101500Z-van-k3f9
    """
    from capture.recording import open_recording
    from capture.workspace import Workspace

    _print_info(open_recording(Workspace.at(workspace).recording(recording)).info)


def verify(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Check a recording: hashes, counts, gaps, stamps, health, and that its packets decode. Exit code 1 when it is damaged.

    Example: fieldrig verify recordings/20260131T101500Z-van-k3f9
    """
    from rich.console import Console
    from rich.progress import Progress

    from capture.errors import CaptureError
    from capture.verify import verify as verify_recording
    from capture.workspace import Workspace

    console = Console()
    folder = Workspace.at(workspace).recording(recording)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        found = verify_recording(folder, lambda done, total: bar.update(task, completed=done, total=total))
    for check in found.streams:
        console.print(
            f"{check.name}: {check.messages} messages, {check.missing} missing between them, "
            f"longest gap {check.longest_gap_ns / 1e6:.1f} ms", highlight=False,
        )  # fmt: skip
    for doubt in found.doubts:
        console.print(doubt, style="yellow", highlight=False, soft_wrap=True)
    if found.damage:
        raise CaptureError(f"{folder} is damaged: {'; '.join(found.damage)}")
    console.print(f"verdict: [{_COLOURS[found.verdict]}]{found.verdict}[/]", highlight=False)


def repair(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Make a recording readable again whose recorder was killed or lost power. Loses no whole message; may be repeated.

    Example: fieldrig repair recordings/20260131T101500Z-van-k3f9
    """
    from rich.console import Console

    from capture.repair import repair as repair_recording
    from capture.workspace import Workspace

    done = repair_recording(Workspace.at(workspace).recording(recording))
    if not done.done:
        Console().print(f"{done.folder} is whole: nothing to repair", soft_wrap=True, highlight=False)
        return
    Console().print(
        f"{done.folder} is readable: {done.messages} messages, {done.rescued} of them from the chunk that was cut off; "
        f"{done.cut_bytes} bytes of a torn end taken off", soft_wrap=True, highlight=False,
    )  # fmt: skip


def seconds(text: str) -> float:
    """``20s``, ``1.5min``, ``2h``, or a plain number of seconds. Raises CaptureError on anything else."""
    import re

    from capture.errors import CaptureError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise CaptureError(f"'{text}' is no length of time; write it like 20s, 5min or 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _rates(now: RecordingProgress) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{now.folder.name}  {now.elapsed_s:.0f} s  {now.file_bytes / 1e6:.0f} MB",
        caption=f"queue {now.queue_bytes / 1e6:.1f} MB, synced {now.synced_s_ago:.1f} s ago, {now.free_bytes / 1e9:.0f} GB free",
    )
    for heading in ("stream", "packets", "per s", "MB/s", "lost", "last"):
        table.add_column(heading, justify="left" if heading == "stream" else "right")
    for row in now.streams:
        last = "nothing yet" if row.silent_s is None else f"{row.silent_s:.1f} s ago"
        style = "red" if row.failure or row.lost else "dim" if row.silent_s is None else ""
        figures = (str(row.received), f"{row.rate_hz:.1f}", f"{row.bytes_s / 1e6:.2f}", str(row.lost))
        table.add_row(row.name, *figures, row.failure or last, style=style)
    return table


def _print_info(info: RecordingInfo) -> None:
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("stream", "messages", "per s", "lost", "clock against this machine")
    duration_s = ((info.ended_ns or info.started_ns) - info.started_ns) / 1e9
    for name in info.streams:
        count, lost, clock = info.counts.get(name, 0), info.losses.get(name), info.clocks.get(name)
        clock_text = f"{clock.skew_ppm:+.2f} ppm, sigma {clock.sigma_ns / 1e6:.3f} ms" if clock else ""
        rate = f"{count / duration_s:.1f}" if duration_s > 0 else ""
        table.add_row(name, str(count), rate, str(lost.total if lost else 0), clock_text)
    started = datetime.fromtimestamp(info.started_ns / 1e9, UTC)
    console.print(f"rig {info.rig.name}, {started:%Y-%m-%d %H:%M:%S} UTC, {duration_s:.1f} s", highlight=False)
    for key, text in (("site", info.site), ("task", info.task), ("operator", info.operator)):
        if text:
            console.print(f"{key}: {text}", highlight=False)
    console.print(table)
    for line in (*info.reasons, *info.notes):
        console.print(line, style="yellow" if line in info.reasons else "dim", highlight=False, soft_wrap=True)
    verdict = info.verdict or "bad"
    console.print(f"verdict: [{_COLOURS[verdict]}]{verdict}[/]", highlight=False)
