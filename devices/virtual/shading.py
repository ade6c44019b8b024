"""What colour a ray sees: finish, painted picture, sun and sky, shadows of moving things, haze."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from devices.virtual.ground import ground_sheet
from devices.virtual.mesh import Texture
from devices.virtual.paint import Atlas, asphalt, tiles
from devices.virtual.world import Mover, World

_TO_SUN = np.array([-0.46, -0.52, 0.78])
TO_SUN = _TO_SUN / np.linalg.norm(_TO_SUN)
_HAZE_M = 260.0
_HAZE = (196.0, 206.0, 218.0)
_SHADOWS_M = 60.0  # shadows are not looked for beyond, but for those in the ground's picture
_GRAIN = len(Texture)  # the sheet after the textures': the ground's grain

Rgb = NDArray[np.float32]  # (N, 3), 0-255


class Shading:
    """Built once a world; then asked for any rays."""

    def __init__(self, world: World) -> None:
        self.world = world
        surface = world.surface
        # One row more than there are triangles: index -1 is the sky. In a tile 200 stands for 1; the ground's map is its own colour.
        of_ground = (surface.texture == Texture.GROUND)[:, None]
        self._colour = np.vstack([np.where(of_ground, 1, surface.colour * (255 / 200)), np.ones((1, 3))]).astype(
            np.float32
        )
        self._normals: tuple[int, NDArray[np.float32]] | None = None
        self._texture = np.append(surface.texture, np.int32(Texture.PLAIN)).astype(np.int32)
        sheets = tiles()
        sheets[Texture.GROUND] = ground_sheet(world.caster, TO_SUN)
        self._atlas = Atlas([*(sheets[texture] for texture in Texture), asphalt()])

    def light(self, normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) unit -> (N,): the share of its colour that a face sends back. Sun, and a sky that is brighter than the ground below."""
        sun = np.maximum(normals @ TO_SUN.astype(np.float32), 0)
        return np.asarray(0.50 + 0.12 * normals[:, 2] + 0.46 * sun, dtype=np.float32)

    def colours(
        self,
        origin: NDArray[np.float64],
        directions: NDArray[np.float32],
        distance: NDArray[np.float32],
        triangle: NDArray[np.int32],
        pixel_rad: float,
        t_ns: int,
        movers: Sequence[Mover],
    ) -> Rgb:
        """(N, 3) world directions from one origin and what they met -> (N, 3). pixel_rad: the angle that one ray stands for.
        movers: those that throw shadows.
        """
        sky = triangle < 0
        t = np.where(sky, np.float32(0), distance)
        points = origin.astype(np.float32) + directions * t[:, None]
        normals = self._normals_at(t_ns)[triangle]
        sheet = self._texture[triangle]
        ground = sheet == Texture.GROUND
        rgb = self._painted(points, normals, sheet, ground, directions, t * np.float32(pixel_rad))
        light = self.light(normals)
        self._shade_walls(light, points, normals, ground | (t > _SHADOWS_M) | sky)
        light[ground] = 1
        _shade_ground(movers, light, points, np.flatnonzero(ground & (t < _SHADOWS_M)), t_ns)
        clear = np.exp(t * np.float32(-1 / _HAZE_M))
        tint = self._colour[triangle]
        for channel, haze in enumerate(_HAZE):
            rgb[:, channel] = (rgb[:, channel] * tint[:, channel] * light - haze) * clear + haze
        rgb[sky] = _sky(directions[sky])
        return rgb

    def _normals_at(self, t_ns: int) -> NDArray[np.float32]:
        if self._normals is None or self._normals[0] != t_ns:
            self._normals = (t_ns, self.world.normals(t_ns))
        return self._normals[1]

    def _painted(
        self,
        points: NDArray[np.float32],
        normals: NDArray[np.float32],
        sheet: NDArray[np.int32],
        ground: NDArray[np.bool_],
        directions: NDArray[np.float32],
        width_m: NDArray[np.float32],
    ) -> Rgb:
        """The picture's value at each point: on upright faces u runs along the wall and v up, elsewhere u and v are x and y."""
        upright = np.abs(normals[:, 2]) < 0.7
        u = np.where(upright, normals[:, 0] * points[:, 1] - normals[:, 1] * points[:, 0], points[:, 0])
        v = np.where(upright, points[:, 2], points[:, 1])
        facing = np.maximum(np.abs((normals * directions).sum(axis=1)), np.float32(0.05))
        width_m = (width_m / np.sqrt(facing)).astype(np.float32)
        painted = self._atlas.sample(sheet, u, v, width_m).astype(np.float32)
        near = np.flatnonzero(ground & (width_m < 0.08))
        grain = self._atlas.sample(np.full(len(near), _GRAIN, dtype=np.int32), u[near], v[near], width_m[near])
        painted[near] *= grain.astype(np.float32) * (1 / 200)
        return painted

    def _shade_walls(
        self,
        light: NDArray[np.float32],
        points: NDArray[np.float32],
        normals: NDArray[np.float32],
        done: NDArray[np.bool_],
    ) -> None:
        """What stands still throws its shade on walls and vehicles, in place; the ground's picture already holds it."""
        sun = normals @ TO_SUN.astype(np.float32)
        asked = np.flatnonzero(~done & (sun > 0.02))
        lifted = points[asked] + 0.02 * normals[asked]
        dark = asked[self.world.caster.blocked(lifted, TO_SUN)]
        light[dark] -= 0.46 * 0.8 * sun[dark]


