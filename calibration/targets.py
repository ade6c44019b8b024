"""The ChArUco board: where its corners are on the board, and where a picture shows them, to a few hundredths of a
pixel.

Which corner is which comes from OpenCV's detector; where it lies does not: the corners of OpenCV 4.12's ChArUco
detector are half a pixel off. They are refined here by symmetry: around a crossing of the checkerboard the picture
looks the same turned by half a turn, and so do the borders of the markers beside it. The centre c is where sum w (I(c +
d) - I(c - d) - a . d)^2 is least; a takes up a gradient of the light. On rendered boards with squares of 13 to 36 px
this is unbiased to 0.001 px with sigma 0.02 px, where the crossing of gradients (Foerstner and Guelch 1987) has 0.08
px, since it cannot use a window that reaches the markers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from devices.rig import CharucoBoard

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Corners of the board in one picture. ids: (n,) rising. pixels: (n, 2)."""

    ids: NDArray[np.int64]
    pixels: Array

    def __len__(self) -> int:
        return len(self.ids)

    def shift_px(self, other: Detection) -> float:
        """How far the median corner that both saw has moved; infinite when they share fewer than four."""
        _, mine, its = np.intersect1d(self.ids, other.ids, return_indices=True)
        if len(mine) < 4:
            return float("inf")
        return float(np.median(np.linalg.norm(self.pixels[mine] - other.pixels[its], axis=1)))


class CharucoTarget:
    """One printed board and OpenCV's detector for it.

    Board frame, as OpenCV has it: origin at the outer corner of the first square, x across, y down, z away from the
    viewer.
    corners_m: (n, 3) by id. rectangle_m: (4,) x and y of the board's lowest edges, then of its highest, the margin
    included.
    """

    def __init__(self, board: CharucoBoard) -> None:
        import cv2

        if not hasattr(cv2.aruco, board.dictionary):
            raise CalibrationError(f"OpenCV has no ArUco dictionary '{board.dictionary}'; e.g. DICT_5X5_100")
        if not board.marker_m < board.square_m:
            raise CalibrationError(
                f"the board's markers ({board.marker_m} m) must be smaller than its squares ({board.square_m} m)"
            )
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
        charuco = cv2.aruco.CharucoBoard(board.squares, board.square_m, board.marker_m, dictionary)
        self.board = board
        self.corners_m: Array = np.array(charuco.getChessboardCorners(), dtype=np.float64)
        across, down = board.squares
        low = -board.margin_m
        self.rectangle_m: Array = np.array(
            [low, low, across * board.square_m + board.margin_m, down * board.square_m + board.margin_m]
        )
        parameters = cv2.aruco.DetectorParameters()
        parameters.minMarkerPerimeterRate = (
            0.05  # markers of 8 px in a picture of 640; smaller ones cannot be refined anyway
        )
        self._detector: Any = cv2.aruco.CharucoDetector(charuco, cv2.aruco.CharucoParameters(), parameters)

    def detect(self, grey: NDArray[np.uint8], near: Detection | None = None) -> Detection | None:
        """Corners in a (H, W) picture to about a pixel; None when fewer than six are seen.

        near: where the board was a moment ago. It is looked for around there, several times as fast, and only then
        elsewhere.
        """
        if near is not None:
            low, high = near.pixels.min(axis=0), near.pixels.max(axis=0)
            margin = 24 + 0.35 * (high - low)
            left, top = np.maximum(low - margin, 0).astype(int)
            right, bottom = np.ceil(high + margin).astype(int)
            if (found := self._detect(grey[top:bottom, left:right])) is not None:
                return Detection(found.ids, found.pixels + np.array([left, top]))
        return self._detect(grey)

    def _detect(self, grey: NDArray[np.uint8]) -> Detection | None:
        corners, ids, _, _ = self._detector.detectBoard(np.ascontiguousarray(grey))
        if ids is None or len(ids) < 6:
            return None
        order = np.argsort(ids.ravel())
        return Detection(ids.ravel()[order].astype(np.int64), corners.reshape(-1, 2)[order].astype(np.float64))

    def refine(self, grey: NDArray[np.uint8], detection: Detection) -> Detection | None:
        """The corners at their centres of symmetry; None when fewer than six can be had that well."""
        radius = self._radius_px(detection)
        if radius is None:
            return None
        pixels, good = centres_of_symmetry(grey, detection.pixels, radius)
        return Detection(detection.ids[good], pixels[good]) if good.sum() >= 6 else None

    def _radius_px(self, detection: Detection) -> float | None:
        """A window that ends well before the next corner; None for a board too small to refine."""
        position = self.corners_m[detection.ids, :2] / self.board.square_m
        between = np.linalg.norm(position[:, None] - position[None], axis=2)
        first, second = np.nonzero(np.triu(between < 1.01, 1))
        if not len(first):
            return None
        squares_px = np.linalg.norm(detection.pixels[first] - detection.pixels[second], axis=1)
        smallest = float(np.percentile(squares_px, 5))
        return float(np.clip(0.3 * smallest, 2.5, 8.0)) if smallest > 7 else None


