"""The scenery: two streets that cross, houses, trees, lamps. Nothing here has a cuboid; devices/virtual/traffic.py has what does.

The main street runs along x, the side street along y; both have a lane each way and a parking strip on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from devices.virtual.mesh import Colour, Finish, Mesh, Texture, blob, box, cylinder, merge, polygons, prism

KERB_M = 0.12
MAIN = (-6.0, 6.0)  # y from kerb to kerb
SIDE = (21.0, 33.0)  # x from kerb to kerb
PAVEMENT_M = 3.0
ZEBRA = (18.4, 20.8)  # x, across the main street
EAST_M, WEST_M, NORTH_M, SOUTH_M = 106.0, -84.0, 66.0, -66.0

_ROAD = Finish((0.37, 0.37, 0.38), 22, Texture.GROUND)
_PAVING = Finish((0.62, 0.60, 0.57), 45, Texture.GROUND)
_KERB = Finish((0.66, 0.65, 0.62), 50, Texture.CONCRETE)
_STEEL = Finish((0.36, 0.39, 0.41), 95)
_BARK = Finish((0.30, 0.23, 0.17), 30, Texture.CONCRETE)
_HEDGE = Finish((0.24, 0.36, 0.17), 60, Texture.LEAVES)
_CONE = Finish((0.93, 0.36, 0.08), 160)
_WHITE = Finish((0.92, 0.92, 0.90), 180)

_PLASTERS: tuple[Colour, ...] = (
    (0.86, 0.80, 0.68),
    (0.80, 0.72, 0.60),
    (0.78, 0.80, 0.80),
    (0.90, 0.86, 0.78),
    (0.72, 0.76, 0.70),
    (0.84, 0.68, 0.56),
    (0.70, 0.72, 0.78),
)
_BRICKS: tuple[Colour, ...] = ((0.62, 0.36, 0.28), (0.56, 0.40, 0.33), (0.68, 0.46, 0.34))
_ROOFS: tuple[Colour, ...] = ((0.45, 0.24, 0.19), (0.33, 0.31, 0.32), (0.50, 0.30, 0.22))


@dataclass(frozen=True, slots=True)
class _Row:
    """A terrace of houses: its facade runs from begin to end on one axis, on the line ``facade`` of the other, facing ``outward``."""

    along_x: bool
    begin: float
    end: float
    facade: float
    outward: int


def scenery(seed: int = 7) -> Mesh:
    """All that stands still and is not labelled, as one mesh in the world's frame."""
    rng = np.random.default_rng(seed)
    parts = [_ground(), *_pavements()]
    for row in _rows():
        parts += _terrace(row, rng)
    return merge([*parts, *_trees(rng), *_furniture(), *_hedges(), *_ends(rng)])


def _ground() -> Mesh:
    far = 220.0
    return polygons(
        [np.array([(-far, -far, 0), (far, -far, 0), (far, far, 0), (-far, far, 0)], dtype=np.float64)], [_ROAD]
    )


def _pavements() -> list[Mesh]:
    """The four blocks between the streets, a kerb high."""
    west_east = ((WEST_M - 60, SIDE[0]), (SIDE[1], EAST_M + 60))
    south_north = ((SOUTH_M - 60, MAIN[0]), (MAIN[1], NORTH_M + 60))
    return [box((x0, y0, -0.2), (x1, y1, KERB_M), _KERB, top=_PAVING) for x0, x1 in west_east for y0, y1 in south_north]


def _rows() -> list[_Row]:
    rows = []
    for side, kerb in ((-1, MAIN[0]), (1, MAIN[1])):
        line = kerb + side * PAVEMENT_M
        rows += [
            _Row(True, WEST_M, SIDE[0] - PAVEMENT_M, line, -side),
            _Row(True, SIDE[1] + PAVEMENT_M, EAST_M, line, -side),
        ]
    deep = MAIN[1] + PAVEMENT_M + 9.5
    for side, kerb in ((-1, SIDE[0]), (1, SIDE[1])):
        line = kerb + side * PAVEMENT_M
        rows += [_Row(False, SOUTH_M, -deep, line, -side), _Row(False, deep, NORTH_M, line, -side)]
    return rows


