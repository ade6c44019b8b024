"""Triangles with a finish: the shapes that the virtual world is built of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[float, float, float]  # RGB, 0-1


class Texture(IntEnum):
    """What is painted over a finish's colour (devices/virtual/paint.py makes the pictures)."""

    PLAIN = 0
    GROUND = 1
    PLASTER = 2
    BRICK = 3
    LEAVES = 4
    CONCRETE = 5


@dataclass(frozen=True, slots=True)
class Finish:
    """colour as a camera sees it; reflectivity 0-255 as a lidar does."""

    colour: Colour
    reflectivity: float = 60.0
    texture: Texture = Texture.PLAIN


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """vertices: (V, 3) float64 m. triangles: (T, 3) uint32. face: (T,) int32, equal for triangles between which no edge shows;
    the rest is the finish of each triangle: colour (T, 3), reflectivity (T,), texture (T,).
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.uint32]
    face: NDArray[np.int32]
    colour: NDArray[np.float32]
    reflectivity: NDArray[np.float32]
    texture: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.triangles)

    @property
    def normals(self) -> NDArray[np.float32]:
        """(T, 3) unit, outwards."""
        a, b, c = (self.vertices[self.triangles[:, i]] for i in range(3))
        n = np.cross(b - a, c - a)
        return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12), dtype=np.float32)

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The lowest and highest corner of the box around it, (3,) each."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)

    def moved(self, matrix: ArrayLike) -> Mesh:
        """Under a rigid (4, 4)."""
        m = np.asarray(matrix, dtype=np.float64)
        return replace(self, vertices=self.vertices @ m[:3, :3].T + m[:3, 3])


def merge(parts: Sequence[Mesh]) -> Mesh:
    vertex = np.cumsum([0] + [len(part.vertices) for part in parts])
    face = np.cumsum([0] + [int(part.face.max()) + 1 for part in parts])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.triangles + np.uint32(vertex[i]) for i, part in enumerate(parts)]),
        np.concatenate([part.face + np.int32(face[i]) for i, part in enumerate(parts)]),
        np.concatenate([part.colour for part in parts]),
        np.concatenate([part.reflectivity for part in parts]),
        np.concatenate([part.texture for part in parts]),
    )


def polygons(corners: Sequence[NDArray[np.float64]], finishes: Sequence[Finish]) -> Mesh:
    """Flat convex polygons, each (K, 3) anticlockwise seen from outside, one finish each."""
    vertices, triangles, faces = [], [], []
    start = 0
    for index, polygon in enumerate(corners):
        vertices.append(polygon)
        triangles += [(start, start + k, start + k + 1) for k in range(1, len(polygon) - 1)]
        faces += [index] * (len(polygon) - 2)
        start += len(polygon)
    each = [finishes[face] for face in faces]
    return Mesh(
        np.concatenate(vertices).astype(np.float64),
        np.array(triangles, dtype=np.uint32),
        np.array(faces, dtype=np.int32),
        np.array([finish.colour for finish in each], dtype=np.float32),
        np.array([finish.reflectivity for finish in each], dtype=np.float32),
        np.array([finish.texture for finish in each], dtype=np.int32),
    )


def box(low: ArrayLike, high: ArrayLike, finish: Finish, top: Finish | None = None) -> Mesh:
    """An upright box between two corners."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    profile = [(x0, z0), (x0, z1), (x1, z1), (x1, z0)]
    edges = [finish, top or finish, finish, finish]
    return prism(profile, y0, y1, edges, finish)


def prism(profile: Sequence[tuple[float, float]], y0: float, y1: float, edges: Sequence[Finish], caps: Finish) -> Mesh:
    """A convex outline in the xz plane, clockwise seen from -y, drawn out from y0 to y1; edges[i] finishes the side from point i to i + 1."""
    near = np.array([(x, y0, z) for x, z in profile], dtype=np.float64)
    far = np.array([(x, y1, z) for x, z in profile], dtype=np.float64)
    after = np.roll(np.arange(len(profile)), -1)
    sides = [np.stack([near[i], near[j], far[j], far[i]]) for i, j in enumerate(after)]
    return polygons([near[::-1], far, *sides], [caps, caps, *edges])


def cylinder(
    centre: ArrayLike, radius_m: float, length_m: float, finish: Finish, axis: str = "z", sides: int = 12
) -> Mesh:
    """Around an axis, its length half to either side of the centre."""
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([radius_m * np.cos(angles), radius_m * np.sin(angles)], axis=1)
    ends = [np.column_stack([ring, np.full(sides, z)]) for z in (-length_m / 2, length_m / 2)]
    after = np.roll(np.arange(sides), -1)
    walls = [np.stack([ends[0][i], ends[0][j], ends[1][j], ends[1][i]]) for i, j in enumerate(after)]
    corners = [ends[0][::-1], ends[1], *walls]
    if axis == "y":  # (x, y, z) -> (x, -z, y): a turn about x
        corners = [polygon[:, [0, 2, 1]] * (1, -1, 1) for polygon in corners]
    mesh = polygons([polygon + np.asarray(centre) for polygon in corners], [finish] * len(corners))
    return replace(mesh, face=np.minimum(mesh.face, 2))


def blob(centre: ArrayLike, radius_m: ArrayLike, finish: Finish, seed: int) -> Mesh:
    """A lumpy ellipsoid: a bush, a tree's crown."""
    rows, columns = 7, 10
    theta = np.linspace(0.0, np.pi, rows)[:, None]
    phi = np.arange(columns)[None] * 2 * np.pi / columns
    unit = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) * np.ones_like(phi)], axis=-1
    )
    lumps = np.random.default_rng(seed).uniform(0.82, 1.1, (rows, columns, 1))
    lumps[0], lumps[-1] = lumps[0, 0], lumps[-1, 0]
    points = unit * lumps * np.asarray(radius_m) + np.asarray(centre)
    corners = []
    for i in range(rows - 1):
        for j in range(columns):
            a, b = points[i, j], points[i + 1, j]
            c, d = points[i + 1, (j + 1) % columns], points[i, (j + 1) % columns]
            if i > 0:
                corners.append(np.stack([a, b, d]))
            if i < rows - 2:
                corners.append(np.stack([b, c, d]))
    mesh = polygons(corners, [finish] * len(corners))
    return replace(mesh, face=np.zeros_like(mesh.face))
