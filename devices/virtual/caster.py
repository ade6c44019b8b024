"""Rays against a mesh, through Open3D's RaycastingScene, on one thread: the other core may be busy with something else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from devices.virtual.mesh import Mesh


class Caster:
    """One mesh in its own frame."""

    def __init__(self, mesh: Mesh) -> None:
        import open3d as o3d

        self._tensor = cast("Any", o3d.core.Tensor)  # its stub knows no arrays
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(self._tensor(mesh.vertices.astype(np.float32)), self._tensor(mesh.triangles))

    def cast(
        self, origins: NDArray[np.floating], directions: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(N, 3) origins and unit directions, either of which may be one (3,) for all -> (N,) distances, inf for a miss, and (N,) triangles, -1 for a miss."""
        hits = self._scene.cast_rays(self._rays(origins, directions), nthreads=1)
        return hits["t_hit"].numpy(), hits["primitive_ids"].numpy().view(np.int32)

    def blocked(
        self, origins: NDArray[np.floating], directions: NDArray[np.floating], far_m: float = np.inf
    ) -> NDArray[np.bool_]:
        """(N,): whether anything stands in the way."""
        rays = self._rays(origins, directions)
        return np.asarray(self._scene.test_occlusions(rays, tnear=1e-3, tfar=far_m, nthreads=1).numpy(), dtype=np.bool_)

    def distance(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 3) -> (N,) m to the nearest surface."""
        near = self._scene.compute_distance(self._tensor(np.ascontiguousarray(points, dtype=np.float32)), nthreads=1)
        return np.asarray(near.numpy(), dtype=np.float32)

    def _rays(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> Any:
        rays = np.empty((np.broadcast_shapes(origins.shape, directions.shape)[0], 6), dtype=np.float32)
        rays[:, :3], rays[:, 3:] = origins, directions
        return self._tensor(rays)
