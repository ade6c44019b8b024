"""Pictures that let a person judge a calibration: the cloud drawn on the image, coloured by depth, and cuboids as
wires.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.calibration import Calibration
from calibration.deskew import deskew
from calibration.errors import CalibrationError
from calibration.left_out import LeftOut
from calibration.motion import recorded_poses
from calibration.sync import SyncedFrame, synced_frames
from devices.camera_model import CameraModel
from devices.samples import Image, Sweep
from devices.transform import Transform

if TYPE_CHECKING:
    from capture.recording import Recording

# A point further away than its neighbours in the picture by this share and this much is seen through them: hidden in
# truth.
_HIDDEN_SHARE, _HIDDEN_M = 0.06, 0.4
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
_CROSS = ((0, 7), (3, 4))  # on the front face
_STEPS = 24  # points along an edge, which a lens bends


class Box(Protocol):
    """What can be drawn as a cuboid: annotate's Cuboid, for one."""

    def corners_m(self) -> NDArray[np.float64]:
        """(8, 3): the bottom's four counter-clockwise from front left, then the top's."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A camera's picture with the cloud on it. residual_ns: the picture's time minus the sweep's middle. notes: what one
    should know who looks at it.
    """

    pixels: NDArray[np.uint8]
    camera: str
    t_ns: int
    residual_ns: int
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Raises CalibrationError when it cannot be written there."""
        from PIL import Image as Pillow

        try:
            Pillow.fromarray(self.pixels).save(path)
        except (OSError, ValueError) as error:
            raise CalibrationError(
                f"cannot write the picture {path}: {error}; its name should end in .png or .jpg"
            ) from None


def overlay_at(recording: Recording, calibration: Calibration, *, at_ns: int, camera: str | None = None) -> Overlay:
    """The first sweep whose middle is at or after an instant, on the picture nearest to it.

    Where the robot reported its pose, the cloud is drawn as it was at the picture's instant; else as it came, and said to
    be so. Raises CalibrationError when no such sweep has a picture of this camera near it.
    """
    left_out = LeftOut()
    for frame in synced_frames(recording, calibration, start_ns=at_ns, left_out=left_out):
        name = camera or next(iter(frame.images), None)
        if frame.t_ns >= at_ns and frame.sweep is not None and name in frame.images:
            return _overlay(recording, calibration, frame, str(name), left_out)
    wanted = f"a picture of {camera}" if camera else "a picture"
    none = f"recording {recording.id} holds no sweep with {wanted} near it after {at_ns} ns"
    raise CalibrationError("; ".join([none, *left_out.lines(recording)]))


def _overlay(
    recording: Recording, calibration: Calibration, frame: SyncedFrame, camera: str, left_out: LeftOut
) -> Overlay:
    image, sweep = frame.images[camera].sample, frame.sweep.sample if frame.sweep is not None else None
    if not isinstance(image, Image) or not isinstance(sweep, Sweep):
        raise CalibrationError(f"recording {recording.id} gives no picture and sweep at {frame.t_ns} ns")
    poses = recorded_poses(recording, calibration, left_out)
    points, notes = sweep.points_m, left_out.lines(recording)
    if poses is not None and poses.knows(image.t_ns):
        points = deskew(sweep, calibration, poses, image.t_ns)
    else:
        why = "nothing recorded tells the rig's pose" if poses is None else "no pose was reported within 0.5 s of it"
        notes.append(f"the cloud is drawn as it came, not moved to the picture's instant: {why}")
    camera_from_lidar = calibration.between(camera, sweep.sensor)
    pixels = draw_cloud(image.pixels, calibration.camera(camera), camera_from_lidar, points)
    return Overlay(pixels, camera, image.t_ns, frame.residual_ns[camera], tuple(notes))


def draw_cloud(
    pixels: NDArray[np.uint8],
    model: CameraModel,
    camera_from_lidar: Transform,
    points_m: NDArray[np.floating],
    *,
    radius_px: float | None = None,
    far_m: float = 60.0,
) -> NDArray[np.uint8]:
    """A copy of an (H, W, 3) RGB picture with the (N, 3) lidar points that the camera can see, near red to far blue.

    Points that nearer ones hide (two sensors see past different edges) are left out, far ones are drawn first.
    """
    import cv2

    _, where, depth = visible(model, camera_from_lidar, points_m)
    picture = np.ascontiguousarray(pixels).copy()
    radius = radius_px if radius_px is not None else max(1.4, model.width_px / 640)
    colours = _colours(depth, far_m)
    order = np.argsort(-depth)
    for (u, v), colour in zip(np.round(where[order] * 16).astype(int).tolist(), colours[order].tolist(), strict=True):
        cv2.circle(picture, (u, v), round(radius * 16), colour, -1, cv2.LINE_AA, 4)
    return picture


def visible(
    model: CameraModel, camera_from_lidar: Transform, points_m: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of (N, 3) lidar points those in the picture and not hidden: their indices (n,), pixels (n, 2) and depths along
    z (n,) in m.
    """
    import cv2

    in_camera = camera_from_lidar.apply(points_m)
    where = model.project(in_camera)
    index = np.flatnonzero(model.sees(where) & (in_camera[:, 2] > 0.1))
    where, depth = where[index], in_camera[index, 2]
    # Nearest depth in cells about as wide as the gaps between a 64-beam lidar's rings, each cell looking at its
    # neighbours.
    cell = max(model.width_px / 160, 3.0)
    columns, rows = (where / cell).astype(int).clip(0).T
    nearest = np.full((int(model.height_px / cell) + 1, int(model.width_px / cell) + 1), 1e6, dtype=np.float32)
    np.minimum.at(nearest, (rows, columns), depth.astype(np.float32))
    around = np.asarray(cv2.erode(nearest, np.ones((3, 3), dtype=np.uint8)))
    shown = depth < around[rows, columns] * (1 + _HIDDEN_SHARE) + _HIDDEN_M
    return index[shown], where[shown], depth[shown]


