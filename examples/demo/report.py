"""demo/report.html: what the road did, stage by stage, in pictures and figures. One file that can be mailed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.cameras.picture import jpeg as encoded


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of a stage's table. beside: what it is to be read against, in words (the truth, a limit); met: None where nothing is asked."""

    name: str
    value: str
    beside: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """jpeg or png bytes with the sentence that stands under them."""

    name: str
    caption: str
    media_type: str
    data: bytes

    @property
    def source(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


@dataclass(slots=True)
class Stage:
    """One stage of the road as the report tells it."""

    name: str
    story: str
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def jpeg(name: str, caption: str, pixels: NDArray[np.uint8]) -> Picture:
    """pixels: (H, W, 3) uint8 RGB."""
    return Picture(name, caption, "image/jpeg", encoded(pixels, quality=88))


def write_report(
    path: Path, title: str, notes: Sequence[str], stages: Sequence[Stage], scorecard: Mapping[str, Any]
) -> None:
    """Render report.html.j2 beside this file, and put every picture under pictures/ beside the report as a file too."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    page = here.get_template("report.html.j2").render(title=title, notes=notes, stages=stages, scorecard=scorecard)
    path.write_text(page, encoding="utf-8")
    pictures = path.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    for picture in (picture for stage in stages for picture in stage.pictures):
        ending = "jpg" if picture.media_type == "image/jpeg" else "png"
        (pictures / f"{picture.name}.{ending}").write_bytes(picture.data)
