"""A camera's pictures: a ray a pixel through the true lens, four more where faces meet, grain, JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.camera_model import CameraModel
from devices.transform import Transform
from devices.virtual.rig_truth import PIXEL_NOISE
from devices.virtual.shading import Rgb, Shading
from devices.virtual.world import Mover, World

_CORNERS = np.array(
    [(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)]
)  # a rotated grid inside the pixel
_JPEG_QUALITY = 93
_LENS_BLUR_PX = 0.75  # no lens is sharper than a pixel, and finders of corners count on it


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels x0 <= x < x1, y0 <= y < y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0


class Lens:
    """Where each pixel and each part of a pixel looks.

    plane: (H + 2, W + 2, 2) float32, the point at depth 1 on the ray of each pixel, one pixel beyond the picture on every side.
    """

    def __init__(self, model: CameraModel) -> None:
        self.model = model
        x, y = np.meshgrid(np.arange(-1, model.width_px + 1), np.arange(-1, model.height_px + 1))
        rays = model.rays(np.stack([x, y], axis=-1).reshape(-1, 2))
        self.plane = (rays[:, :2] / rays[:, 2:]).reshape(*x.shape, 2).astype(np.float32)
        self.whole = Window(0, 0, model.width_px, model.height_px)
        self._centres = _unit(self.plane[1:-1, 1:-1])

    def directions(self, window: Window) -> NDArray[np.float32]:
        """(h * w, 3) unit, camera frame, through the pixels' centres."""
        return self._centres[window.y0 : window.y1, window.x0 : window.x1].reshape(-1, 3)

    def directions_beside(self, window: Window, pixels: NDArray[np.intp], dx: float, dy: float) -> NDArray[np.float32]:
        """(N,) flat indices into the window -> (N, 3) unit, (dx, dy) off the pixels' centres, both within one pixel.

        Between pixels the plane is linear: a lens bends it by less than 0.001 px over one.
        """
        rows, columns = np.divmod(pixels, window.shape[1])
        rows, columns = rows + window.y0 + 1, columns + window.x0 + 1
        here = self.plane[rows, columns]
        across = self.plane[rows, columns + (1 if dx > 0 else -1)] - here
        down = self.plane[rows + (1 if dy > 0 else -1), columns] - here
        return _unit(here + np.float32(abs(dx)) * across + np.float32(abs(dy)) * down)


def _unit(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 2) points at depth 1 -> (..., 3) unit directions."""
    x, y = plane[..., 0], plane[..., 1]
    scale = 1 / np.sqrt(x * x + y * y + 1)
    return np.stack([x * scale, y * scale, scale], axis=-1)


def picture(
    shading: Shading,
    lens: Lens,
    world_from_camera: Transform,
    t_ns: int,
    window: Window | None = None,
    movers: Sequence[Mover] | None = None,
) -> Rgb:
    """(h, w, 3) float32 RGB of a part of the picture, without grain. movers: all of the world's by default."""
    world, window = shading.world, window or lens.whole
    eye = _Eye(shading, world_from_camera, 1 / lens.model.fx, t_ns, world.movers if movers is None else tuple(movers))
    rgb, triangle = eye.look(lens.directions(window))
    edges = np.flatnonzero(_edges(world, triangle.reshape(window.shape)))
    if len(edges):
        finer = np.concatenate([lens.directions_beside(window, edges, dx, dy) for dx, dy in _CORNERS.tolist()])
        rgb[edges] = eye.look(finer)[0].reshape(len(_CORNERS), -1, 3).mean(axis=0)
    return rgb.reshape(*window.shape, 3)


class Sensor:
    """Makes JPEGs of pictures, with grain: a random cut from one sheet of noise, since drawing it anew costs as much as the JPEG."""

    _SPARE = 97

    def __init__(self, model: CameraModel, rng: np.random.Generator) -> None:
        self._rng = rng
        shape = (model.height_px + self._SPARE, model.width_px + self._SPARE, 3)
        self._noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(PIXEL_NOISE) + np.float32(0.5)

    def jpeg(self, rgb: Rgb) -> bytes:
        """(H, W, 3) float32 RGB -> the file's bytes."""
        import cv2

        y, x = self._rng.integers(self._SPARE, size=2)
        soft = cv2.GaussianBlur(rgb, (5, 5), _LENS_BLUR_PX)
        noisy = soft + self._noise[y : y + rgb.shape[0], x : x + rgb.shape[1]]
        pixels = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        if not done:
            raise RuntimeError("OpenCV could not encode a picture")
        return data.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class _Eye:
    """One camera at one instant."""

    shading: Shading
    world_from_camera: Transform
    pixel_rad: float
    t_ns: int
    movers: tuple[Mover, ...]

    def look(self, directions: NDArray[np.float32]) -> tuple[Rgb, NDArray[np.int32]]:
        """(N, 3) camera frame -> colours and triangles."""
        origin = self.world_from_camera.translation_m
        outward = directions @ self.world_from_camera.rotation.T.astype(np.float32)
        distance, triangle = self.shading.world.caster.cast(origin, outward)
        for mover in self.movers:
            to = mover.middle_at([self.t_ns])[0] - origin
            away = float(np.linalg.norm(to))
            inside = away <= mover.reach_m
            least = -1.0 if inside else float(np.sqrt(1 - (mover.reach_m / away) ** 2))
            near = np.flatnonzero(outward @ (to / away).astype(np.float32) > least)
            if not len(near):
                continue
            rays = outward[None, near].astype(np.float64)
            hit, which = mover.cast(np.array([self.t_ns]), np.broadcast_to(origin, rays.shape), rays)
            closer = hit[0] < distance[near]
            distance[near[closer]], triangle[near[closer]] = hit[0, closer], which[0, closer]
        return self.shading.colours(
            origin, outward, distance, triangle, self.pixel_rad, self.t_ns, self.movers
        ), triangle


def _edges(world: World, triangle: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(h, w) pixels beside which another face begins."""
    face = np.append(world.surface.face, np.int32(-1))[triangle]
    mask = np.zeros(face.shape, dtype=np.bool_)
    across, down = face[:, 1:] != face[:, :-1], face[1:] != face[:-1]
    mask[:, 1:] |= across
    mask[:, :-1] |= across
    mask[1:] |= down
    mask[:-1] |= down
    return mask