def _terrace(row: _Row, rng: np.random.Generator) -> list[Mesh]:
    houses, at = [], row.begin
    while at < row.end - 7:
        width = min(float(rng.choice([8.0, 12.0, 12.0, 16.0])), row.end - at)
        setback = float(rng.choice([0.0, 0.0, 0.0, 0.5, 1.5]))
        storeys = int(rng.choice([2, 2, 3, 3, 4]))
        houses += _house(row, at, at + width, setback, 3.0 * storeys + 0.5, rng)
        at += width + float(rng.choice([0.0, 0.0, 0.0, 3.0]))
    return houses


def _house(row: _Row, begin: float, end: float, setback: float, eaves: float, rng: np.random.Generator) -> list[Mesh]:
    brick = rng.random() < 0.4
    colours = _BRICKS if brick else _PLASTERS
    wall = Finish(colours[int(rng.integers(len(colours)))], 75, Texture.BRICK if brick else Texture.PLASTER)
    roof = Finish(_ROOFS[int(rng.integers(len(_ROOFS)))], 40, Texture.CONCRETE)
    plinth = Finish((0.46, 0.45, 0.43), 50, Texture.CONCRETE)
    front = row.facade - row.outward * setback
    rear = front - row.outward * 9.0
    low, high = sorted((front, rear))
    body = _upright(row, (begin, low), (end, high), KERB_M, eaves, wall)
    foot = _upright(row, (begin - 0.04, low - 0.04), (end + 0.04, high + 0.04), 0.0, 0.65, plinth)
    rise = eaves + float(rng.uniform(2.2, 3.2))
    outline = [(low - 0.3, eaves), ((low + high) / 2, rise), (high + 0.3, eaves)]
    gable = prism(outline, begin, end, [roof] * 3, wall)  # its outline lies in xz, so it runs along y
    turn = np.eye(4)
    if row.along_x:
        turn[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]  # x <- y, y <- -x
        gable = prism([(-y, z) for y, z in reversed(outline)], begin, end, [roof] * 3, wall).moved(turn)
    door_at = begin + 2.0 if rng.random() < 0.5 else end - 2.0
    door = Finish(((0.35, 0.16, 0.12), (0.14, 0.24, 0.30), (0.20, 0.30, 0.20))[int(rng.integers(3))], 50)
    out, back = sorted((front + row.outward * 0.07, front))
    leaf = _upright(row, (door_at - 0.55, out), (door_at + 0.55, back), KERB_M, 2.35, door)
    return [body, foot, gable, leaf]


def _upright(
    row: _Row, low: tuple[float, float], high: tuple[float, float], z0: float, z1: float, finish: Finish
) -> Mesh:
    """A box given along and across its row."""
    if row.along_x:
        return box((low[0], low[1], z0), (high[0], high[1], z1), finish)
    return box((low[1], low[0], z0), (high[1], high[0], z1), finish)


def _trees(rng: np.random.Generator) -> list[Mesh]:
    spots = [(x, side * 6.75) for x in (-70, -57, -45, -31, -19.5, -6.5, 6.5, 14.6, 39, 52, 66, 80) for side in (-1, 1)]
    spots += [(x, y) for x in (20.25, 33.75) for y in (-40, -27, -14, 13, 26, 39, 52)]
    parts = []
    for index, (near_x, y) in enumerate(spots):
        x, height = near_x + float(rng.uniform(-0.8, 0.8)), float(rng.uniform(2.5, 3.1))
        parts.append(cylinder((x, y, height / 2 + KERB_M), 0.13, height, _BARK, sides=9))
        for lump in range(3):
            shift = rng.uniform(-0.5, 0.5, 3) + np.array([0, 0, height + 0.9 + 0.5 * lump])
            radius = rng.uniform(0.9, 1.35) * np.array([1, 1, 0.85])
            tint = float(rng.uniform(0.85, 1.15))
            leaves = Finish((0.27 * tint, 0.42 * tint, 0.17 * tint), 60, Texture.LEAVES)
            parts.append(blob(np.array([x, y, 0]) + shift, radius, leaves, seed=97 * index + lump))
    return parts


