"""fieldrig calibrate, overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar

    console, place = open_console(soft_wrap=True), Workspace.at(workspace)
    opened = open_recording(place.recording(recording))
    if import_kitti is not None:
        calibration = import_kitti_calibration(import_kitti, opened.rig.name)
    else:
        with progress_bar(console) as progress:
            calibration = calibrate_recording(opened, progress)
    path = save(calibration, place)
    console.print(_table(calibration))
    for reason in calibration.reasons:
        console.print(f"  {reason}")
    console.print(f"calibration {path}")


def overlay(
    recording: RecordingArgument,
    out: Annotated[Path, typer.Option(help="The picture to write.", metavar="PICTURE.png")] = Path("overlay.png"),
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration file; else the rig's newest.", metavar="ID.json")
    ] = None,
    at: Annotated[float, typer.Option(help="Seconds after the recording's start.", metavar="SECONDS")] = 0.0,
    camera: Annotated[str, typer.Option(help="Which camera; else the first.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Draw the lidar's cloud on a camera's image, coloured by depth: points should sit on what they hit.

    Example: fieldrig overlay recordings/20250102T030405Z-van-k3f9 --at 3.5 --out overlay.png
    """
    from calibration.calibration import latest, load
    from calibration.overlay import overlay_at
    from capture.recording import open_recording
    from capture.workspace import Workspace
    from devices.console import open_console

    place = Workspace.at(workspace)
    opened = open_recording(place.recording(recording))
    known = latest(place, opened.rig.name) if calibration is None else load(calibration)
    drawn = overlay_at(opened, known, at_ns=opened.start_ns + round(at * 1e9), camera=camera or None)
    drawn.save(out)
    console = open_console(soft_wrap=True)
    console.print(f"{out}: {drawn.camera}, picture {drawn.residual_ns / 1e6:+.1f} ms from the sweep's middle")
    if known.verdict != "good":
        console.print(f"calibration {known.id} is {known.verdict}: {'; '.join(known.reasons)}")


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
