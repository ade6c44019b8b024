"""A sweep seen from above, drawn to scale: ahead is up, heights are coloured, a grid in metres lies below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.transform import Transform

SIDE_PX = 480
GRID_M = {10: 2, 20: 5, 50: 10, 100: 20}  # metres to the picture's edge -> metres between two lines
# What a robot may meet. Above it ceilings and trees would hide everything; None: all that was measured.
ABOVE_GROUND_M = (-1.0, 3.0)
ABOUT_SENSOR_M = (-3.0, 1.5)  # where nobody has said how high the sensor sits
_BACKGROUND, _GRID, _TEXT = (10, 12, 14), (60, 66, 72), (225, 228, 232)
_DOT_PX = 3
_TEXT_SCALE = 0.75  # readable on a card a third of the size


@dataclass(frozen=True, slots=True)
class PlanView:
    """reach_m: from the middle to the edges. all_heights: nothing is left out for its height."""

    reach_m: int = 20
    all_heights: bool = False


def draw_birdseye(
    points_m: NDArray[np.float32], view: PlanView, rig_from_lidar: Transform | None = None
) -> NDArray[np.uint8]:
    """(N, 3) points in the lidar's frame -> (SIDE_PX, SIDE_PX, 3) uint8 RGB, in the rig's frame where the mounting is known."""
    points = np.asarray(points_m, dtype=np.float64) if rig_from_lidar is None else rig_from_lidar.apply(points_m)
    points = points[(np.abs(points[:, :2]) <= view.reach_m).all(axis=1) & np.isfinite(points[:, 2])]  # a NaN is nowhere
    low_m, high_m = ABOUT_SENSOR_M if rig_from_lidar is None else ABOVE_GROUND_M
    if view.all_heights:
        low_m, high_m = _extent(points[:, 2], (low_m, high_m))
    picture = np.full((SIDE_PX, SIDE_PX, 3), _BACKGROUND, dtype=np.uint8)
    _draw_grid(picture, view.reach_m)
    _draw_points(picture, points[(points[:, 2] >= low_m) & (points[:, 2] <= high_m)], view.reach_m, (low_m, high_m))
    about = "above ground" if rig_from_lidar is not None else "about the sensor"
    _draw_legend(picture, f"{low_m:.0f} to {high_m:+.0f} m {about}")
    return picture


def _extent(heights_m: NDArray[np.float64], otherwise: tuple[float, float]) -> tuple[float, float]:
    if len(heights_m) == 0:
        return otherwise
    return float(np.floor(heights_m.min())), float(np.ceil(heights_m.max()))


def _draw_points(
    picture: NDArray[np.uint8], points_m: NDArray[np.float64], reach_m: float, heights_m: tuple[float, float]
) -> None:
    import cv2

    if len(points_m) == 0:
        return
    points = points_m[np.argsort(points_m[:, 2], kind="stable")]  # what is higher hides what is lower
    scale = SIDE_PX / (2 * reach_m)
    row = np.floor((reach_m - points[:, 0]) * scale).astype(np.int64)
    column = np.floor((reach_m - points[:, 1]) * scale).astype(np.int64)
    low_m, high_m = heights_m
    share = np.clip((points[:, 2] - low_m) / max(high_m - low_m, 1e-6), 0.0, 1.0)
    level = (40 + 200 * share).astype(np.uint8)  # turbo's ends are nearly black
    colours = cv2.applyColorMap(level.reshape(-1, 1), cv2.COLORMAP_TURBO).reshape(-1, 3)[:, ::-1]
    for down in range(_DOT_PX):
        for right in range(_DOT_PX):
            r, c = row + down, column + right
            inside = (r >= 0) & (r < SIDE_PX) & (c >= 0) & (c < SIDE_PX)
            picture[r[inside], c[inside]] = colours[inside]


def _draw_grid(picture: NDArray[np.uint8], reach_m: int) -> None:
    import cv2

    step_m, middle = GRID_M[reach_m], SIDE_PX // 2
    for distance_m in range(0, reach_m + 1, step_m):
        for signed in {distance_m, -distance_m}:
            at = min(SIDE_PX - 1, round((reach_m - signed) * SIDE_PX / (2 * reach_m)))
            picture[at, :] = picture[:, at] = _GRID
    for distance_m in range(step_m, reach_m, step_m):
        at = round((reach_m - distance_m) * SIDE_PX / (2 * reach_m))
        _write(picture, f"{distance_m} m", (middle + 6, at + 24))
    nose = np.array([(middle, middle - 9), (middle - 6, middle + 7), (middle + 6, middle + 7)])
    cv2.fillPoly(picture, [nose], _TEXT)


def _draw_legend(picture: NDArray[np.uint8], text: str) -> None:
    picture[SIDE_PX - 32 :, :] = _BACKGROUND
    _write(picture, text, (6, SIDE_PX - 10))


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    import cv2

    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, _TEXT_SCALE, _TEXT, 2, cv2.LINE_AA)
