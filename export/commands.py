"""The commands of this stage: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.arguments import CalibrationOption
from capture.commands.arguments import WorkspaceOption


def export(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, by folder or by ID.")],
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="lerobot, nuscenes; may be given several times; all when not.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Whose labels to take; the newest revision.")] = None,
    calibration: CalibrationOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write recordings and their labels as the next version of a dataset, in one or more formats.

    Example: fieldrig export 20250102T030405Z-van-a1b2 --name yard --project boxes --format lerobot --format nuscenes
    """
    from annotate.interrupt import ended_like_ctrl_c
    from capture.workspace import Workspace
    from devices.console import open_console
    from devices.progress import progress_bar
    from export.publish import export_recordings

    console = open_console(soft_wrap=True)
    with ended_like_ctrl_c(), progress_bar(console) as progress:
        reports = export_recordings(
            Workspace.at(workspace),
            recordings,
            name=name,
            formats=formats or (),
            project=project,
            calibration=calibration,
            progress=progress,
        )
    for report in reports:
        figures = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in report.figures.items())
        console.print(f"{report.folder}  {figures}")
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        console.print(f"note: {note}")


def check(folder: Annotated[Path, typer.Argument(help="A dataset in one format: datasets/NAME/vN/FORMAT.")]) -> None:
    """Open a dataset with its real consumer and reconcile it with what it should hold; exit 1 when it fails.

    Example: fieldrig check datasets/yard/v1/lerobot
    """
    from annotate.interrupt import ended_like_ctrl_c
    from devices.console import open_console
    from devices.progress import progress_bar
    from export.check import check as check_folder

    console = open_console(soft_wrap=True)
    with ended_like_ctrl_c(), progress_bar(console) as progress:
        report = check_folder(folder, progress)
    for name, value in report.figures.items():
        console.print(f"{name.replace('_', ' '):32} {value}")
    for note in report.notes:
        console.print(f"note: {note}")
    for problem in report.problems:
        console.print(f"problem: {problem}")
    console.print(f"{report.format} {report.verdict}")
    if report.verdict == "fail":
        raise typer.Exit(1)