def centres_of_symmetry(grey: NDArray[np.uint8], start: Array, radius_px: float) -> tuple[Array, NDArray[np.bool_]]:
    """(n, 2) px near checkerboard crossings -> (n, 2) px of their centres, and (n,) whether each was found.

    Not found are those that leave their start by more than 2 px, do not settle, touch the picture's edge, show edges in
    one direction only, or are not symmetric.
    """
    reach = int(np.ceil(radius_px)) + 3
    left, top = np.maximum(np.floor(start.min(axis=0)).astype(int) - 3 * reach, 0)
    right, bottom = np.ceil(start.max(axis=0)).astype(int) + 3 * reach
    grey = grey[top:bottom, left:right]  # the board's part
    height, width = grey.shape
    start = start - (left, top)
    coarse = _Symmetry(grey, min(radius_px, 4.0), 1.4)
    fine = _Symmetry(grey, radius_px, 0.7)
    centre = start.copy()
    for _ in range(4):
        centre = centre + coarse.look(centre)[0]
    for _ in range(10):
        move, clear = fine.look(centre)
        centre = centre + move
        if (np.linalg.norm(move, axis=1)[clear] < 0.003).all():
            break
    below = np.array([width, height]) - 1 - centre
    inside = (centre.min(axis=1) > reach) & (below.min(axis=1) > reach)
    settled = np.linalg.norm(move, axis=1) < 0.02
    return centre + np.array([left, top]), clear & inside & settled & (np.linalg.norm(centre - start, axis=1) < 2)


class _Symmetry:
    """Gauss-Newton steps towards the centre of symmetry in one picture, smoothed by sigma_px, in windows of
    radius_px.
    """

    def __init__(self, grey: NDArray[np.uint8], radius_px: float, sigma_px: float) -> None:
        from scipy.ndimage import gaussian_filter, spline_filter

        smooth = gaussian_filter(grey.astype(np.float64), sigma_px)
        self._picture = spline_filter(smooth)
        self._slopes = [spline_filter(np.gradient(smooth, axis=axis)) for axis in (1, 0)]
        half = int(np.ceil(radius_px))
        dx, dy = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0))
        half_plane = (np.hypot(dx, dy) <= radius_px) & ((dy > 0) | ((dy == 0) & (dx > 0)))
        self._offsets = np.stack([dx[half_plane], dy[half_plane]], axis=1)
        self._weights = np.exp(-(self._offsets**2).sum(axis=1) / (2 * (radius_px / 1.5) ** 2))

    def look(self, centre: Array) -> tuple[Array, NDArray[np.bool_]]:
        """(n, 2) px -> the step from there (n, 2), at most 1 px each way, and (n,) whether the window looks like a
        crossing.
        """
        ahead, behind = self._at(self._picture, centre, 1), self._at(self._picture, centre, -1)
        difference = ahead - behind
        slopes = [self._at(slope, centre, 1) - self._at(slope, centre, -1) for slope in self._slopes]
        light = np.broadcast_to(self._offsets, (len(centre), *self._offsets.shape))
        jacobian = np.concatenate([np.stack(slopes, axis=2), light], axis=2)
        weighted = jacobian * self._weights[:, None]
        normal = np.swapaxes(weighted, 1, 2) @ jacobian
        gradient = np.swapaxes(weighted, 1, 2) @ difference[:, :, None]
        solved = np.linalg.solve(normal + 1e-6 * np.eye(4), gradient)
        rest = ((difference - (jacobian @ solved)[:, :, 0]) ** 2 @ self._weights) / self._weights.sum()
        contrast = np.concatenate([ahead, behind], axis=1).var(axis=1)
        spread = np.linalg.eigvalsh(normal[:, :2, :2])
        crossing = (spread[:, 0] > 0.05 * spread[:, 1]) & (rest < 0.25 * contrast) & (contrast > 25)
        return np.clip(-solved[:, :2, 0], -1, 1), crossing

    def _at(self, picture: Array, centre: Array, side: int) -> Array:
        # Not cv2.remap: it rounds positions to 1/32 px.
        from scipy.ndimage import map_coordinates

        where = centre[:, None, :] + side * self._offsets
        values = map_coordinates(picture, (where[:, :, 1], where[:, :, 0]), order=3, mode="nearest", prefilter=False)
        return np.asarray(values, dtype=np.float64)