def draw_cuboids(
    pixels: NDArray[np.uint8],
    model: CameraModel,
    camera_from_lidar: Transform,
    cuboids: Iterable[Box],
    colour: tuple[int, int, int] = (255, 214, 10),
) -> NDArray[np.uint8]:
    """A copy of an (H, W, 3) RGB picture with cuboids' edges as the lens bends them; the front face has a cross."""
    import cv2

    picture = np.ascontiguousarray(pixels).copy()
    thickness = max(1, round(model.width_px / 900))
    starts, ends = np.array((*_EDGES, *_CROSS)).T
    share = np.linspace(0, 1, _STEPS)[:, None]
    for cuboid in cuboids:
        corners = camera_from_lidar.apply(cuboid.corners_m())
        lines = corners[starts, None] * (1 - share) + corners[ends, None] * share
        where = model.project(lines.reshape(-1, 3))
        inside = model.sees(where, margin_px=-200.0).reshape(len(starts), _STEPS)
        drawn = inside[:, :-1] & inside[:, 1:]
        where = where.reshape(len(starts), _STEPS, 2)
        pieces = np.stack([where[:, :-1][drawn], where[:, 1:][drawn]], axis=1)
        cv2.polylines(picture, list(np.round(pieces * 16).astype(np.int32)), False, colour, thickness, cv2.LINE_AA, 4)
    return picture


def _colours(depth_m: NDArray[np.float64], far_m: float) -> NDArray[np.uint8]:
    """(n,) m -> (n, 3) RGB: the turbo map over the logarithm of depth, which spends its colours where things are
    near.
    """
    import cv2

    share = np.log(np.clip(depth_m, 2.0, far_m) / 2.0) / np.log(far_m / 2.0)
    levels = np.round(255 * (1 - share)).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1])
