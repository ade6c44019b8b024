"""fieldrig label serve, push, pull."""

from __future__ import annotations

from typing import Annotated

import typer

from calibration.arguments import CalibrationOption
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
    from contextlib import ExitStack

    from annotate.interrupt import ended_like_ctrl_c
    from annotate.label_studio.server import Server
    from capture.workspace import Workspace
    from devices.console import open_console

    console = open_console(soft_wrap=True)
    server = Server(Workspace.at(workspace).label_studio, port)
    try:
        with ended_like_ctrl_c(), ExitStack() as running:
            with progress_bar(console) as progress:
                running.enter_context(server.started(progress))
            access = f"user     {server.user}\npassword {server.password}"
            console.print(f"Label Studio runs at {server.url}\n{access}")
            server.stay()
    except KeyboardInterrupt:
        console.print("stopped")


def push(
    recording: RecordingArgument,
    project: ProjectOption = "find",
    every: Annotated[float, typer.Option(help="Seconds from one frame to the next; 0 takes every sweep.", min=0)] = 0.5,
    calibration: CalibrationOption = None,
    port: PortOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Send a recording's frames with pre-labels to Label Studio. Frames that are there already stay as they are.

    Example: fieldrig label push 20260131T120000Z-van-ab3k --project yard --every 0.5
    """
    from annotate.interrupt import ended_like_ctrl_c
    from annotate.label_studio.push import push as send
    from annotate.label_studio.server import Server
    from calibration.lookup import caveats, look_up
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    opened = open_recording(place.recording(recording))
    used = look_up(place, opened.rig.name, calibration)
    every_ns = round(every * 1e9) or None
    server = Server(place.label_studio, port)
    with ended_like_ctrl_c(), progress_bar(console) as progress, server.started(progress):
        report = send(server, place, project, opened, used, every_ns, progress)
    doubles = f", {report.doubles} doubles removed" if report.doubles else ""
    console.print(
        f"{report.sent} frames sent, {report.already_there} were there already{doubles}; {report.prelabels} pre-labels"
    )
    for line in (*report.left_out, *caveats(used, opened.rig.name)):
        console.print(line, style="yellow")
    console.print("To label them: fieldrig label serve")


def pull(project: ProjectOption = "find", port: PortOption = None, workspace: WorkspaceOption = None) -> None:
    """Fetch finished labels as cuboids in the lidar's frame. Without a change since the last time, nothing is stored.

    Example: fieldrig label pull --project yard
    """
    from annotate.interrupt import ended_like_ctrl_c
    from annotate.label_studio.pull import pull as fetch
    from annotate.label_studio.server import Server
    from capture.workspace import Workspace
    from devices.console import open_console

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    server = Server(place.label_studio, port)
    with ended_like_ctrl_c(), progress_bar(console) as progress, server.started(progress):
        report = fetch(server, place, project, progress)
    if report.revision == 0:
        console.print(f"nothing is labelled yet: {report.open} frames are open, {report.skipped} were skipped")
    else:
        made = "new revision" if report.is_new else "no change since revision"
        console.print(
            f"{made} {report.revision}: {report.cuboids} cuboids in {report.frames} frames, {report.open} frames are open, "
            f"{report.skipped} were skipped"
        )
    if report.replaced:
        console.print(f"{report.replaced} annotations were left out: of one frame only the one saved last counts")
    if report.kept:
        console.print(
            f"{report.kept} frames keep the labels that they had: no annotation of them that can be read is on the server now",
            style="yellow",
        )
    for line in report.broken:
        console.print(f"passed over: {line}", style="yellow")
