"""fieldrig info, verify, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capture.arguments import RecordingArgument, WorkspaceOption

if TYPE_CHECKING:
    from capture.recording_info import RecordingInfo

_COLOURS = {"good": "green", "doubtful": "yellow", "bad": "red"}


def info(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Show what a recording holds: its streams, counts, losses, clocks and verdict.

    Example: fieldrig info recordings/20260131T101500Z-van-k3f9
    """
    from capture.recording import open_recording
    from capture.workspace import Workspace

    print_info(open_recording(Workspace.at(workspace).recording(recording)).info)


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


def print_info(info: RecordingInfo) -> None:
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
