"""What commands of several stages ask for in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(help="The workspace; else the nearest folder upwards with fieldrig.toml, else this folder."),
]
RecordingArgument = Annotated[Path, typer.Argument(help="A recording's folder or ID.", metavar="RECORDING")]
