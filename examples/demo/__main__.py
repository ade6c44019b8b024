"""`python -m examples.demo`: the whole road on the virtual rig, or with --input on a KITTI drive."""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module
from pathlib import Path

from annotate.label_studio.server import Server
from capture.workspace import Workspace
from devices.console import open_console
from devices.errors import FieldrigError
from examples.demo.kitti_road import walk_kitti
from examples.demo.road import Road
from examples.demo.scorecard import missed, print_scorecard
from examples.demo.seal import Seal
from examples.demo.virtual_road import walk_virtual


def main() -> int:
    arguments = _arguments()
    # Now, before anything is started: an interrupt in the midst of these would end the process past every `finally`.
    for library in ("cv2", "open3d"):
        import_module(library)
    for ended_by in (signal.SIGTERM, signal.SIGHUP):  # a job's end, a closed terminal: as Ctrl+C
        if signal.getsignal(ended_by) is signal.SIG_DFL:  # nohup's wish stands
            signal.signal(ended_by, signal.default_int_handler)
    console = open_console(soft_wrap=True)
    # One workspace for all roads: Label Studio's first boot, with its migrations, happens once.
    workspace = Workspace.at(arguments.folder / "workspace")
    server = Server(workspace.label_studio)
    road = Road(
        arguments.folder if arguments.input is None else arguments.folder / arguments.input.name,
        workspace,
        server,
        console,
        Seal(),
    )
    try:
        report = (
            walk_virtual(road, arguments.folder / "cache")
            if arguments.input is None
            else walk_kitti(road, arguments.input)
        )
    except FieldrigError as error:
        if arguments.traceback:
            raise
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; run it again, what was rendered is kept", file=sys.stderr)
        return 130
    finally:
        server.stop()
    print_scorecard(console, road.scorecard)
    console.print(f"report {report}")
    failures = missed(road.scorecard)
    for failure in failures:
        print(f"demo: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--input", type=Path, help="a KITTI drive instead of the virtual rig")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes (default: demo)")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
