"""fieldrig preflight, import kitti, calibrate, overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibration.arguments import CalibrationOption
from capture.commands.arguments import RecordingArgument, WorkspaceOption

if TYPE_CHECKING:
    from rich.table import Table

    from calibration.calibration import Calibration


def calibrate(
    recording: RecordingArgument,
    import_kitti: Annotated[
        Path | None,
        typer.Option(
            help="Take the calibration from a KITTI drive's files instead of from the board.", metavar="FOLDER"
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Calibrate a rig from a recording of the board held still in twenty poses; the file says how far it can be
    trusted.

    Example: fieldrig calibrate recordings/20250102T030405Z-van-k3f9
    """
    from calibration.calibrate import calibrate as calibrate_recording
    from calibration.calibration import save
    from calibration.files import import_kitti_calibration
    from calibration.left_out import LeftOut
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    opened, left_out = open_recording(place.recording(recording)), LeftOut()
    if import_kitti is not None:
        calibration = import_kitti_calibration(import_kitti, opened.rig.name)
    else:
        with progress_bar(console) as progress:
            calibration = calibrate_recording(opened, progress, left_out)
    path = save(calibration, place)
    console.print(_table(calibration))
    for line in (*calibration.reasons, *left_out.lines(opened)):
        console.print(f"  {line}")
    console.print(f"calibration {path}")


def overlay(
    recording: RecordingArgument,
    out: Annotated[Path, typer.Option(help="The picture to write.", metavar="PICTURE.png")] = Path("overlay.png"),
    calibration: CalibrationOption = None,
    at: Annotated[float, typer.Option(help="Seconds after the recording's start.", metavar="SECONDS")] = 0.0,
    camera: Annotated[str, typer.Option(help="Which camera; else the first.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Draw the lidar's cloud on a camera's image, coloured by depth: points should sit on what they hit.

    Example: fieldrig overlay recordings/20250102T030405Z-van-k3f9 --at 3.5 --out overlay.png
    """
    from calibration.lookup import caveats, look_up
    from calibration.overlay import overlay_at
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    place = Workspace.at(workspace)
    opened = open_recording(place.recording(recording))
    known = look_up(place, opened.rig.name, calibration)
    drawn = overlay_at(opened, known, at_ns=opened.start_ns + round(at * 1e9), camera=camera or None)
    drawn.save(out)
    console = open_console(soft_wrap=True)
    console.print(f"{out}: {drawn.camera}, picture {drawn.residual_ns / 1e6:+.1f} ms from the sweep's middle")
    for line in (*drawn.notes, *caveats(known, opened.rig.name)):
        console.print(line)


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
        typer.echo(findings_json(described.name, findings))
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


def _table(calibration: Calibration) -> Table:
    from rich.table import Table
    from rich.text import Text

    colours = {"good": "green", "doubtful": "yellow", "refused": "red"}

    def coloured(verdict: str) -> Text:
        return Text(verdict, colours[verdict])

    title = Text.assemble(f"rig {calibration.rig}: ", coloured(calibration.verdict))
    table = Table(title=title, title_justify="left")
    for column in ("sensor", "what", "figure", "verdict"):
        table.add_column(column)
    for name, camera in calibration.cameras.items():
        rms = "imported" if camera.rms_px is None else f"{camera.rms_px:.3f} px RMS over {camera.views} views"
        sure = f", focal length ± {100 * camera.sigma[0] / camera.model.fx:.2f} %" if camera.sigma else ""
        table.add_row(name, "lens", rms + sure, coloured(camera.verdict))
    for name, mount in calibration.mounts.items():
        sure = "no uncertainty known"
        if mount.sigma_deg is not None and mount.sigma_m is not None:
            sure = (
                f"± {mount.sigma_deg:.2f} deg, ± {1e3 * mount.sigma_m:.1f} mm"
                if mount.sigma_m
                else "exact: it defines the rig frame"
            )
        table.add_row(name, "mounting", sure, coloured(mount.verdict))
    for name, offset in calibration.time_offsets.items():
        sure = "" if offset.sigma_ns is None else f" ± {offset.sigma_ns / 1e6:.2f} ms"
        table.add_row(
            name,
            "latency",
            f"{offset.latency_ns / 1e6:.2f} ms{sure}, {offset.source}",
            coloured(offset.verdict),
        )
    return table
