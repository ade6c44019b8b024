"""A board, a camera and a lidar made of formulas, so that every truth is known: rendered pictures, sweeps, made-up
recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.calibration import Calibration, CameraCalibration, Mount, TimeOffset, Verdict
from calibration.motion import rotations
from capture.clock.filter import ClockFit
from capture.recording import Recorded, Span
from devices.camera_model import CameraModel
from devices.device import Stream
from devices.rig import CharucoBoard
from devices.samples import Image, NamedVector, Sample, Sweep
from devices.transform import Transform

BOARD = CharucoBoard(squares=(8, 6), square_m=0.11, marker_m=0.08, dictionary="DICT_5X5_100", margin_m=0.03)
CAMERA = CameraModel("pinhole", 640, 480, 480.0, 482.0, 322.0, 238.0, (-0.12, 0.03, 0.001, -0.0005, 0.0))
# Camera optical axes (right, down, ahead) from lidar axes (ahead, left, up), turned and shifted a little.
CAMERA_FROM_LIDAR = Transform.from_rpy("camera", "lidar", (1.0, -2.0, 1.5), (0.05, -0.21, -0.12)).matrix @ np.array(
    [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]
)
_PAPER, _INK, _PLATE, _WALL = 230.0, 25.0, 235.0, 110.0


def board_poses(count: int, random: np.random.Generator, tilt_rad: float = 0.35) -> list[NDArray[np.float64]]:
    """camera_from_board (4, 4) of boards 1.6 to 3.2 m away, tilted about every axis, all over the picture."""
    across, down = BOARD.squares
    middle = np.array([across, down, 0]) * BOARD.square_m / 2
    poses = []
    for _ in range(count):
        pose = np.eye(4)
        pose[:3, :3] = rotations(random.normal(0, tilt_rad, (1, 3)) * (1, 1.2, 0.6))[0]
        distance = random.uniform(1.6, 3.2)
        pose[:3, 3] = (
            distance * np.array([random.uniform(-0.4, 0.4), random.uniform(-0.28, 0.28), 1]) - pose[:3, :3] @ middle
        )
        poses.append(pose)
    return poses


class Photographer:
    """Renders the board as a camera with distortion sees it: 16 rays a pixel, a little blur, noise."""

    def __init__(self, model: CameraModel = CAMERA, board: CharucoBoard = BOARD) -> None:
        self.model, self.board = model, board
        across, down = board.squares
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
        printed = cv2.aruco.CharucoBoard(board.squares, board.square_m, board.marker_m, dictionary)
        self._print = printed.generateImage((across * 64, down * 64))
        inside = (np.arange(4) + 0.5) / 4 - 0.5
        # Rays of pixels' centres, and between them on straight lines: a ray's curve within a pixel is 1e-7 of it.
        u, v = np.arange(-1, model.width_px + 1), np.arange(-1, model.height_px + 1)
        rays = model.rays(np.stack(np.meshgrid(u, v), axis=2).reshape(-1, 2))
        flat = (rays / rays[:, 2:]).reshape(len(v), len(u), 3)
        self._rays = _finer(_finer(flat, 0, inside), 1, inside)

    def picture(self, camera_from_board: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
        """(H, W) grey."""
        rotation, shift = camera_from_board[:3, :3], camera_from_board[:3, 3]
        model = self.model
        pixels = np.full((model.height_px, model.width_px), _WALL)
        rows, columns = self._around(camera_from_board)
        rays = self._rays[4 * rows.start : 4 * rows.stop, 4 * columns.start : 4 * columns.stop]
        depth = (rotation[:, 2] @ shift) / (rays @ rotation[:, 2])
        local = (rays * depth[..., None] - shift) @ rotation
        x, y, margin, square = local[..., 0], local[..., 1], self.board.margin_m, self.board.square_m
        width, height = np.array(self.board.squares) * square
        plate = (x > -margin) & (y > -margin) & (x < width + margin) & (y < height + margin) & (depth > 0)
        picture = np.where(plate, _PLATE, _WALL)
        printed = plate & (x > 0) & (y > 0) & (x < width) & (y < height)
        down, across = (y[printed] / square * 64).astype(int), (x[printed] / square * 64).astype(int)
        down, across = np.minimum(down, self._print.shape[0] - 1), np.minimum(across, self._print.shape[1] - 1)
        picture[printed] = np.where(self._print[down, across] > 128, _PAPER, _INK)
        shape = (rows.stop - rows.start, 4, columns.stop - columns.start, 4)
        pixels[rows, columns] = picture.reshape(shape).mean(axis=(1, 3))
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.5) + random.normal(0, 2, pixels.shape)
        return np.asarray(np.clip(np.round(pixels), 0, 255), dtype=np.uint8)

    def _around(self, camera_from_board: NDArray[np.float64]) -> tuple[slice, slice]:
        """The rows and columns of pixels that the board can reach."""
        margin, size = self.board.margin_m, np.array(self.board.squares) * self.board.square_m
        share = np.linspace(0, 1, 12)
        x, y = (grid.ravel() for grid in np.meshgrid(share * (size[0] + 2 * margin), share * (size[1] + 2 * margin)))
        local = np.stack([x - margin, y - margin, np.zeros_like(x)], axis=1)
        seen = self.model.project(local @ camera_from_board[:3, :3].T + camera_from_board[:3, 3])
        limits = self.model.width_px, self.model.height_px
        low = np.clip(np.floor(np.nanmin(seen, axis=0)).astype(int) - 8, 0, limits)
        high = np.clip(np.ceil(np.nanmax(seen, axis=0)).astype(int) + 8, 0, limits)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _finer(grid: NDArray[np.float64], axis: int, inside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between the first and the last entry along an axis: values at entry + inside."""
    at = (np.arange(1, grid.shape[axis] - 1)[:, None] + inside).ravel()
    low = np.floor(at).astype(int)
    share = np.expand_dims(at - low, tuple(other for other in range(3) if other != axis))
    return np.take(grid, low, axis) * (1 - share) + np.take(grid, low + 1, axis) * share


