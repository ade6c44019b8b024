"""The bird's-eye picture that people draw boxes in: orthographic and metric, so that a pixel is a place.

The frame's x axis (ahead, for a lidar) points to the right, y up. Heights are coloured, ground is grey by its intensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GROUND_BELOW_M = 0.15
_HEIGHT_FULL_M = 3.0  # the upper end of the colour scale
_GRID_M = 10.0
_DOT_PX = 3
_BACKGROUND = (13, 15, 17)
_GRID_COLOUR = (70, 74, 80)
_SMALL_SCENE_M = 30.0


@dataclass(frozen=True, slots=True)
class View:
    """Which part of the plane a picture shows.

    left_m: x of the left edge. top_m: y of the top edge. Both in the frame drawn. A pixel is m_per_px square.
    """

    left_m: float
    top_m: float
    width_px: int
    height_px: int
    m_per_px: float

    @staticmethod
    def square(side_m: float, m_per_px: float = 0.05) -> View:
        """A square around the frame's origin."""
        pixels = round(side_m / m_per_px)
        return View(-side_m / 2, side_m / 2, pixels, pixels, m_per_px)

    @staticmethod
    def for_scene(points_m: NDArray[np.floating], height_m: NDArray[np.floating]) -> View:
        """80 m across, or 60 m where hardly anything (2 %) that stands above the ground lies further off than 30 m."""
        standing = points_m[height_m > _GROUND_BELOW_M]
        far = np.abs(standing[:, :2]).max(axis=1) > _SMALL_SCENE_M
        small = len(standing) > 0 and float(far.mean()) < 0.02
        return View.square(2 * _SMALL_SCENE_M if small else 80.0)

    def pixels(self, points_m: ArrayLike) -> NDArray[np.float64]:
        """(N, 2 or more) metres -> (N, 2): right and down from the picture's top left corner, in pixels."""
        points = np.asarray(points_m, dtype=np.float64)
        return np.column_stack([points[:, 0] - self.left_m, self.top_m - points[:, 1]]) / self.m_per_px

    def metres(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """The inverse of pixels()."""
        px = np.asarray(pixels, dtype=np.float64) * self.m_per_px
        return np.column_stack([self.left_m + px[:, 0], self.top_m - px[:, 1]])

    def shows(self, points_m: ArrayLike) -> NDArray[np.bool_]:
        """(N, 2 or more) metres -> (N,): inside the picture."""
        px = self.pixels(points_m)
        return np.asarray(((px >= 0) & (px < (self.width_px, self.height_px))).all(axis=1))


def draw(
    view: View,
    points_m: NDArray[np.floating],
    intensity: NDArray[np.floating],
    height_m: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """The picture, (H, W, 3) uint8 RGB. height_m: (N,) of each point above the ground below it."""
    picture = np.full((view.height_px, view.width_px, 3), _BACKGROUND, dtype=np.uint8)
    _draw_grid(picture, view)
    shown = view.shows(points_m) & (height_m > -1.0) & (height_m < 6.0)
    colours = _colours(intensity[shown], height_m[shown])
    order = np.argsort(height_m[shown], kind="stable")  # what is higher hides what is lower
    column, row = view.pixels(points_m[shown]).astype(np.intp)[order].T
    reach = _DOT_PX // 2
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            rows = np.clip(row + down, 0, view.height_px - 1)
            columns = np.clip(column + right, 0, view.width_px - 1)
            picture[rows, columns] = colours[order]
    _draw_rig(picture, view)
    return picture


def _colours(intensity: NDArray[np.floating], height_m: NDArray[np.floating]) -> NDArray[np.uint8]:
    import cv2

    scaled = np.clip(height_m / _HEIGHT_FULL_M, 0.12, 1.0) * 255  # turbo's darkest blues vanish on the background
    turbo = cv2.applyColorMap(scaled.astype(np.uint8).reshape(-1, 1), cv2.COLORMAP_TURBO).reshape(-1, 3)[:, ::-1]
    full = float(np.quantile(intensity, 0.98)) if len(intensity) else 1.0
    grey = 45 + 105 * np.sqrt(np.clip(intensity / max(full, 1e-9), 0, 1))
    ground = np.repeat(grey.astype(np.uint8)[:, None], 3, axis=1)
    return np.where((height_m < _GROUND_BELOW_M)[:, None], ground, turbo).astype(np.uint8)


def _draw_grid(picture: NDArray[np.uint8], view: View) -> None:
    right_m = view.left_m + view.width_px * view.m_per_px
    bottom_m = view.top_m - view.height_px * view.m_per_px
    for x in np.arange(np.ceil(view.left_m / _GRID_M) * _GRID_M, right_m, _GRID_M):
        column = int((x - view.left_m) / view.m_per_px)
        picture[:, min(column, view.width_px - 1)] = _GRID_COLOUR
        if column > 0:  # the corner is the other axis' place
            _write(picture, f"{x:+.0f}", (column + 6, view.height_px - 12))
    for y in np.arange(np.ceil(bottom_m / _GRID_M) * _GRID_M, view.top_m, _GRID_M):
        row = int((view.top_m - y) / view.m_per_px)
        picture[min(row, view.height_px - 1)] = _GRID_COLOUR
        _write(picture, f"{y:+.0f} m", (8, row - 10))


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    import cv2

    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (150, 156, 165), 2, cv2.LINE_AA)


def _draw_rig(picture: NDArray[np.uint8], view: View) -> None:
    """An arrow at the origin that points ahead, 2 m long."""
    import cv2

    tail, tip = view.pixels([[0, 0], [2, 0]]).astype(int)
    cv2.arrowedLine(
        picture, tuple(map(int, tail)), tuple(map(int, tip)), (255, 255, 255), 2, cv2.LINE_AA, tipLength=0.4
    )
    cv2.circle(picture, tuple(map(int, tail)), 5, (255, 255, 255), 2, cv2.LINE_AA)
