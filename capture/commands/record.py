"""fieldrig record: what a crew starts in the morning."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from capture.keys import Keys
    from capture.limits import Limits
    from capture.recorder import Recorder
    from capture.recorder_state import RecorderState
    from capture.workspace import Workspace

_LOOKS_A_SECOND = 4


def record(
    context: typer.Context,
    rig: Annotated[Path, typer.Argument(help="The rig's description.", metavar="RIG.toml")],
    for_: Annotated[str, typer.Option("--for", help="How long, e.g. 20s, 5min, 1h; else until Ctrl+C.")] = "",
    site: Annotated[str, typer.Option(help="Where this is.")] = "",
    task: Annotated[str, typer.Option(help="What is being done.")] = "",
    operator: Annotated[str, typer.Option(help="Who does it.")] = "",
    order: Annotated[str, typer.Option(help="The NAME of orders/NAME.toml that this counts for.")] = "",
    consent: Annotated[list[str] | None, typer.Option(help="The id of a consent; may be given several times.")] = None,
    standby: Annotated[bool, typer.Option("--standby", help="Open the sensors and wait to be started.")] = False,
    snapshot: Annotated[
        str, typer.Option(help="Hold the last, e.g. 30s, in memory until a snapshot is asked for.")
    ] = "",
    keep: Annotated[str, typer.Option(help="Keep the newest, e.g. 5GB; older files are verified, then deleted.")] = "",
    split_size: Annotated[str, typer.Option(help="Begin a new file when one holds this much, e.g. 2GB.")] = "",
    split_time: Annotated[str, typer.Option(help="Begin a new file after this long, e.g. 10min.")] = "",
    page: Annotated[bool, typer.Option(help="Serve the crew's page on this machine.")] = True,
    page_host: Annotated[
        str, typer.Option(help="0.0.0.0 opens the page to phones on the local network, with a token.")
    ] = "127.0.0.1",
    page_port: Annotated[int, typer.Option(help="Where the page listens; the next free one from there.")] = 8750,
    foxglove: Annotated[
        int | None, typer.Option(help="The port of a live view for the Foxglove app, e.g. 8765.", metavar="PORT")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Record all sensors of a rig until the time is over or Ctrl+C is pressed.

    Example: fieldrig record rig.toml --for 20s
    """
    from rich.console import Console

    from capture.commands.amounts import seconds
    from capture.dashboard.crew_page import PageOptions, crew_page
    from capture.details import Details
    from capture.orders.done import OrderLines
    from capture.recorder import Recorder
    from capture.workspace import Workspace
    from devices.rig import load_rig

    console, stop, place = Console(), threading.Event(), Workspace.at(workspace)
    described, duration_s = load_rig(rig), seconds(for_) if for_ else None
    snapshot_s = seconds(snapshot) if snapshot else None
    said = {"operator": operator, "site": site, "task": task, "order": order, "consent_ids": consent or ()}
    details, limits = Details().with_(said), _limits(keep, split_size, split_time)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last: its terminal was closed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop.set())
    _repair_orphans(place, console)
    with _disk_failures_in_words(place):
        lines = OrderLines(place)
        page_options = PageOptions(page, page_host, page_port, context.obj or (), foxglove)  # the root's panels
        with (
            Recorder(described, place, limits, details=details, snapshot_s=snapshot_s, order_lines=lines) as recorder,
            crew_page(page_options, rig, place, console),
        ):
            speaks = not page  # else the page's process does
            if standby or snapshot_s is not None:
                _stand_by(recorder, place, stop, console, speaks=speaks)
                return
            folder, trouble = _record(recorder, place, duration_s, stop, console, speaks=speaks)
        _say_what_was_made(folder, trouble, console)


def _record(
    recorder: Recorder,
    place: Workspace,
    duration_s: float | None,
    stop: threading.Event,
    console: Console,
    *,
    speaks: bool,
) -> tuple[Path, str]:
    """One recording; returns its folder, and why it ended too early."""
    from capture.attend import attend

    folder = recorder.start()
    with _steered(recorder, place, stop, console, speaks=speaks) as show:
        recorder.run()
        trouble = attend(recorder, duration_s, stop, show)
        if recorder.is_recording:
            recorder.stop()
    return folder, trouble


def _stand_by(recorder: Recorder, place: Workspace, stop: threading.Event, console: Console, *, speaks: bool) -> None:
    from capture.attend import stand_by

    console.print("standing by; r starts and stops a recording, q ends" if console.is_terminal else "standing by")
    with _steered(recorder, place, stop, console, speaks=speaks) as show:
        recorder.run()
        stand_by(recorder, stop, show)


@contextlib.contextmanager
def _steered(
    recorder: Recorder, place: Workspace, stop: threading.Event, console: Console, *, speaks: bool
) -> Iterator[Callable[[RecorderState], None]]:
    """Listens to other programs and to the keys meanwhile; gives what shows a state in the terminal."""
    from rich.live import Live

    from capture.control import ControlServer
    from capture.keys import Keys

    with (
        contextlib.closing(ControlServer(recorder, place, recorder.rig_name)),
        _heard(place, recorder.rig_name) if speaks else contextlib.nullcontext(lambda: None) as acknowledge,
        Keys(recorder, stop, acknowledge) as keys,
        Live(console=console, refresh_per_second=_LOOKS_A_SECOND, transient=True, auto_refresh=False) as live,
    ):
        shown_folder = ""

        def show(state: RecorderState) -> None:
            nonlocal shown_folder
            if console.is_terminal:
                live.update(_look(state, keys), refresh=True)
            if state.last_folder != shown_folder and state.mode in ("standby", "snapshot"):
                shown_folder = state.last_folder
                console.print(f"recording {shown_folder}", soft_wrap=True, highlight=False)

        yield show