def _furniture() -> list[Mesh]:
    """Lamps, signs, bollards, bins, a cone."""
    parts = []
    for x, y, arm in [(x, side * 6.4, -side) for x in (-64, -38, -25, -12.5, 0.8, 12.0, 45, 70) for side in (-1, 1)]:
        parts.append(cylinder((x, y, 2.7), 0.07, 5.2, _STEEL, sides=10))
        low, high = sorted((y, y + arm * 1.4))
        parts.append(box((x - 0.04, low, 5.22), (x + 0.04, high, 5.30), _STEEL))
        parts.append(box((x - 0.12, y + arm * 1.4 - 0.3, 5.14), (x + 0.12, y + arm * 1.4 + 0.3, 5.24), _WHITE))
    for x, y in ((18.0, -6.5), (21.3 + 12.4, 6.6), (20.4, 9.4), (33.6, -9.6)):
        parts.append(cylinder((x, y, 1.3), 0.04, 2.4, _STEEL, sides=8))
        parts.append(
            box((x - 0.30, y - 0.30 * 0.05, 1.95), (x + 0.30, y + 0.30 * 0.05, 2.55), Finish((0.12, 0.30, 0.68), 230))
        )
    for y in (7.2, 8.4, -7.2, -8.4):
        parts += [cylinder((x, y, 0.55), 0.07, 0.9, _STEEL, sides=10) for x in (20.6, 33.4)]
    for x, y in ((-3.0, 8.6), (9.6, -8.7), (15.2, 8.65), (36.4, 12.0)):
        parts.append(box((x - 0.3, y - 0.3, KERB_M), (x + 0.3, y + 0.3, 1.15), Finish((0.16, 0.26, 0.20), 40)))
    for x, y in ((13.9, -2.95), (14.5, -3.05)):
        parts.append(box((x - 0.16, y - 0.16, 0.0), (x + 0.16, y + 0.16, 0.04), _CONE))
        parts.append(_cone(x, y))
    return parts


def _cone(x: float, y: float) -> Mesh:
    rings = [(0.13, 0.04), (0.095, 0.25), (0.065, 0.42), (0.03, 0.62)]
    finishes = [_CONE, _WHITE, _CONE]
    corners, each = [], []
    angles = np.arange(10) * 2 * np.pi / 10
    for (r0, z0), (r1, z1), finish in zip(rings[:-1], rings[1:], finishes, strict=True):
        for a, b in zip(angles, np.roll(angles, -1), strict=True):
            quad = [(r0, a, z0), (r0, b, z0), (r1, b, z1), (r1, a, z1)]
            corners.append(np.array([(x + r * np.cos(t), y + r * np.sin(t), z) for r, t, z in quad]))
            each.append(finish)
    return polygons(corners, each)


def _hedges() -> list[Mesh]:
    """Along the front gardens, and a low wall at the corners."""
    spots = [
        ((35.2, 9.6), (35.7, 17.5)),
        ((18.2, 10.0), (18.6, 17.8)),
        ((18.2, -18.0), (18.7, -10.0)),
        ((35.2, -18.0), (35.8, -10.2)),
    ]
    return [box((x0, y0, KERB_M), (x1, y1, 1.2), _HEDGE) for (x0, y0), (x1, y1) in spots]


def _ends(rng: np.random.Generator) -> list[Mesh]:
    """A house across each street's far end, so that no view runs out into the plain."""
    y0, y1, x0, x1 = MAIN[0] - 6, MAIN[1] + 6, SIDE[0] - 6, SIDE[1] + 6
    ends = (
        _Row(False, y0, y1, EAST_M + 4, -1),
        _Row(False, y0, y1, WEST_M - 4, 1),
        _Row(True, x0, x1, NORTH_M + 4, -1),
        _Row(True, x0, x1, SOUTH_M - 4, 1),
    )
    return [mesh for row in ends for mesh in _house(row, row.begin, row.end, 0.0, 9.5, rng)]
