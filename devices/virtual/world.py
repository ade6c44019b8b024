"""The world as rays meet it: what stands still as one mesh, and each moving thing in its own frame at the instant of the ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.virtual.caster import Caster
from devices.virtual.mesh import Mesh, merge
from devices.virtual.motion import Moving
from devices.virtual.vehicles import Thing


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """A mesh that moves. first: where its triangles begin in World.surface. reach_m: the radius of the ball about ``middle_m`` that holds it."""

    mesh: Mesh
    motion: Moving
    caster: Caster
    first: int
    middle_m: NDArray[np.float64]
    reach_m: float

    def middle_at(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 3) world."""
        pose = self.motion.matrices(t_ns)
        return np.asarray(pose[:, :3, :3] @ self.middle_m + pose[:, :3, 3], dtype=np.float64)

    def cast(
        self, t_ns: NDArray[np.int64], origins: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Times (C,), rays in the world (C, B, 3) -> distances and World.surface's triangles, (C, B) each."""
        pose = self.motion.matrices(t_ns)
        rotation, place = pose[:, :3, :3], pose[:, None, :3, 3]
        near = ((origins - place) @ rotation).reshape(-1, 3)
        distance, triangle = self.caster.cast(near, (directions @ rotation).reshape(-1, 3))
        shape = directions.shape[:2]
        return distance.reshape(shape), np.where(triangle < 0, -1, triangle + np.int32(self.first)).reshape(shape)


class World:
    """things: all that has a cuboid. surface: every triangle, the still ones in the world's frame first, then each mover's in its own."""

    def __init__(self, scenery: Mesh, things: Sequence[Thing], others: Sequence[tuple[Mesh, Moving]] = ()) -> None:
        still = [thing for thing in things if not thing.motion.moves]
        self.things = tuple(things)
        self.standing = merge([scenery, *(thing.mesh.moved(thing.motion.matrices(0)[0]) for thing in still)])
        self.caster = Caster(self.standing)
        moving = [(thing.mesh, thing.motion) for thing in things if thing.motion.moves]
        movers, first = [], len(self.standing)
        for mesh, motion in [*moving, *others]:
            low, high = mesh.bounds
            movers.append(
                Mover(mesh, motion, Caster(mesh), first, (low + high) / 2, float(np.linalg.norm(high - low) / 2))
            )
            first += len(mesh)
        self.movers: tuple[Mover, ...] = tuple(movers)
        self.surface = merge([self.standing, *(mover.mesh for mover in movers)])
        self._own_normals = self.surface.normals

    def normals(self, t_ns: int) -> NDArray[np.float32]:
        """(T + 1, 3) of surface, in the world at one instant; the last row, which index -1 finds, is zero."""
        normals = np.append(self._own_normals, np.zeros((1, 3), dtype=np.float32), axis=0)
        for mover in self.movers:
            rows = slice(mover.first, mover.first + len(mover.mesh))
            normals[rows] = self._own_normals[rows] @ mover.motion.matrices(t_ns)[0, :3, :3].T.astype(np.float32)
        return normals