@contextlib.contextmanager
def _heard(place: Workspace, rig: str) -> Iterator[Callable[[], None]]:
    """The laptop itself plays what happens and alarms; gives what tells it that somebody has seen the alarms."""
    from capture.dashboard.announcer import Announcer
    from capture.dashboard.link import RecorderLink
    from capture.sounds import Speaker

    link = RecorderLink(place, rig)
    with (
        contextlib.closing(Speaker()) as speaker,
        contextlib.closing(link),
        contextlib.closing(Announcer(speaker, lambda: link.unseen_alarms)) as announcer,
    ):
        link.start(announcer.heard)
        yield link.acknowledge


def _say_what_was_made(folder: Path, trouble: str, console: Console) -> None:
    """Raises CaptureError when the recording came to nothing or had to end too early."""
    from capture.commands.recordings import print_info
    from capture.errors import CaptureError
    from capture.recording_info import load_info

    if trouble:
        raise CaptureError(f"{trouble}; what was recorded until then is complete in {folder}")
    made = load_info(folder)
    console.print(f"recording {folder}", soft_wrap=True, highlight=False)
    print_info(made)
    if made.verdict == "bad":
        raise CaptureError(f"{folder}: {'; '.join(made.reasons)}")


def _repair_orphans(place: Workspace, console: Console) -> None:
    """What a recorder that was killed has left behind is finished before the next recording begins."""
    from capture.errors import CaptureError
    from capture.orphans import orphans
    from capture.repair import repair

    for folder in orphans(place):
        try:
            done = repair(folder)
        except (CaptureError, OSError) as error:  # it must not keep a crew from recording
            console.print(
                f"{folder.name} was left unfinished and cannot be repaired: {error}; it stays as it is",
                style="yellow", highlight=False, soft_wrap=True,
            )  # fmt: skip
            continue
        console.print(
            f"repaired {folder.name}, which an earlier recorder had not finished: {done.messages} messages",
            highlight=False,
        )


def _limits(keep: str, split_size: str, split_time: str) -> Limits:
    from capture.bag.segments import Split
    from capture.commands.amounts import seconds, size_bytes
    from capture.limits import Limits

    keep_bytes = size_bytes(keep) if keep else None
    usual = Split()
    # Old files are given up one by one: they are to be much smaller than what is kept.
    bytes_max = min(usual.bytes_max, keep_bytes // 5) if keep_bytes else usual.bytes_max
    split = Split(
        size_bytes(split_size) if split_size else bytes_max, seconds(split_time) if split_time else usual.seconds_max
    )
    return Limits(split=split, keep_bytes=keep_bytes)


@contextlib.contextmanager
def _disk_failures_in_words(place: Workspace) -> Iterator[None]:
    from capture.errors import CaptureError

    try:
        yield
    except OSError as error:
        raise CaptureError(
            f"the disk at {place.root} fails: {error}; free some space, then `fieldrig repair` what is in {place.recordings}"
        ) from None


def _look(state: RecorderState, keys: Keys) -> Group:
    """The recorder in the terminal."""
    from rich.console import Group
    from rich.text import Text

    from capture.keys import HELP

    lines = [Text(alarm, style="bold red") for alarm in state.alarms]
    lines += [Text(line, style="cyan") for line in state.order_lines]
    if state.episode.open:
        lines.append(Text(f"episode: {state.episode.task or 'no task'}, {state.episode.since_s:.0f} s", style="green"))
    if keys.is_listening:
        lines += [Text(keys.said or "", style="bold"), Text(HELP, style="dim")]
    return Group(_rates(state), *lines)


def _rates(state: RecorderState) -> Table:
    from rich.table import Table

    kept = f"  holds the last {state.kept_s:.0f} s" if state.mode == "snapshot" else ""
    title = f"{state.mode}  {state.recording_id}  {state.elapsed_s:.0f} s  {state.file_bytes / 1e6:.0f} MB{kept}"
    synced = "" if state.synced_s_ago is None else f"synced {state.synced_s_ago:.1f} s ago, "
    left = "" if state.disk_left_s is None else f", enough for {state.disk_left_s / 3600:.1f} h"
    caption = f"queue {state.queue_bytes / 1e6:.1f} MB, {synced}{state.free_bytes / 1e9:.0f} GB free{left}"
    table = Table(title=title, caption=caption)
    for heading in ("stream", "packets", "per s", "MB/s", "lost", "jitter ms", "last"):
        table.add_column(heading, justify="left" if heading == "stream" else "right")
    for row in state.streams:
        last = "nothing yet" if row.silent_s is None else f"{row.silent_s:.1f} s ago"
        style = "red" if row.failure or row.lost else "dim" if row.silent_s is None else ""
        figures = (f"{row.rate_hz:.1f}", f"{row.bytes_s / 1e6:.2f}", str(row.lost), f"{row.jitter_ms:.2f}")
        table.add_row(row.name, str(row.received), *figures, row.failure or last, style=style)
    return table
