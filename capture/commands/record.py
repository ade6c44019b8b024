"""fieldrig record: what a crew starts in the morning."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capture.commands.arguments import WorkspaceOption

if TYPE_CHECKING:
    from rich.console import Console

    from capture.commands.record_request import RecordRequest
    from capture.dashboard.crew_page import PageOptions
    from capture.recorder import Recorder
    from capture.terminal.screen import Screen
    from capture.workspace import Workspace

_TICK_S = 0.1


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
    from capture import heap
    from capture.commands.record_request import record_limits, record_request
    from capture.dashboard.crew_page import PageOptions
    from capture.disk_failure import disk_failures_in_words
    from capture.terminal.signals import ended_in_order
    from devices.console import hold_standard_files, open_console

    hold_standard_files()
    heap.keep_little()
    console = open_console()
    said = {"operator": operator, "site": site, "task": task, "order": order, "consent_ids": consent or ()}
    limits = record_limits(keep, split_size, split_time)
    asked = record_request(rig, workspace, said, limits, for_=for_, standby=standby, snapshot=snapshot)
    options = PageOptions(page, page_host, page_port, context.obj or (), foxglove)  # the root's panels
    options.check()
    with ended_in_order() as stop, disk_failures_in_words(asked.place):
        _repair_orphans(asked.place, console)
        made = _carried_out(asked, options, stop, console)
        if made is not None:
            _say_what_was_made(*made, console)


def _carried_out(
    asked: RecordRequest, options: PageOptions, stop: threading.Event, console: Console
) -> tuple[Path, str] | None:
    """The folder that it ended with, and why that ended too early."""
    from capture.dashboard.crew_page import crew_page
    from capture.orders.lines import OrderLines
    from capture.recorder import Recorder

    place, lines = asked.place, OrderLines(asked.place)
    with (
        Recorder(
            asked.rig, place, asked.limits, details=asked.details, snapshot_s=asked.snapshot_s, order_lines=lines
        ) as recorder,
        crew_page(options, asked.rig_file, place, console),
        _steered(
            recorder, place, stop, console, speaks=not options.is_wanted
        ) as screen,  # else the page's process does
    ):
        for line in recorder.sensors.remarks:
            screen.say(line)
        if asked.stands_by:
            return _stand_by(recorder, stop, screen)
        return _record(recorder, asked.duration_s, stop, screen)


def _record(recorder: Recorder, duration_s: float | None, stop: threading.Event, screen: Screen) -> tuple[Path, str]:
    """One recording; returns its folder, and why it ended too early."""
    from capture.attend import attend

    folder = recorder.start()
    recorder.run()
    trouble = attend(recorder, duration_s, stop, screen.show)
    close_recording(recorder, screen)
    return folder, trouble


def _stand_by(recorder: Recorder, stop: threading.Event, screen: Screen) -> tuple[Path, str] | None:
    """Returns the same of the recording that it ended with, if there was one."""
    from capture.attend import stand_by
    from capture.recorder_state import RecorderState

    shown_folder = ""

    def show(state: RecorderState) -> None:
        nonlocal shown_folder
        screen.show(state)
        if state.last_folder != shown_folder and state.mode in ("standby", "snapshot"):
            shown_folder = state.last_folder
            screen.say(f"recording {shown_folder}")

    screen.say("standing by")
    recorder.run()
    stand_by(recorder, stop, show)
    trouble = recorder.trouble
    close_recording(recorder, screen)
    last_folder = recorder.state().last_folder
    return None if last_folder == shown_folder else (Path(last_folder), trouble)


def close_recording(recorder: Recorder, screen: Screen) -> None:
    """Ends the recording under way, if there is one; it may take long, and the screen says so meanwhile."""
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(1, "fieldrig-closing") as closing:
        closed = closing.submit(recorder.stop_if_recording)
        while wait([closed], _TICK_S).not_done:
            screen.show(recorder.state())
    closed.result()


@contextlib.contextmanager
def _steered(
    recorder: Recorder, place: Workspace, stop: threading.Event, console: Console, *, speaks: bool
) -> Iterator[Screen]:
    """Listens to other programs and to the keys meanwhile, and is heard; gives the terminal's screen."""
    from capture.control.server import ControlServer
    from capture.terminal.keys import Keys
    from capture.terminal.screen import Screen

    with (
        contextlib.closing(ControlServer(recorder, place, recorder.rig_name)) as control,
        _heard(place, recorder.rig_name) if speaks else contextlib.nullcontext(),
        Keys(recorder, stop, control.acknowledge) as keys,
        Screen(console, lambda: keys.shown) as screen,
    ):
        yield screen


@contextlib.contextmanager
def _heard(place: Workspace, rig: str) -> Iterator[None]:
    """The laptop itself plays what happens, and alarms."""
    from capture.dashboard.announcer import Announcer
    from capture.dashboard.link import RecorderLink
    from capture.speaker import Speaker

    link = RecorderLink(place, rig)
    with (
        contextlib.closing(Speaker()) as speaker,
        contextlib.closing(link),
        contextlib.closing(Announcer(speaker, lambda: link.unseen_alarms)) as announcer,
    ):
        link.start(announcer.heard)
        yield


def _say_what_was_made(folder: Path, trouble: str, console: Console) -> None:
    """Raises CaptureError when the recording came to nothing or had to end too early."""
    from capture.commands.recordings import print_info
    from capture.errors import CaptureError
    from capture.recording_info import load_info

    if trouble:
        raise CaptureError(f"{trouble}; what was recorded until then is complete in {folder}")
    made = load_info(folder)
    console.print(f"recording {folder}", soft_wrap=True)
    print_info(made, console)
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
        except Exception as error:  # whatever is the matter with it must not keep a crew from recording
            is_told = isinstance(error, CaptureError | OSError)
            why = error if is_told else f"a defect of fieldrig: {type(error).__name__}: {error}"
            console.print(
                f"{folder.name} was left unfinished and cannot be repaired: {why}; it stays as it is",
                style="yellow",
                soft_wrap=True,
            )
            continue
        console.print(f"repaired {folder.name}, which an earlier recorder had not finished: {done.messages} messages")
