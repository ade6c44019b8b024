"""Small pictures of many sensors: on one sheet as a file, and one by one on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from devices.cameras.thumbnail import SIZE_PX, Thumbnail

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from rich.text import Text

_COLUMNS = 3
_CAPTION_PX, _MARGIN_PX, _LETTER_PX = 40, 10, 14
_PAPER, _INK, _BLANK = (255, 255, 255), (20, 20, 20), (210, 210, 210)
_UPPER_HALF = "▀"


def contact_sheet(pictures: Sequence[Thumbnail], captions: Sequence[str]) -> bytes:
    """A PNG file: each picture with its caption below, a grey field with the reason where there is none."""
    from PIL import Image, ImageDraw

    columns = max(1, min(_COLUMNS, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    step_x, step_y = SIZE_PX[0] + _MARGIN_PX, SIZE_PX[1] + _CAPTION_PX + _MARGIN_PX
    sheet = Image.new("RGB", (columns * step_x + _MARGIN_PX, rows * step_y + _MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _MARGIN_PX + number % columns * step_x, _MARGIN_PX + number // columns * step_y
        if picture.pixels is None:
            draw.rectangle((left, top, left + SIZE_PX[0] - 1, top + SIZE_PX[1] - 1), fill=_BLANK)
            _write(draw, left + 6, top + 6, picture.why)
        else:
            sheet.paste(Image.fromarray(picture.pixels), (left, top))
        _write(draw, left, top + SIZE_PX[1] + 4, caption)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _write(draw: ImageDraw, left: int, top: int, text: str) -> None:
    """In lines that are no wider than a picture."""
    from PIL import ImageFont

    font = ImageFont.load_default(_LETTER_PX)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and draw.textlength(longer, font) > SIZE_PX[0] - 12:
            lines.append(word)
        else:
            lines[-1] = longer
    draw.multiline_text((left, top), "\n".join(lines[:12]), fill=_INK, font=font, spacing=2)


def half_blocks(pixels: NDArray[np.uint8], columns: int) -> Text:
    """(H, W, 3) RGB as text so many columns wide: a letter shows two pixels, one above the other. rich knows what a terminal can colour."""
    import cv2
    from rich.text import Text

    rows = max(1, round(pixels.shape[0] / pixels.shape[1] * columns / 2))
    small = cv2.resize(pixels, (columns, 2 * rows), interpolation=cv2.INTER_AREA)
    text = Text()
    for row in range(rows):
        for upper, lower in zip(small[2 * row].tolist(), small[2 * row + 1].tolist(), strict=True):
            text.append(_UPPER_HALF, style=f"rgb({_rgb(upper)}) on rgb({_rgb(lower)})")
        text.append("\n")
    return text


def _rgb(pixel: Sequence[int]) -> str:
    return ",".join(map(str, pixel))
