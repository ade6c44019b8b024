"""fieldrig info, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capture.commands.arguments import RecordingArgument, WorkspaceOption
from capture.commands.verdict_colours import VERDICT_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from capture.clock.filter import ClockFit
    from capture.recording_info import RecordingInfo


def info(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Show what a recording holds: its streams, counts, losses, clocks and verdict, and what its crew said.

    Example: fieldrig info recordings/20260131T101500Z-van-k3f9
    """
    from capture.importers.origin import ORIGIN
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    opened = open_recording(Workspace.at(workspace).recording(recording))
    against = "the log's time" if (opened.folder / ORIGIN).is_file() else "this machine"
    print_info(opened.info, open_console(), against)


def repair(recording: RecordingArgument, workspace: WorkspaceOption = None) -> None:
    """Mend a recording after an accident: a killed recorder, a power cut, damaged files. Loses no whole message; may be repeated.

    Exit code 1 when something is left that cannot be repaired.

    Example: fieldrig repair recordings/20260131T101500Z-van-k3f9
    """
    from capture.errors import CaptureError
    from capture.repair import repair as repair_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    console = open_console()
    done = repair_recording(Workspace.at(workspace).recording(recording), thorough=True)
    if done.done:
        console.print(
            f"{done.folder} is readable: {done.messages} messages, {done.rescued} of them from the chunk that was cut off; "
            f"{done.cut_bytes} bytes of a torn end taken off", soft_wrap=True,
        )  # fmt: skip
    elif not done.left:
        words = ": nothing to repair" if done.reasons else " is whole: nothing to repair"
        console.print(f"{done.folder}{words}", soft_wrap=True)
    for line in dict.fromkeys((*done.mended, *done.reasons)):
        console.print(line, style="yellow", soft_wrap=True)
    if done.left:
        raise CaptureError(f"{done.folder} is damaged: {'; '.join(done.left)}")


def _clock_in_words(fits: Sequence[ClockFit]) -> str:
    """The newest fit that tells a rate, and how often the clock was set; empty where the sensor has none."""
    from capture.clock.filter import steps_in

    if not fits:
        return ""
    steps, known = steps_in(fits), [fit for fit in fits if not fit.is_guess]
    text = "not known: too few samples"
    if known:
        text = f"{known[-1].skew_ppm:+.2f} ppm, sigma {known[-1].sigma_ns / 1e6:.3f} ms"
    return f"{text}, set {steps} times" if steps else text


def print_info(info: RecordingInfo, console: Console, clock_against: str = "this machine") -> None:
    from datetime import UTC, datetime

    from rich.table import Table
    from rich.text import Text

    from capture.commands.crew_lines import crew_lines
    from capture.kept import given_up_in_words, kept_ns

    table = Table("stream", "messages", "per s", "lost", f"clock against {clock_against}")
    duration_s, kept_s = ((info.ended_ns or info.started_ns) - info.started_ns) / 1e9, kept_ns(info) / 1e9
    for name in info.streams:
        count, lost = info.counts.get(name, 0), info.losses.get(name)
        clock_text = _clock_in_words(info.clocks.get(name, ()))
        rate = f"{count / kept_s:.1f}" if kept_s > 0 else ""
        table.add_row(name, str(count), rate, str(lost.total if lost else 0), clock_text)
    started = datetime.fromtimestamp(info.started_ns / 1e9, UTC)
    of_which = "" if kept_s == duration_s else f", of which {kept_s:.1f} s are in its files"
    console.print(f"rig {info.rig.name}, {started:%Y-%m-%d %H:%M:%S} UTC, {duration_s:.1f} s{of_which}", soft_wrap=True)
    for line in crew_lines(info):
        console.print(line, soft_wrap=True)
    console.print(table)
    if given_up := given_up_in_words(info):
        console.print(given_up, soft_wrap=True)
    for line in (*info.reasons, *info.notes):
        console.print(line, style="yellow" if line in info.reasons else "dim", soft_wrap=True)
    verdict = info.verdict or "bad"
    console.print("verdict:", Text(verdict, VERDICT_COLOURS[verdict]))
