"""What commands of several stages ask for in the same words."""

from __future__ import annotations

from typing import Annotated

import typer

CalibrationOption = Annotated[
    str | None,
    typer.Option(
        help="A calibration, by its ID or its file; else the one that the labels were made with, or the rig's newest.",
        metavar="ID|FILE",
    ),
]
