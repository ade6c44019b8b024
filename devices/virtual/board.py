"""The ChArUco board: its picture, the poses in which it is held still, the stand that carries it.

Board frame, OpenCV's: origin at the outer corner of the top left square, x right along the squares, y down, z away from the viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.camera_model import CameraModel
from devices.transform import Transform, rotation_from_vector, rotation_vector
from devices.virtual.mesh import Finish, Mesh, box, cylinder, merge

SQUARES = (7, 5)
SQUARE_M, MARKER_M, MARGIN_M, THICK_M = 0.120, 0.084, 0.02, 0.01
DICTIONARY = "DICT_4X4_50"
TEXEL_M = 0.001
SIZE_M = (SQUARES[0] * SQUARE_M, SQUARES[1] * SQUARE_M)  # of the squares, without the margin

HELD_NS, CARRIED_NS, FIRST_NS = 800_000_000, 430_000_000, 250_000_000
WHITE, BLACK = 226, 26

_CARD = Finish((WHITE / 255,) * 3, 150)
_STEEL = Finish((0.30, 0.31, 0.33), 60)
_BEHIND_M = 0.27  # from the board's middle to the pole: beyond the reach of a corner tilted away


def charuco() -> Any:
    """OpenCV's description of the board."""
    import cv2

    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))
    return cv2.aruco.CharucoBoard(SQUARES, SQUARE_M, MARKER_M, dictionary)


def board_picture() -> NDArray[np.uint8]:
    """(H, W) grey of squares and margin; texel k spans k to k + 1 mm from the margin's outer corner."""
    import cv2

    inner = charuco().generateImage(
        (round(SIZE_M[0] / TEXEL_M), round(SIZE_M[1] / TEXEL_M)), marginSize=0, borderBits=1
    )
    margin = round(MARGIN_M / TEXEL_M)
    framed = cv2.copyMakeBorder(inner, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=255)
    return np.asarray(BLACK + (WHITE - BLACK) * (framed / 255.0), dtype=np.uint8)


def corners_m() -> NDArray[np.float64]:
    """(24, 3) of the inner corners in the board's frame, by ChArUco id."""
    columns, rows = SQUARES[0] - 1, SQUARES[1] - 1
    x, y = np.meshgrid(np.arange(1, columns + 1), np.arange(1, rows + 1))
    return np.stack([x.ravel() * SQUARE_M, y.ravel() * SQUARE_M, np.zeros(columns * rows)], axis=1)


def outline_m() -> NDArray[np.float64]:
    """(8, 3): the outer corners and edge middles, margin included, in the board's frame."""
    x0, y0, x1, y1 = -MARGIN_M, -MARGIN_M, SIZE_M[0] + MARGIN_M, SIZE_M[1] + MARGIN_M
    xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array(
        [(x0, y0, 0), (xm, y0, 0), (x1, y0, 0), (x1, ym, 0), (x1, y1, 0), (xm, y1, 0), (x0, y1, 0), (x0, ym, 0)]
    )


def plate() -> Mesh:
    """The board's slab in its own frame: z from 0 to its thickness."""
    return box((-MARGIN_M, -MARGIN_M, 0), (SIZE_M[0] + MARGIN_M, SIZE_M[1] + MARGIN_M, THICK_M), _CARD)


