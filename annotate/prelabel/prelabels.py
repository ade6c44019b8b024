"""A keyframe's guesses: ground away, the rest into clusters, a box around each, the likely ones kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotate.prelabel.boxes import PreLabel, fit_box
from annotate.prelabel.clusters import find_clusters, parts_beside_walls
from annotate.prelabel.ground import Ground

NAME = "fieldrig clusters 1"  # who a pre-label is from: Label Studio's model version, a cuboid's annotator
_LIKELY = 0.45
_MOST = 60


def find_prelabels(points_m: NDArray[np.floating], ground: Ground, reach_m: float) -> list[PreLabel]:
    """The likeliest boxes, at most 60, best first. points_m: (N, 3), the ones that the ground was found in.

    reach_m: how far along either axis; a box whose middle lies further could not be drawn by a person either.
    """
    boxes = []
    for cluster in find_clusters(points_m, ground.height_m, reach_m):
        whole = fit_box(points_m[cluster], ground.height_m[cluster])
        parts = [] if whole is not None else parts_beside_walls(points_m, cluster)
        beside = [fit_box(points_m[part], ground.height_m[part]) for part in parts]
        # A person by a wall cannot be told from a piece of it.
        boxes += [whole, *(box for box in beside if box is not None and box.category != "pedestrian")]
    likely = [box for box in boxes if box is not None and box.score >= _LIKELY]
    within = [_standing_on(ground, box) for box in likely if np.abs(box.center_m[:2]).max() <= reach_m]
    return sorted(within, key=lambda box: -box.score)[:_MOST]


def _standing_on(ground: Ground, box: PreLabel) -> PreLabel:
    """The box moved down or up to the ground beneath its middle."""
    level = float(ground.level_at(box.center_m[None])[0])
    return replace(box, center_m=np.array([*box.center_m[:2], level + box.size_m[2] / 2]))
