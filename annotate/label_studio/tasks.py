"""From a frame and its pre-labels to a Label Studio task.

A box on the picture is a rotated rectangle: x and y (percent of the picture) are its own top left corner after it was turned
clockwise about that corner, width runs along the heading. The formulas invert those of results.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from annotate.birdseye import View
from annotate.label_studio.screen import BIRDSEYE, BOX, CAMERAS, FRONT, FRONT_OK, GUIDELINE
from annotate.labels import Cuboid
from annotate.prelabel.boxes import PreLabel
from annotate.prelabel.prelabels import NAME

if TYPE_CHECKING:
    from annotate.keyframes import Keyframe

Result = dict[str, Any]  # one entry of Label Studio's result list


def task(
    keyframe: Keyframe, calibration_id: str, view: View, urls: Mapping[str, str], prelabels: Sequence[PreLabel]
) -> dict[str, Any]:
    """What the server imports. urls: of the pictures, by the screen's names for them.

    Times stand as text: a browser's numbers end at 2^53.
    """
    spans = [
        {name: str(value) if name.endswith("_ns") else value for name, value in asdict(s).items()}
        for s in keyframe.spans
    ]
    ids = [f"o{k + 1:03d}" for k in range(len(prelabels))]
    regions = [result for k, box in zip(ids, prelabels, strict=True) for result in region_from_prelabel(k, box, view)]
    return {
        "data": {
            "uid": keyframe.uid,
            BIRDSEYE: urls[BIRDSEYE],
            CAMERAS: urls[CAMERAS],
            "t_ns": str(keyframe.t_ns),
            "recording": keyframe.recording_id,
            "calibration": calibration_id,
            "lidar": keyframe.lidar,
            "guideline": GUIDELINE,
            "view": asdict(view),
            "spans": spans,
            "tracks": {k: box.track for k, box in zip(ids, prelabels, strict=True) if box.track is not None},
        },
        "predictions": [{"model_version": NAME, "score": _mean_score(prelabels), "result": regions}],
    }


def region_from_cuboid(cuboid: Cuboid, view: View, text: str = "") -> list[Result]:
    """A cuboid as a region of the screen: its rectangle, and that its front is right. The region's id is the cuboid's."""
    return _region(cuboid.id, cuboid.category, view, cuboid.center_m, cuboid.size_m, cuboid.yaw_rad, text)


def region_from_prelabel(region_id: str, box: PreLabel, view: View) -> list[Result]:
    text = f"{region_id} pts {box.num_points} score {box.score:.2f}" + (f" track {box.track}" if box.track else "")
    return _region(region_id, box.category, view, box.center_m, box.size_m, box.yaw_rad, text)


def rectangle(view: View, center_m: ArrayLike, size_m: ArrayLike, yaw_rad: float) -> dict[str, float]:
    """The rectangle of a box in plan: x y width height in percent, rotation in degrees clockwise in [0, 360).

    center_m, size_m: (2 or 3,), of which the plan's part is used.
    """
    turn = -yaw_rad
    length, width = (np.asarray(size_m, dtype=np.float64)[:2] / view.m_per_px).tolist()
    ((u, v),) = view.pixels(np.asarray(center_m, dtype=np.float64)[None, :2])
    cos, sin = np.cos(turn), np.sin(turn)
    x = u - length / 2 * cos + width / 2 * sin
    y = v - length / 2 * sin - width / 2 * cos
    return {
        "x": float(x / view.width_px * 100),
        "y": float(y / view.height_px * 100),
        "width": length / view.width_px * 100,
        "height": width / view.height_px * 100,
        "rotation": float(np.degrees(turn) % 360),
    }


def _region(
    region_id: str, category: str, view: View, center_m: ArrayLike, size_m: ArrayLike, yaw_rad: float, text: str
) -> list[Result]:
    value = rectangle(view, center_m, size_m, yaw_rad)
    common: Result = {
        "id": region_id,
        "to_name": BIRDSEYE,
        "original_width": view.width_px,
        "original_height": view.height_px,
        "image_rotation": 0,
    }
    box = {**common, "from_name": BOX, "type": "rectanglelabels", "value": {**value, "rectanglelabels": [category]}}
    front = {**common, "from_name": FRONT, "type": "choices", "value": {**value, "choices": [FRONT_OK]}}
    return [{**box, "meta": {"text": [text]}} if text else box, front]


def _mean_score(prelabels: Sequence[PreLabel]) -> float:
    return float(np.mean([box.score for box in prelabels])) if prelabels else 0.0
