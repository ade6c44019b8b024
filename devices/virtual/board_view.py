"""Paints the board into a camera's picture finely enough that its corners stay where the lens puts them, to hundredths of a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from devices.transform import Transform
from devices.virtual.board import MARGIN_M, TEXEL_M, board_picture, outline_m
from devices.virtual.camera import Lens, Window
from devices.virtual.shading import Rgb

_SAMPLES = 1_300_000  # about so many rays; fewer a pixel when the board is near and large
_TINT = np.array([1.0, 0.992, 0.97], dtype=np.float32)


class BoardView:
    """One camera's view of the board."""

    def __init__(self, lens: Lens) -> None:
        self._lens = lens
        self._sharp = board_picture().astype(np.float32)

    def window(self, camera_from_board: Transform, margin_px: int = 3) -> Window | None:
        """The pixels that the board may touch; None where it is out of view."""
        outline = _dense(outline_m())
        whole = self._lens.whole
        points = camera_from_board.apply(outline)
        if points[:, 2].max() < 0.2:
            return None
        pixels = self._lens.model.project(points)
        if np.isnan(pixels).any():  # partly behind, or beyond what the lens model describes
            return whole
        low, high = (
            np.floor(pixels.min(axis=0)).astype(int) - margin_px,
            np.ceil(pixels.max(axis=0)).astype(int) + margin_px + 1,
        )
        window = Window(
            max(0, int(low[0])), max(0, int(low[1])), min(whole.x1, int(high[0])), min(whole.y1, int(high[1]))
        )
        return window if window.x0 < window.x1 and window.y0 < window.y1 else None

    def paint(self, picture: Rgb, camera_from_board: Transform, light: float) -> None:
        """Over the picture (H, W, 3), in place. light: the share of its colour that the board sends back."""
        import cv2

        window = self.window(camera_from_board)
        if window is None:
            return
        h, w = window.shape
        fine = int(np.clip(round(np.sqrt(_SAMPLES / (h * w))), 4, 8))
        x, y, ahead = self._board_points(window, camera_from_board, fine)
        grey = cv2.remap(self._sharp, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        height, width = self._sharp.shape
        inside = (ahead & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)).astype(np.float32)
        cover = cv2.resize(inside, (w, h), interpolation=cv2.INTER_AREA)
        value = cv2.resize(grey * inside, (w, h), interpolation=cv2.INTER_AREA) * np.float32(light)
        part = picture[window.y0 : window.y1, window.x0 : window.x1]
        part[:] = part * (1 - cover[..., None]) + value[..., None] * _TINT

    def _board_points(
        self, window: Window, camera_from_board: Transform, fine: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """(h * fine, w * fine) each: the texel at which fine x fine rays of each pixel meet the board's plane, and whether before the eye."""
        import cv2

        part = self._lens.plane[window.y0 : window.y1 + 2, window.x0 : window.x1 + 2]
        size = (part.shape[1] * fine, part.shape[0] * fine)
        plane = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)[fine:-fine, fine:-fine]
        # A ray (x, y, 1) s meets the plane X r1 + Y r2 + t where (X, Y, 1) / s = inv([r1 r2 t]) (x, y, 1).
        to_plane = np.linalg.inv(np.column_stack([camera_from_board.rotation[:, :2], camera_from_board.translation_m]))
        texel = np.array([[1, 0, MARGIN_M], [0, 1, MARGIN_M], [0, 0, TEXEL_M]]) / TEXEL_M
        shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # texel 0's centre lies half a texel in
        m = (shift @ texel @ to_plane).astype(np.float32)
        px, py = plane[..., 0], plane[..., 1]
        nearness = m[2, 0] * px + m[2, 1] * py + m[2, 2]
        scale = 1 / np.maximum(nearness, np.float32(1e-4))
        return (
            (m[0, 0] * px + m[0, 1] * py + m[0, 2]) * scale,
            (m[1, 0] * px + m[1, 1] * py + m[1, 2]) * scale,
            nearness > 1e-4,
        )


def _dense(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """More points on the same closed line: a lens bends its edges outwards."""
    after = np.roll(outline, -1, axis=0)
    return np.concatenate([outline + s * (after - outline) for s in (0, 0.25, 0.5, 0.75)])
