"""fieldrig label serve, push, pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capture.commands.arguments import RecordingArgument, WorkspaceOption
from devices.progress import progress_bar

ProjectOption = Annotated[str, typer.Option(help="The labelling project's name.")]
PortOption = Annotated[
    int | None, typer.Option(help="The server's port; else the last one used, or a free one.", min=1, max=65535)
]


def serve(port: PortOption = None, workspace: WorkspaceOption = None) -> None:
    """Run the workspace's Label Studio server until Ctrl+C, and say how to log in.

    Example: fieldrig label serve --port 8080
    """
    import signal

    from annotate.label_studio.server import Server
    from capture.workspace import Workspace
    from devices.console import open_console

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended like Ctrl+C: the server goes, too
    console = open_console(soft_wrap=True)
    server = Server(Workspace.at(workspace).label_studio, port)
    try:
        with progress_bar(console) as progress:
            server.start(progress)
        with server:
            access = f"user     {server.user}\npassword {server.password}"
            console.print(f"Label Studio runs at {server.url}\n{access}")
            server.stay()
    except KeyboardInterrupt:
        console.print("stopped")


def push(
    recording: RecordingArgument,
    project: ProjectOption = "find",
    every: Annotated[float, typer.Option(help="Seconds from one frame to the next; 0 takes every sweep.", min=0)] = 0.5,
    calibration: Annotated[Path | None, typer.Option(help="A calibration file; else the rig's newest.")] = None,
    port: PortOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Send a recording's frames with pre-labels to Label Studio. Frames that are there already stay as they are.

    Example: fieldrig label push 20260131T120000Z-van-ab3k --project yard --every 0.5
    """
    from annotate.label_studio.push import push as send
    from annotate.label_studio.server import Server
    from calibration.calibration import latest, load
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    opened = open_recording(place.recording(recording))
    used = latest(place, opened.rig.name) if calibration is None else load(calibration)
    every_ns = round(every * 1e9) or None
    with progress_bar(console) as progress, Server(place.label_studio, port).started(progress) as server:
        report = send(server, place, project, opened, used, every_ns, progress)
    doubles = f", {report.doubles} doubles removed" if report.doubles else ""
    console.print(
        f"{report.sent} frames sent, {report.already_there} were there already{doubles}; {report.prelabels} pre-labels"
    )
    console.print("To label them: fieldrig label serve")


def pull(project: ProjectOption = "find", port: PortOption = None, workspace: WorkspaceOption = None) -> None:
    """Fetch finished labels as cuboids in the lidar's frame. Without a change since the last time, nothing is stored.

    Example: fieldrig label pull --project yard
    """
    from annotate.label_studio.pull import pull as fetch
    from annotate.label_studio.server import Server
    from capture.workspace import Workspace
    from devices.console import open_console

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    with progress_bar(console) as progress, Server(place.label_studio, port).started(progress) as server:
        report = fetch(server, place, project, progress)
    if report.revision == 0:
        console.print(f"nothing is labelled yet: {report.open} frames are open, {report.skipped} were skipped")
    else:
        made = "new revision" if report.is_new else "no change since revision"
        console.print(
            f"{made} {report.revision}: {report.cuboids} cuboids in {report.frames} frames, {report.open} frames are open"
        )
    for line in report.broken:
        console.print(f"passed over: {line}", style="yellow")
