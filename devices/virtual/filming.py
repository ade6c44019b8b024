"""What the cameras record of a scene, picture by picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from devices.transform import Transform
from devices.virtual.board_view import BoardView
from devices.virtual.camera import Lens, Sensor, Window, picture
from devices.virtual.rig_truth import CAMERA_MODELS, RIG_FROM
from devices.virtual.scenes import Scene
from devices.virtual.shading import TO_SUN, Rgb, Shading


def film(
    scene: Scene, shading: Shading, camera: str, t_ns: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[bytes]:
    """(N,) mid exposures -> JPEGs."""
    lens = Lens(CAMERA_MODELS[camera])
    sensor = Sensor(lens.model, rng)
    set_piece = _Parked(scene, shading, lens, camera) if scene.still_rig else None
    for t in t_ns.tolist():
        rgb = set_piece.at(t) if set_piece else picture(shading, lens, _world_from(scene, camera, t), t)
        yield sensor.jpeg(rgb)


def _world_from(scene: Scene, camera: str, t_ns: int) -> Transform:
    return Transform("world", "rig", scene.robot.motion.matrices([t_ns])[0]) @ RIG_FROM[camera]


class _Parked:
    """A camera that never moves: what stands still is rendered once, then only the part in which something moves."""

    def __init__(self, scene: Scene, shading: Shading, lens: Lens, camera: str) -> None:
        self._scene, self._shading, self._lens = scene, shading, lens
        self._world_from_camera = _world_from(scene, camera, 0)
        self._still = picture(shading, lens, self._world_from_camera, 0, movers=())
        self._view = BoardView(lens)
        self._last: tuple[bytes, Rgb] = (b"", self._still)

    def at(self, t_ns: int) -> Rgb:
        """While nothing moves, the last picture serves again."""
        placed = b"".join(mover.motion.matrices([t_ns]).tobytes() for mover in self._shading.world.movers)
        if placed != self._last[0]:
            self._last = (placed, self._rendered(t_ns))
        return self._last[1]

    def _rendered(self, t_ns: int) -> Rgb:
        rgb = self._still.copy()
        window = self._changed(t_ns)
        if window:
            part = picture(self._shading, self._lens, self._world_from_camera, t_ns, window)
            rgb[window.y0 : window.y1, window.x0 : window.x1] = part
        if self._scene.carried:
            world_from_board = Transform("world", "board", self._scene.carried.matrices([t_ns])[0])
            facing = self._shading.light(-world_from_board.rotation[None, :, 2].astype(np.float32))
            self._view.paint(rgb, self._world_from_camera.inverse() @ world_from_board, float(facing[0]))
        return rgb

    def _changed(self, t_ns: int) -> Window | None:
        """The pixels that the movers and their shadows may touch, found by projecting their boxes' edges densely."""
        points = []
        for mover in self._shading.world.movers:
            pose = mover.motion.matrices([t_ns])[0]
            edges = _box_edges(*mover.mesh.bounds) @ pose[:3, :3].T + pose[:3, 3]
            points += [edges, edges - TO_SUN * (np.maximum(edges[:, 2:], 0) / TO_SUN[2])]
        if not points:
            return None
        pixels = self._lens.model.project(self._world_from_camera.inverse().apply(np.concatenate(points)))
        pixels = pixels[self._lens.model.sees(pixels, -8.0)]
        if not len(pixels):
            return None
        low, high = np.floor(pixels.min(axis=0)).astype(int) - 8, np.ceil(pixels.max(axis=0)).astype(int) + 9
        whole = self._lens.whole
        window = Window(
            max(0, int(low[0])), max(0, int(low[1])), min(whole.x1, int(high[0])), min(whole.y1, int(high[1]))
        )
        return window if min(window.shape) > 0 else None


def _box_edges(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) along the twelve edges of a box."""
    steps = np.linspace(0, 1, 25)
    ends = np.array([0.0, 1.0])
    grids = [
        np.stack(np.meshgrid(*(steps if i == axis else ends for i in range(3))), axis=-1).reshape(-1, 3)
        for axis in range(3)
    ]
    return np.asarray(low + np.concatenate(grids) * (high - low), dtype=np.float64)