def _shade_ground(
    movers: Sequence[Mover],
    light: NDArray[np.float32],
    points: NDArray[np.float32],
    ground: NDArray[np.intp],
    t_ns: int,
) -> None:
    """Darkens light in place where a moving thing stands between the ground and the sun. ground: which rays met it."""
    if not len(ground):
        return
    x, y = points[ground, 0], points[ground, 1]
    low, high = (x.min(), y.min()), (x.max(), y.max())
    for mover in movers:
        middle = mover.middle_at([t_ns])[0]
        centre = (middle[:2] - TO_SUN[:2] / TO_SUN[2] * middle[2]).astype(np.float32)
        reach = np.float32(mover.reach_m / TO_SUN[2])
        if (centre + reach < low).any() or (centre - reach > high).any():
            continue
        asked = ground[(np.abs(x - centre[0]) < reach) & (np.abs(y - centre[1]) < reach)]
        if len(asked):
            light[asked[_shaded(mover, points[asked], t_ns)]] *= 0.58


def _shaded(mover: Mover, points: NDArray[np.float32], t_ns: int) -> NDArray[np.bool_]:
    pose = mover.motion.matrices([t_ns])[0]
    own = (points - pose[:3, 3]) @ pose[:3, :3]
    return mover.caster.blocked(own, TO_SUN @ pose[:3, :3])


def _sky(directions: NDArray[np.float32]) -> Rgb:
    """Pale at the horizon, blue above, a few soft clouds."""
    height = np.clip(directions[:, 2], 0, 1)[:, None]
    blue = (
        np.array([214, 224, 234], dtype=np.float32)
        + (np.array([104, 152, 214], dtype=np.float32) - np.array([214, 224, 234], dtype=np.float32)) * height**0.55
    )
    over = directions[:, :2] / np.maximum(directions[:, 2:], 0.06)
    wave = np.sin(1.3 * over[:, 0] + 1.1 * np.sin(0.9 * over[:, 1])) + np.sin(
        1.7 * over[:, 1] + 1.4 * np.sin(0.7 * over[:, 0]) + 1
    )
    cloud = np.clip((wave - 0.6) / 1.4, 0, 1)[:, None] * np.clip(height * 6, 0, 1) * 0.7
    return np.asarray(blue * (1 - cloud) + 246 * cloud, dtype=np.float32)
