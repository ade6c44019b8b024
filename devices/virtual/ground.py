"""The ground's picture, seen from above: asphalt, paving, paint on the road, and the shade that standing things throw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from devices.virtual.caster import Caster
from devices.virtual.paint import Sheet
from devices.virtual.street import EAST_M, MAIN, NORTH_M, PAVEMENT_M, SIDE, SOUTH_M, WEST_M, ZEBRA

TEXEL_M = 0.04
_LOW = (WEST_M - 4, SOUTH_M - 4)
_HIGH = (EAST_M + 4, NORTH_M + 4)
_SHADE = 0.56  # of the light that is left in the sun's shadow
_PAINT = (232, 232, 226)


def ground_sheet(standing: Caster, to_sun: NDArray[np.float64], seed: int = 11) -> Sheet:
    """The map that Texture.GROUND looks up by x and y; row 0 is the lowest y."""
    import cv2

    width, height = (round((_HIGH[i] - _LOW[i]) / TEXEL_M) for i in range(2))
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:] = (108, 108, 111)
    _lay_paving(picture)
    _paint_lines(picture)
    light = np.asarray(
        cv2.resize(_light(standing, to_sun), (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32
    )
    rng = np.random.default_rng(seed)
    blotches = rng.normal(1, 0.05, (height // 40, width // 40)).astype(np.float32)
    light *= np.asarray(cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    for begin in range(0, height, 512):  # in bands: the whole as floats would be half a gigabyte
        band = slice(begin, begin + 512)
        picture[band] = np.clip(picture[band] * light[band, :, None], 0, 255).astype(np.uint8)
    return Sheet(picture, TEXEL_M, _LOW, tile=False)


def _area(picture: NDArray[np.uint8], x0: float, x1: float, y0: float, y1: float) -> NDArray[np.uint8]:
    """The part of the picture over a rectangle in metres."""
    (c0, c1), (r0, r1) = (
        [max(0, round((at - _LOW[axis]) / TEXEL_M)) for at in pair] for axis, pair in enumerate(((x0, x1), (y0, y1)))
    )
    return picture[r0:r1, c0:c1]


def _lay_paving(picture: NDArray[np.uint8]) -> None:
    for x0, x1 in ((_LOW[0], SIDE[0]), (SIDE[1], _HIGH[0])):
        for y0, y1 in ((_LOW[1], MAIN[0]), (MAIN[1], _HIGH[1])):
            block = _area(picture, x0, x1, y0, y1)
            block[:] = (168, 162, 153)
            step = round(0.5 / TEXEL_M)
            block[::step] = block[:, ::step] = (142, 137, 130)
    deep = PAVEMENT_M + 0.01
    for x0, x1 in ((_LOW[0], SIDE[0] - deep), (SIDE[1] + deep, _HIGH[0])):
        for y0, y1 in ((_LOW[1], MAIN[0] - deep), (MAIN[1] + deep, _HIGH[1])):
            _area(picture, x0, x1, y0, y1)[:] = (96, 118, 72)


def _paint_lines(picture: NDArray[np.uint8]) -> None:
    for x in np.arange(WEST_M, EAST_M, 6.0).tolist():
        if not SIDE[0] - 4 < x < SIDE[1]:
            _area(picture, x, x + 3.0, -0.06, 0.06)[:] = _PAINT
    middle = sum(SIDE) / 2
    for y in np.arange(SOUTH_M, NORTH_M, 6.0).tolist():
        if not MAIN[0] - 4 < y < MAIN[1]:
            _area(picture, middle - 0.06, middle + 0.06, y, y + 3.0)[:] = _PAINT
    for y in np.arange(MAIN[0] + 0.3, MAIN[1] - 0.4, 1.0).tolist():
        _area(picture, *ZEBRA, y, y + 0.5)[:] = _PAINT
    for x in np.arange(WEST_M, EAST_M, 6.3).tolist():
        if not SIDE[0] - 8 < x < SIDE[1] + 2:
            for y in (MAIN[0] + 2.2, MAIN[1] - 2.2):
                _area(picture, x, x + 0.1, *sorted((y, MAIN[y > 0])))[:] = _PAINT
                _area(picture, x, x + 0.8, y - 0.05, y + 0.05)[:] = _PAINT
    _area(picture, middle + 0.2, SIDE[1] - 2.2, MAIN[0] - 0.8, MAIN[0] - 0.4)[:] = _PAINT
    _area(picture, SIDE[0] + 2.2, middle - 0.2, MAIN[1] + 0.4, MAIN[1] + 0.8)[:] = _PAINT


def _light(standing: Caster, to_sun: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much light reaches the ground: 1 in the open, less in the sun's shadow and under and beside things."""
    import cv2

    def grid(cell: float) -> tuple[NDArray[np.float32], tuple[int, int]]:
        x, y = (np.arange(_LOW[i] + cell / 2, _HIGH[i], cell) for i in range(2))
        points = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), 0.14)], axis=-1)
        return points.reshape(-1, 3).astype(np.float32), (len(y), len(x))

    points, shape = grid(0.10)
    shadow = standing.blocked(points, to_sun).reshape(shape).astype(np.float32)
    light = 1 - (1 - _SHADE) * cv2.GaussianBlur(shadow, (0, 0), 0.7)
    points, coarse = grid(0.25)
    covered = np.zeros(len(points), dtype=np.float32)
    for turn in range(8):
        for rise in (0.35, 1.0):
            towards = np.array([np.cos(turn * np.pi / 4 + rise), np.sin(turn * np.pi / 4 + rise), np.tan(rise)])
            covered += standing.blocked(points, towards / np.linalg.norm(towards), far_m=6.0) / 16
    hidden = cv2.resize(covered.reshape(coarse), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(light * (1 - 0.55 * hidden), dtype=np.float32)