def stand() -> Mesh:
    """The pole behind the board; its frame: x towards the board's back, z up, origin where the arm meets the pole."""
    return merge(
        [
            cylinder((0, 0, -1.0), 0.022, 2.0, _STEEL, sides=10),
            box((0.0, -0.012, -0.012), (_BEHIND_M - THICK_M, 0.012, 0.012), _STEEL),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Held still in one pose after another, carried smoothly between them.

    poses: (K, 4, 4) world_from_board. The first is held from FIRST_NS on (and before), each for HELD_NS, CARRIED_NS apart.
    """

    poses: NDArray[np.float64]

    @property
    def still_ns(self) -> list[tuple[int, int]]:
        """When the board rests, pose by pose: from, to."""
        starts = [FIRST_NS + k * (HELD_NS + CARRIED_NS) for k in range(len(self.poses))]
        return [(start, start + HELD_NS) for start in starts]

    def matrices(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 4, 4) world_from_board."""
        t = np.atleast_1d(np.asarray(t_ns, dtype=np.int64))
        k, into = np.divmod(np.maximum(t - FIRST_NS, 0), HELD_NS + CARRIED_NS)
        k = np.minimum(k, len(self.poses) - 1)
        s = np.clip((into - HELD_NS) / CARRIED_NS, 0, 1)
        s = np.where(k == len(self.poses) - 1, 0, s * s * (3 - 2 * s))
        out: NDArray[np.float64] = self.poses[k].copy()
        for i in np.flatnonzero(s > 0):
            out[i] = _between(self.poses[k[i]], self.poses[k[i] + 1], float(s[i]))
        return out

    def stand_matrices(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 4, 4) world_from_stand: behind the board's middle, upright, its arm pointing at the board."""
        board = self.matrices(t_ns)
        middle = board[:, :3, :3] @ np.array([SIZE_M[0] / 2, SIZE_M[1] / 2, 0]) + board[:, :3, 3]
        away = board[:, :2, 2] / np.linalg.norm(board[:, :2, 2], axis=1, keepdims=True)
        out = np.zeros((len(board), 4, 4))
        out[:, :2, 0] = -away
        out[:, 0, 1], out[:, 1, 1] = away[:, 1], -away[:, 0]
        out[:, 2, 2] = out[:, 3, 3] = 1
        out[:, :3, 3] = middle
        out[:, :2, 3] += away * _BEHIND_M
        return out


@dataclass(frozen=True, slots=True, eq=False)
class StandMotion:
    carried: Carried

    def matrices(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        return self.carried.stand_matrices(t_ns)


def _between(a: NDArray[np.float64], b: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    """The board turns about its middle, which goes straight."""
    middle = np.array([SIZE_M[0] / 2, SIZE_M[1] / 2, 0])
    rotation = a[:3, :3] @ rotation_from_vector(s * rotation_vector(a[:3, :3].T @ b[:3, :3]))
    centre = (1 - s) * (a[:3, :3] @ middle + a[:3, 3]) + s * (b[:3, :3] @ middle + b[:3, 3])
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, centre - rotation @ middle
    return out


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a pose should appear: a place in one camera's picture (shares of width and height), how far, how tilted."""

    camera: str
    u: float
    v: float
    distance_m: float
    tilt_deg: tuple[float, float]  # about the board's x and y
    roll_deg: float = 0.0


# Left to right in an unbroken path: the left picture's corners and edges from near, the middle that both cameras see from further
# away, the right picture. Tilts alternate, since tilted views are what separates focal length from distance.
AIMS: Sequence[Aim] = (
    Aim("camera_left", 0.05, 0.05, 1.55, (12, -24), 4),
    Aim("camera_left", 0.05, 0.95, 1.45, (-18, -20), -8),
    Aim("camera_left", 0.10, 0.45, 1.80, (8, 34), 0),
    Aim("camera_left", 0.22, 0.42, 2.60, (-30, 12), 14),
    Aim("camera_left", 0.35, 0.48, 3.20, (24, -30), -12),
    Aim("camera_left", 0.50, 0.05, 1.40, (-34, 5), 0),
    Aim("camera_left", 0.50, 0.95, 1.40, (34, -6), 10),
    Aim("camera_left", 0.50, 0.44, 2.20, (10, 30), 22),
    Aim("camera_left", 0.62, 0.42, 2.90, (-22, -28), -20),
    Aim("camera_left", 0.95, 0.05, 1.45, (14, 24), -6),
    Aim("camera_left", 0.95, 0.95, 1.55, (-16, 22), 8),
    Aim("camera_left", 0.80, 0.45, 2.40, (32, 8), -24),
    Aim("camera_left", 0.88, 0.44, 3.50, (-8, -26), 6),
    Aim("camera_left", 0.90, 0.46, 2.70, (-30, 20), 0),
    Aim("camera_right", 0.12, 0.42, 3.90, (16, 22), -4),
    Aim("camera_right", 0.12, 0.46, 2.20, (26, -26), 16),
    Aim("camera_right", 0.05, 0.05, 1.55, (14, -24), 6),
    Aim("camera_right", 0.05, 0.95, 1.45, (-14, -24), -10),
    Aim("camera_right", 0.28, 0.44, 3.00, (-28, 24), 18),
    Aim("camera_right", 0.40, 0.42, 2.30, (30, 14), -18),
    Aim("camera_right", 0.50, 0.05, 1.40, (-34, -8), 4),
    Aim("camera_right", 0.50, 0.95, 1.40, (34, 8), -6),
    Aim("camera_right", 0.52, 0.44, 3.30, (12, -32), 10),
    Aim("camera_right", 0.68, 0.45, 2.60, (-26, 28), -14),
    Aim("camera_right", 0.80, 0.42, 2.10, (22, -24), 24),
    Aim("camera_right", 0.92, 0.46, 1.80, (-10, -34), 0),
    Aim("camera_right", 0.95, 0.05, 1.45, (12, 24), -4),
    Aim("camera_right", 0.95, 0.95, 1.55, (-18, 20), 8),
)


def poses(
    aims: Sequence[Aim],
    camera: Callable[[str], CameraModel],
    world_from: Callable[[str], Transform],
    edge_px: float = 3.0,
) -> NDArray[np.float64]:
    """(K, 4, 4) world_from_board of each aim, moved so far inwards that the whole board is in the picture and above the ground."""
    out = []
    for aim in aims:
        model = camera(aim.camera)
        pixel = np.array([aim.u * model.width_px, aim.v * model.height_px])
        for _ in range(200):
            pose = _facing(aim, model, world_from(aim.camera), pixel)
            seen = model.project(world_from(aim.camera).inverse().apply(pose.apply(outline_m())))
            low = edge_px - seen.min(axis=0)
            high = seen.max(axis=0) - (model.width_px - 1 - edge_px, model.height_px - 1 - edge_px)
            shift = np.maximum(low, 0) - np.maximum(high, 0)
            shift[1] -= 10.0 * (pose.apply(outline_m())[:, 2].min() < 0.05)
            if not shift.any():
                break
            pixel = pixel + np.clip(shift, -10, 10)  # small steps: outside the picture the lens exaggerates
        out.append(pose.matrix)
    return np.stack(out)


def _facing(aim: Aim, model: CameraModel, world_from_camera: Transform, pixel: NDArray[np.float64]) -> Transform:
    """The board's middle on the pixel's ray, its face square to the ray but for the tilt and roll."""
    ray = model.rays(pixel[None])[0]
    right = np.cross((0, 1.0, 0), ray)
    right /= np.linalg.norm(right)
    square = np.column_stack([right, np.cross(ray, right), ray])
    turn = [
        rotation_from_vector(np.radians(angle) * np.eye(3)[axis])
        for axis, angle in enumerate((*aim.tilt_deg, aim.roll_deg))
    ]
    rotation = square @ turn[0] @ turn[1] @ turn[2]
    middle = ray * aim.distance_m - rotation @ (SIZE_M[0] / 2, SIZE_M[1] / 2, 0)
    return world_from_camera @ Transform.of(aim.camera, "board", rotation, middle)