def sweep_of_board(
    lidar_from_board: NDArray[np.float64], random: np.random.Generator, t_ns: int = 0, board: CharucoBoard = BOARD
) -> Sweep:
    """64 beams over 45 degrees, 1024 columns, of which the half around the board is made."""
    elevation = np.radians(np.linspace(22.5, -22.5, 64))
    # Rings are staggered in azimuth as real ones are.
    columns = np.arange(-256, 256) * 2 * np.pi / 1024
    azimuth = columns[None, :] + np.radians([3.0, 1.1, -1.1, -3.0])[np.arange(64) % 4][:, None]
    directions = np.stack(
        [np.cos(elevation)[:, None] * np.cos(azimuth), np.cos(elevation)[:, None] * np.sin(azimuth),
         np.broadcast_to(np.sin(elevation)[:, None], azimuth.shape)], axis=2,
    ).reshape(-1, 3)  # fmt: skip
    ring = np.repeat(np.arange(64, dtype=np.uint16), 512)
    offset_ns = np.tile(np.arange(512, dtype=np.int64) * 97_656, 64)
    return _sweep_of_world(directions, ring, offset_ns, lidar_from_board, random, t_ns, board)


def roaming_sweep_of_board(lidar_from_board: NDArray[np.float64], random: np.random.Generator) -> Sweep:
    """A Livox's: four lasers fire in turn, each in other directions all over the view."""
    azimuth, elevation = np.radians(random.uniform(-45, 45, 20_000)), np.radians(random.uniform(-22.5, 22.5, 20_000))
    flat = np.cos(elevation)
    directions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)
    laser = (np.arange(20_000) % 4).astype(np.uint16)
    return _sweep_of_world(directions, laser, np.arange(20_000, dtype=np.int64) * 5_000, lidar_from_board, random)


def _sweep_of_world(
    directions: NDArray[np.float64],
    ring: NDArray[np.uint16],
    offset_ns: NDArray[np.int64],
    lidar_from_board: NDArray[np.float64],
    random: np.random.Generator,
    t_ns: int = 0,
    board: CharucoBoard = BOARD,
) -> Sweep:
    """The board, walls 5 m behind it, a floor, with 1 cm of range noise."""
    rotation, origin = lidar_from_board[:3, :3], lidar_from_board[:3, 3]
    with np.errstate(divide="ignore"):
        wall = np.where(directions[:, 0] > 0, 8.0 / directions[:, 0], np.inf)
        floor = np.where(directions[:, 2] < 0, -1.6 / directions[:, 2], np.inf)
        to_board = (rotation[:, 2] @ origin) / (directions @ rotation[:, 2])
    local = (directions * to_board[:, None] - origin) @ rotation
    low, high = -board.margin_m, np.array(board.squares) * board.square_m + board.margin_m
    hit = ((local[:, :2] > low) & (local[:, :2] < high)).all(axis=1) & (to_board > 0)
    distance = np.where(hit, to_board, np.minimum(wall, floor))
    seen = np.isfinite(distance) & (distance < 60)
    noisy = distance[seen] + random.normal(0, 0.01, seen.sum())
    points = (directions[seen] * noisy[:, None]).astype(np.float32)
    count = len(points)
    return Sweep(
        "lidar", t_ns, points, np.ones(count, np.float32), offset_ns[seen], np.zeros(count, np.uint8), ring[seen]
    )


