"""The program: the one place that knows all stages. It parses, calls one function and prints.

Nothing that takes time to load stands above main(), so that Ctrl+C ends it in order from its first instant.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import types

    import typer

INTERRUPTED = 130  # the exit code: 128 and the signal's number


class Command(NamedTuple):
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
    Command(
        ("preflight",), "calibration.commands:preflight", "Check a rig, this machine and its disk before recording."
    ),
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
    Command(
        ("import", "kitti"),
        "calibration.commands:import_kitti",
        "Import a KITTI drive: its sensors and its calibration.",
    ),
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

# By its first word: how things stand when Ctrl+C, or a kill, has ended a command that takes long.
LEFT = {
    "import": "an import that is not finished leaves nothing behind; the same command begins again",
    "offload": "what has arrived stays, and nothing that is not whole there was deleted here; the same command goes on where it was",
    "verify": "nothing was changed; the same command begins again",
    "label": "what was sent or stored is whole; the same command goes on from there",
    "export": "an export that is not finished leaves nothing behind; the same command begins again",
    "check": "nothing was changed; the same command begins again",
}


def main() -> None:
    """Run the command on sys.argv. Ctrl+C ends it at any time with exit code 130, without a traceback."""
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nohup and "&" may want it ignored
    if is_heeded:
        signal.signal(signal.SIGINT, _leave)  # while it loads, nothing has begun
    import typer  # noqa: F401 -- now, while an interrupt costs nothing

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(sys.argv[1:])


def _leave(_number: int, _frame: types.FrameType | None) -> None:
    os._exit(INTERRUPTED)


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
    from devices.errors import FieldrigError

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
    import typer

    root = typer.Typer(
        help="From the sensors of a field rig to a dataset that trains robots. Add --traceback to see where an error came from.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @root.callback()
    def of_all_commands(
        version: bool = typer.Option(
            False, "--version", callback=_say_version, is_eager=True, help="Say which fieldrig this is."
        ),
    ) -> None: ...

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
        import typer

        from capture.recording_info import software

        made_of = software()
        typer.echo(f"fieldrig {made_of['fieldrig']}, Python {made_of['python']}, {made_of['system']}")
        raise typer.Exit


def _mount_importers(group: typer.Typer, words: Sequence[str]) -> None:
    """A command for each importer that has none of its own above."""
    from capture.importers import importer, importers
    from capture.importers.command import command_of

    own = {command.words[1] for command in COMMANDS if command.words[0] == "import"}
    for name in sorted(importers().keys() - own):
        group.command(name, short_help=importer(name).line)(command_of(name) if name in words[:1] else _not_called)


def _not_called() -> None:
    """Stands in for a command that these words do not call."""


if __name__ == "__main__":
    main()
