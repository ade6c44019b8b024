"""Video as a camera's encoder gives it: access units, one a picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np


def encoded_video(
    encoder: str,
    count: int,
    *,
    key_every: int = 10,
    reordered: bool = False,
    slices: int = 1,
    pictures: Sequence[np.ndarray] = (),
) -> list[bytes]:
    """libx264 or libx265 on pictures, by default ones of 64 x 48 of which each is the last one shifted. reordered: with B-frames."""
    base = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    pictures = pictures or [np.roll(base, number, axis=1) for number in range(count)]
    context: Any = av.CodecContext.create(encoder, "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    own = f"keyint={key_every}:repeat-headers=1:bframes={2 if reordered else 0}:slices={slices}:open-gop=0"
    context.options = {"x264-params": own} if encoder == "libx264" else {"x265-params": own + ":log-level=none"}
    if not reordered:
        context.options |= {"tune": "zerolatency"}
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        packets += context.encode(frame)
    return [bytes(packet) for packet in [*packets, *context.encode(None)]]