def turned(degrees: Sequence[float], shift_m: Sequence[float] = (0, 0, 0)) -> NDArray[np.float64]:
    """(4, 4) from roll, pitch, yaw and a shift."""
    return Transform.from_rpy("a", "b", degrees, shift_m).matrix


def empty_sweep(t_ns: int, sensor: str = "lidar", lasts_ns: int = 100_000_000) -> Sweep:
    """Two points: a sweep's first and last."""
    points = np.array([[5, 0, 0], [5, 1, 0]], dtype=np.float32)
    offsets = np.array([0, lasts_ns], dtype=np.int64)
    return Sweep(sensor, t_ns, points, np.ones(2, np.float32), offsets, np.zeros(2, np.uint8), np.zeros(2, np.uint16))


def black_image(t_ns: int, sensor: str = "camera_left") -> Image:
    return Image(sensor, t_ns, np.zeros((4, 6, 3), dtype=np.uint8))


@dataclass
class MadeUpRecording:
    """What calibration asks of a recording, from a list of (stream, arrival, sample)."""

    samples_of: Callable[[], Iterator[tuple[str, int, Sample]]]
    streams: Mapping[str, Stream]
    rig: Any
    clocks: Mapping[str, Sequence[ClockFit]] = field(default_factory=dict)
    id: str = "made-up"
    start_ns: int = 0

    def streams_of(self, kind: type[Sample]) -> list[str]:
        return [name for name, stream in self.streams.items() if KINDS[stream.encoding] is kind]

    def samples(
        self, streams: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Recorded]:
        for number, (stream, host_ns, sample) in enumerate(self.samples_of()):
            in_time = (start_ns is None or host_ns >= start_ns) and (end_ns is None or host_ns < end_ns)
            if in_time and (streams is None or stream in streams):
                yield Recorded(sample, Span(self.id, stream, number, number, host_ns, host_ns, ""))


KINDS: Mapping[str, type[Sample]] = {"jpeg": Image, "ouster.lidar": Sweep, "vector.json": NamedVector}
ENCODINGS = {
    "camera_left": "jpeg",
    "camera_right": "jpeg",
    "lidar": "ouster.lidar",
    "robot": "vector.json",
    "odometry": "vector.json",
}


def made_up(
    samples: Callable[[], Iterator[tuple[str, int, Sample]]], sensors: Sequence[str], latency_ns: int = 0, **rest: Any
) -> MadeUpRecording:
    """A recording of sensors of the kinds in ENCODINGS, one stream each, called SENSOR/WHAT."""
    streams = {f"{name}/what": Stream(f"{name}/what", ENCODINGS[name]) for name in sensors}
    described = {
        name: SimpleNamespace(
            name=name, least_latency_ns=latency_ns, mounting=None, model_fields_set={"least_latency_ms"}
        )
        for name in sensors
    }
    rig = rest.pop("rig", SimpleNamespace(name="made-up", board=BOARD, sensors=described))
    return MadeUpRecording(samples, streams, rig, **rest)


def known_calibration(verdict: Verdict = "good", latencies_ns: Mapping[str, int] | None = None) -> Calibration:
    """A lidar at the rig's origin and one camera that looks ahead."""
    camera_from_lidar = Transform("camera_left", "lidar", CAMERA_FROM_LIDAR)
    rig_from_lidar = Transform("rig", "lidar", turned((0, 0, 10), (0.2, 0.1, 1.5)))
    rig_from_camera = rig_from_lidar @ camera_from_lidar.inverse()
    return Calibration(
        rig="made-up",
        made_ns=1_700_000_000_000_000_000,
        recordings=("made-up",),
        cameras={"camera_left": CameraCalibration(CAMERA, (0.1,) * 9, 0.12, 24, "good", {"heldout_rms_px": 0.13})},
        mounts={
            "lidar": Mount(rig_from_lidar, np.zeros((6, 6)), "good", {}),
            "camera_left": Mount(rig_from_camera, np.eye(6) * 1e-6, "good", {}),
        },
        time_offsets={name: TimeOffset(value, 1000, "made up") for name, value in (latencies_ns or {}).items()},
        verdict=verdict,
        reasons=() if verdict == "good" else ("camera_left: all boards stand nearly parallel",),
    )
