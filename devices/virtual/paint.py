"""Pictures painted on the world's surfaces, looked up at the sharpness that the viewing distance calls for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.virtual.mesh import Texture

_GAP = 2
Picture = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One picture for the atlas. texel_m: a texel's side. origin_m: where its low corner lies; a tile repeats, a map is clamped."""

    picture: Picture
    texel_m: float
    origin_m: tuple[float, float] = (0.0, 0.0)
    tile: bool = True


class Atlas:
    """All sheets at all sharpnesses in one image, so that a single native look-up serves every pixel of a camera."""

    LEVELS = 5

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        import cv2

        blocks: list[list[Picture]] = []
        for sheet in sheets:
            levels = [sheet.picture]
            for _ in range(self.LEVELS - 1):
                last = levels[-1]
                half = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
                levels.append(np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA), dtype=np.uint8))
            blocks.append(levels)
        self._sheets = tuple(sheets)
        self._table, shape = _layout(blocks)
        self._image: Picture = np.zeros((*shape, 3), dtype=np.uint8)
        for levels, rows, sheet in zip(blocks, self._table, self._sheets, strict=True):
            for picture, (x, y, w, h) in zip(levels, rows.astype(int), strict=True):
                border = cv2.BORDER_WRAP if sheet.tile else cv2.BORDER_REPLICATE
                framed = cv2.copyMakeBorder(picture, 1, 1, 1, 1, border)
                self._image[y - 1 : y + h + 1, x - 1 : x + w + 1] = framed

    def sample(
        self,
        sheet: NDArray[np.int32],
        u_m: NDArray[np.float32],
        v_m: NDArray[np.float32],
        footprint_m: NDArray[np.float32],
    ) -> NDArray[np.uint8]:
        """(N,) sheet numbers, places and the width of what a pixel sees there -> (N, 3)."""
        import cv2

        if not len(sheet):
            return np.zeros((0, 3), dtype=np.uint8)
        texel = np.array([s.texel_m for s in self._sheets], dtype=np.float32)
        low = np.array([s.origin_m for s in self._sheets], dtype=np.float32)
        tiled = np.array([s.tile for s in self._sheets])
        size = self._table[:, 0, 2:].astype(np.float32) * texel[:, None]
        level = np.clip(np.log2(np.maximum(footprint_m / texel[sheet], 1e-3)) + 0.3, 0, self.LEVELS - 1).astype(
            np.int32
        )
        s, t = (u_m - low[sheet, 0]) / size[sheet, 0], (v_m - low[sheet, 1]) / size[sheet, 1]
        wrap = tiled[sheet]
        s, t = np.where(wrap, s - np.floor(s), np.clip(s, 0, 1)), np.where(wrap, t - np.floor(t), np.clip(t, 0, 1))
        place = self._table[sheet, level].astype(np.float32)
        x, y = place[:, 0] + s * place[:, 2] - 0.5, place[:, 1] + t * place[:, 3] - 0.5
        rows = -(-len(x) // 1024)
        maps = [np.resize(m.astype(np.float32), (rows, 1024)) for m in (x, y)]  # remap takes sides below 32,768 only
        out = cv2.remap(self._image, maps[0], maps[1], cv2.INTER_LINEAR)
        return np.asarray(out.reshape(-1, 3)[: len(x)], dtype=np.uint8)


def _layout(blocks: list[list[Picture]]) -> tuple[NDArray[np.int32], tuple[int, int]]:
    """(sheets, levels, 4) x y w h in the atlas, and its (height, width): a shelf a level, wide enough for the largest sheet."""
    widest = max(picture.shape[1] for levels in blocks for picture in levels) + 2 * _GAP
    table = np.zeros((len(blocks), len(blocks[0]), 4), dtype=np.int32)
    x = y = shelf = 0
    order = sorted(((p.shape[0], i, k) for i, levels in enumerate(blocks) for k, p in enumerate(levels)), reverse=True)
    for height, i, k in order:
        width = blocks[i][k].shape[1]
        if x + width + 2 * _GAP > widest:
            x, y, shelf = 0, y + shelf, 0
        table[i, k] = (x + _GAP, y + _GAP, width, height)
        x += width + 2 * _GAP
        shelf = max(shelf, height + 2 * _GAP)
    return table, (y + shelf, widest)


def tiles(seed: int = 3) -> dict[Texture, Sheet]:
    """The repeating sheets; a finish's colour multiplies them, 200 standing for 1."""
    rng = np.random.default_rng(seed)
    return {
        Texture.PLAIN: Sheet(np.full((16, 16, 3), 200, dtype=np.uint8), 0.1),
        Texture.PLASTER: Sheet(_facade(rng, brick=False), 0.02),
        Texture.BRICK: Sheet(_facade(rng, brick=True), 0.02),
        Texture.LEAVES: Sheet(_speckle(rng, 128, 58, 2.0), 0.02),
        Texture.CONCRETE: Sheet(_speckle(rng, 256, 16, 1.5), 0.01),
    }


def asphalt(seed: int = 5) -> Sheet:
    """Grain for the ground near the camera."""
    return Sheet(_grain(np.random.default_rng(seed)), 0.006)


def _speckle(rng: np.random.Generator, side: int, strength: float, grain: float) -> Picture:
    """Grey noise about 200 that repeats without a seam."""
    return np.asarray(
        np.clip(200 + strength * _noise(rng, (side, side), grain)[..., None], 0, 255) * np.ones(3), dtype=np.uint8
    )


def _grain(rng: np.random.Generator) -> Picture:
    """Fine and coarse grain together, so that it looks neither like sand nor like a blanket."""
    side = (768, 768)
    grey = 200 + 9 * _noise(rng, side, 0.8) + 7 * _noise(rng, side, 4.0) + 5 * _noise(rng, side, 24.0)
    return np.asarray(np.clip(grey[..., None] * np.ones(3), 0, 255), dtype=np.uint8)


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> NDArray[np.float32]:
    """Smoothed over ``grain`` texels, seamless, standard deviation 1."""
    import cv2

    pad = int(4 * grain) + 1
    raw = cv2.copyMakeBorder(rng.standard_normal(shape).astype(np.float32), pad, pad, pad, pad, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(raw, (0, 0), grain)[pad:-pad, pad:-pad]
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _facade(rng: np.random.Generator, brick: bool) -> Picture:
    """4 m wide, 3 m high: a wall with one window. Row 0 is its foot."""
    wall = np.full((150, 200, 3), 196.0, dtype=np.float32)
    wall += 4 * _noise(rng, (150, 200), 3)[..., None]
    if brick:
        for course in range(0, 150, 4):
            shade = rng.normal(0, 13, 26)
            columns = ((np.arange(200) + (course // 4 % 2) * 4) // 8) % 26
            wall[course : course + 4] += shade[columns][None, :, None]
            wall[course] += 22
    wall[0:5] *= 0.94
    left, right, foot, head = 68, 132, 50, 122
    wall[foot - 8 : head + 8, left - 8 : right + 8] = (236, 234, 228)
    wall[foot - 12 : foot - 8, left - 13 : right + 13] = (150, 146, 140)
    wall[foot:head, left:right] = (50, 62, 76)
    sky = np.linspace(0, 46, head - foot, dtype=np.float32)[:, None, None]
    wall[foot:head, left:right] += sky * np.array([0.8, 0.95, 1.1], dtype=np.float32)
    for x in (left, right - 4, (left + right) // 2 - 2):
        wall[foot:head, x : x + 4] = (230, 228, 222)
    for y in (foot, head - 4, foot + 44):
        wall[y : y + 4, left:right] = (230, 228, 222)
    return np.asarray(np.clip(wall, 0, 255), dtype=np.uint8)
