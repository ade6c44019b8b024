"""The commands: the one place that knows all stages. It composes, parses, calls one function and prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from devices.errors import FieldrigError
from fieldrig import INTERRUPTED


@dataclass(frozen=True, slots=True)
class Command:
    """words: what a person types. function: ``module:name``, imported only when the command is called. line: its one-line help."""

    words: tuple[str, ...]
    function: str
    line: str

    def load(self) -> Callable[..., Any]:
        module, _, name = self.function.partition(":")
        loaded: Callable[..., Any] = getattr(import_module(module), name)
        return loaded


COMMANDS = (
    Command(("order", "status"), "capture.commands.orders:order_status", "Compare orders with what is recorded."),
    Command(("rig", "new"), "capture.commands.rigs:new", "Find the sensors, name them, and write a rig.toml."),
    Command(("preflight",), "commands:preflight", "Check a rig, this machine and its disk before recording."),
    Command(("record",), "capture.commands.record:record", "Record a rig's sensors."),
    Command(("mark",), "capture.commands.control:mark", "Take this instant down in the recording under way."),
    Command(("note",), "capture.commands.control:note", "Write a note into the recording under way."),
    Command(("episode",), "capture.commands.control:episode", "Begin or end an episode in the recording under way."),
    Command(
        ("recorder", "start"), "capture.commands.control:start", "Begin a recording with a recorder that stands by."
    ),
    Command(("recorder", "stop"), "capture.commands.control:stop", "End the recording under way."),
    Command(("recorder", "pause"), "capture.commands.control:pause", "Write nothing of what arrives from now on."),
    Command(("recorder", "resume"), "capture.commands.control:resume", "Go on after a pause."),
    Command(
        ("recorder", "snapshot"), "capture.commands.control:snapshot", "Write the last seconds that are held in memory."
    ),
    Command(
        ("recorder", "describe"), "capture.commands.control:describe", "Say who records what, where, for which order."
    ),
    Command(
        ("recorder", "acknowledge"),
        "capture.commands.control:acknowledge",
        "Say that the alarms were seen: silence them.",
    ),
    Command(("recorder", "state"), "capture.commands.control:state", "Say in JSON what the recorder does."),
    Command(("info",), "capture.commands.recordings:info", "Show what a recording holds."),
    Command(("verify",), "capture.commands.verify:verify", "Check a recording: hashes, counts, gaps, stamps, health."),
    Command(("list",), "capture.commands.catalog:list_recordings", "Search the workspace's recordings."),
    Command(("offload",), "capture.commands.offload:offload", "Copy recordings elsewhere, read back and verified."),
    Command(
        ("repair",), "capture.commands.recordings:repair", "Make a recording readable again after a crash or power cut."
    ),
    Command(("import", "kitti"), "commands:import_kitti", "Import a KITTI drive: its sensors and its calibration."),
    Command(("calibrate",), "calibration.commands:calibrate", "Calibrate a rig from a recording of the board."),
    Command(("overlay",), "calibration.commands:overlay", "Draw the lidar's cloud on a camera's image."),
    Command(("label", "serve"), "annotate.commands:serve", "Run the Label Studio server until Ctrl+C."),
    Command(("label", "push"), "annotate.commands:push", "Send keyframes with pre-labels to Label Studio."),
    Command(("label", "pull"), "annotate.commands:pull", "Fetch the labels back as cuboids in the lidar's frame."),
    Command(("export",), "export.commands:export", "Write a dataset in one or more formats."),
    Command(("check",), "export.commands:check", "Open a dataset with its real consumer and reconcile it."),
    Command(("replay",), "devices.commands:replay", "Play a packet capture over UDP in real time."),
    Command(("virtual", "render"), "devices.virtual.commands:render", "Render the virtual rig's takes into a cache."),
    Command(("virtual", "play"), "devices.virtual.commands:play", "Play a rendered take through real sockets."),
)

# What other stages show on the crew's page; its process imports them.
PANELS = ("calibration.freshness_panel:panel",)

GROUPS = {
    "import": "Bring in raw logs that fieldrig did not record.",
    "recorder": "Steer a recorder that is running.",
    "label": "Labels in Label Studio.",
    "order": "What customers want to have recorded.",
    "rig": "Descriptions of rigs.",
    "virtual": "A rendered world that speaks real sensor protocols on loopback.",
}

# By its first word: how things stand when Ctrl+C has ended a command that takes long.
LEFT = {
    "import": "an import that is not finished leaves nothing behind; the same command begins again",
    "offload": "what has arrived stays, and nothing that is not whole there was deleted here; the same command goes on where it was",
    "verify": "nothing was changed; the same command begins again",
}


def run(given: Sequence[str]) -> None:
    """Run the command that these words call for; whatever goes wrong becomes one line on standard error and exit code 1."""
    words = [word for word in given if word != "--traceback"]
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it says of a camera stands in our one line
    try:
        try:
            command_line(words)(args=words, obj=PANELS)
        finally:
            if sys.stdout is not None:  # as where it was closed before this began
                sys.stdout.flush()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # pressed again, it waits for nothing that is still being closed
        if words and words[0] in LEFT:
            print(f"fieldrig: interrupted: {LEFT[words[0]]}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if "--traceback" in given:
            raise
        print(f"fieldrig: {_in_a_line(error)}", file=sys.stderr)
        own = sys.__stdout__
        if own is not None and own is sys.stdout:  # what it does not take would be told again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), own.fileno())
        sys.exit(1)


def _in_a_line(error: Exception) -> str:
    if isinstance(error, FieldrigError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; what was asked for is not done (where in the program: --traceback)"
    said = " ".join(str(error).split()) or "no more is known"
    return (
        f"a defect of fieldrig: {type(error).__name__}: {said}; run it again with --traceback, and report what it says"
    )


def command_line(words: Sequence[str]) -> typer.Typer:
    """The whole tree of commands, of which only the one that ``words`` call for is imported: help for all stays instant."""
    root = typer.Typer(
        help="From the sensors of a field rig to a dataset that trains robots. Add --traceback to see where an error came from.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    root.callback()(_of_all_commands)
    groups = {name: typer.Typer(help=line, no_args_is_help=True) for name, line in GROUPS.items()}
    for name, group in groups.items():
        root.add_typer(group, name=name)
    for command in COMMANDS:
        called = tuple(words[: len(command.words)]) == command.words
        parent = groups[command.words[0]] if len(command.words) > 1 else root
        parent.command(command.words[-1], short_help=command.line)(command.load() if called else _not_called)
    if words[:1] == ["import"]:
        _mount_importers(groups["import"], words[1:])
    return root


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from capture.recording_info import software

        made_of = software()
        typer.echo(f"fieldrig {made_of['fieldrig']}, Python {made_of['python']}, {made_of['system']}")
        raise typer.Exit


def _of_all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which fieldrig this is.")
    ] = False,
) -> None: ...


def _mount_importers(group: typer.Typer, words: Sequence[str]) -> None:
    """A command for each importer that has none of its own above."""
    from capture.importers import importer, importers
    from capture.importers.command import command_of

    own = {command.words[1] for command in COMMANDS if command.words[0] == "import"}
    for name in sorted(importers().keys() - own):
        group.command(name, short_help=importer(name).line)(command_of(name) if name in words[:1] else _not_called)


def _not_called() -> None:
    """Stands in for a command that these words do not call."""


def preflight(
    rig: Annotated[Path, typer.Argument(help="The rig's description.", metavar="RIG.toml")],
    for_: Annotated[str, typer.Option("--for", help="How long to listen to the sensors, e.g. 5s, 1min.")] = "5s",
    hours: Annotated[
        float, typer.Option(help="How long is to be recorded: for the disk and the battery.", min=0.01)
    ] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="Where is to be recorded to.")] = None,
) -> None:
    """Open all sensors of a rig at once, and check them, this machine and its disk. Exit code 1 when something is red.

    Example: fieldrig preflight rig.toml
    """
    from calibration.freshness import Freshness
    from capture.commands.amounts import seconds
    from capture.commands.preflight import findings_json, findings_table, verdict_line
    from capture.preflight.finding import Colour, worst
    from capture.preflight.preflight import preflight as measure
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar
    from devices.rig import load_rig

    described, place, console = load_rig(rig), Workspace.at(workspace), open_console()
    with progress_bar(open_console(stderr=True)) as progress:
        findings = measure(
            described, place, duration_s=seconds(for_), hours=hours, checks=[Freshness()], progress=progress
        )
    if json:
        print(findings_json(described.name, findings))
    else:
        console.print(findings_table(findings))
        console.print(verdict_line(described.name, findings))
    if worst(findings) is Colour.RED:
        raise typer.Exit(code=1)


def import_kitti(
    folder: Annotated[
        Path, typer.Argument(help="A KITTI drive: image_02/, velodyne_points/, oxts/, calibration files.")
    ],
    again: Annotated[bool, typer.Option("--again", help="Take it in even if it was imported before.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="Where recordings/ and calibrations/ lie.")] = None,
) -> None:
    """Import a KITTI drive: its sensors as a recording, its calibration files as a calibration.

    Example: fieldrig import kitti 2011_09_26/2011_09_26_drive_0001_sync
    """
    from calibration.calibration import save
    from calibration.files import import_kitti_calibration
    from capture.importers.command import check_kind, print_imported
    from capture.importers.imported_before import check_is_new
    from capture.importers.kitti import drive_rig
    from capture.importers.kitti import import_kitti as import_drive
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar

    place, console = Workspace.at(workspace), open_console(soft_wrap=True)
    check_kind("kitti", folder)
    drive_rig(folder)
    if not again:
        check_is_new(folder, place)
    calibration = import_kitti_calibration(folder)
    with progress_bar(console) as bar:
        recording = import_drive(
            folder,
            place,
            lambda done, total, unit="messages": bar(f"importing {folder.name}: {done} {unit}", done / max(total, 1)),
        )
    print_imported(recording, console)
    console.print(f"calibration {save(calibration, place)}")
