"""python -m capture.dashboard WORKSPACE RIG.toml: the crew's page. `fieldrig record` starts it, and again when it ends.

Says its port in a line on standard output; further lines are for a person. When the end of its standard input shows that the recorder's
command has died, it stays to say so to those who look; it leaves when a new recorder, which brings a page of its own, has come, when nobody
looks any more, or after ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from capture.dashboard.access import Access
from capture.dashboard.addresses import LOOPBACK, PORT, PORT_MAX, TOKEN_VARIABLE
from capture.dashboard.announcer import Announcer
from capture.dashboard.forerunner import forerunner_port, word_left
from capture.dashboard.gallery import Gallery
from capture.dashboard.link import LOST_AFTER_S, RecorderLink
from capture.dashboard.panel import PanelBoard, load_panel
from capture.dashboard.server import Dashboard, application
from capture.errors import CaptureError
from capture.speaker import Speaker
from capture.workspace import Workspace
from devices.errors import FieldrigError
from devices.rig import Rig, load_rig

if TYPE_CHECKING:
    import uvicorn

_NICE = 10
_STAYS_S, _UNSEEN_S = 600.0, 5.0
_LISTEN_BACKLOG = 128
_CLOSE_S = 1
_FORERUNNER_S = 6.0  # the page of a recorder that was killed leaves when it hears the new one


def main() -> int:
    arguments = _arguments()
    try:
        _serve(arguments)
    except FieldrigError as error:
        print(f"fieldrig: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _serve(arguments: argparse.Namespace) -> None:
    """Until it is told to end."""
    import uvicorn

    _step_back()
    token = os.environ.get(TOKEN_VARIABLE, "")
    if arguments.host not in LOOPBACK and not token:
        raise CaptureError(f"a page that listens at {arguments.host} needs a token in {TOKEN_VARIABLE}")
    rig, workspace = load_rig(arguments.rig), Workspace.at(arguments.workspace)
    with contextlib.ExitStack() as stack:
        dashboard = _dashboard(rig, workspace, arguments, stack)
        is_awaited = forerunner_port(workspace, rig.name) == arguments.port
        listener = _listener(arguments.host, arguments.port, arguments.ports_tried, _FORERUNNER_S * is_awaited)
        port = listener.getsockname()[1]
        app = application(dashboard, Access(token), is_ending=lambda: server.should_exit)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=_CLOSE_S, lifespan="off")
        server = uvicorn.Server(config)
        if arguments.supervised:
            orphan = threading.Thread(target=_leave_in_time, args=(server, dashboard), daemon=True)
            orphan.start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what uvicorn hands back once it has closed
        print(port, flush=True)  # noqa: T201
        if arguments.foxglove is not None:
            _serve_foxglove(rig.name, arguments.foxglove, dashboard, stack)
        stack.enter_context(word_left(workspace, rig.name, port))
        server.run(sockets=[listener])


def _dashboard(rig: Rig, workspace: Workspace, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> Dashboard:
    """All that the page shows, alive; the stack ends it."""
    panels = [load_panel(reference, rig, workspace) for reference in arguments.panel]
    speaker = stack.enter_context(contextlib.closing(Speaker([] if arguments.silent else None)))
    link = stack.enter_context(contextlib.closing(RecorderLink(workspace, rig.name)))
    announcer = stack.enter_context(contextlib.closing(Announcer(speaker, lambda: link.unseen_alarms)))
    board = stack.enter_context(contextlib.closing(PanelBoard(panels, lambda: link.state)))
    link.start(announcer.heard)
    return Dashboard(link, Gallery(rig, lambda stream: link.client().preview(stream)), board)


def _serve_foxglove(rig: str, port: int, dashboard: Dashboard, stack: contextlib.ExitStack) -> None:
    """The page does without it where it cannot be had."""
    from capture.dashboard.foxglove_view import FoxgloveView

    try:
        view = FoxgloveView(rig, port, dashboard.gallery, lambda: dashboard.link.state, _say)
    except CaptureError as error:
        _say(str(error))
        return
    stack.enter_context(contextlib.closing(view))
    _say(f"live view: {view.address} in Foxglove")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _leave_in_time(server: uvicorn.Server, dashboard: Dashboard) -> None:
    sys.stdin.buffer.read()
    left_alone_s = time.monotonic()
    time.sleep(2 * LOST_AFTER_S)  # until it shows on the link, too
    while (
        dashboard.link.is_lost and dashboard.viewers.gone_s < _UNSEEN_S and time.monotonic() - left_alone_s < _STAYS_S
    ):
        time.sleep(LOST_AFTER_S / 2)
    server.should_exit = True


def _listener(host: str, port: int, tries: int, patience_s: float) -> socket.socket:
    """A socket that listens at the port, or at the next that is free where it is taken for longer than patience_s.

    Raises CaptureError when there is none.
    """
    until_s = time.monotonic() + patience_s
    while (listener := _listening(host, port)) is None and time.monotonic() < until_s:
        time.sleep(0.1)
    for number in range(port + 1, min(port + tries, PORT_MAX + 1)):
        listener = listener or _listening(host, number)
    if listener is None:
        raise CaptureError(
            f"the page cannot listen at {host}, port {port} to {port + tries - 1}: all are taken, or the address is not "
            "this machine's; give another --page-port or --page-host"
        )
    return listener


def _listening(host: str, port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what its forerunner left in TIME_WAIT
    try:
        listener.bind((host, port))
        listener.listen(_LISTEN_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener


def _step_back() -> None:
    """The recorder comes first, whatever this process has to draw."""
    import cv2

    cv2.setNumThreads(1)
    if sys.platform != "win32":
        os.nice(_NICE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m capture.dashboard", description="The crew's page.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("rig", type=Path, metavar="RIG.toml")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; beyond this machine only with a token")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--ports-tried", type=int, default=1, help="how many ports from there on")
    parser.add_argument("--panel", action="append", default=[], metavar="MODULE:NAME")
    parser.add_argument("--foxglove", type=int, metavar="PORT", help="a live view for the Foxglove app, too")
    parser.add_argument("--silent", action="store_true", help="no sounds on this machine")
    parser.add_argument("--supervised", action="store_true", help="leave some time after standard input has ended")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
