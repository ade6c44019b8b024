"""A small street that a spinning lidar looks at, with known boxes, as a KITTI drive on disk; and single labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotate.labels import Cuboid, Provenance, in_box_axes
from annotate.store import LabelledFrame
from capture.recording import Span

LIDAR_HEIGHT_M = 1.73
SPAN = Span("rec", "lidar/points", 3, 3, 1_000, 2_000, "ab" * 32)
PROVENANCE = Provenance(
    spans=(SPAN,),
    calibration_id="0123456789abcdef",
    annotator="ann@example.org",
    task="rec@1",
    guideline="find-1",
    made_ns=1_700_000_000_123_456_789,
    origin="human",
)


@dataclass(frozen=True)
class Thing:
    """A box of the street: centre (x, y) in the lidar's frame, length, width, height, heading."""

    category: str
    middle_m: tuple[float, float]
    size_m: tuple[float, float, float]
    yaw_deg: float

    @property
    def center_m(self):
        return np.array([*self.middle_m, self.size_m[2] / 2 - LIDAR_HEIGHT_M])

    @property
    def cuboid(self) -> Cuboid:
        return cuboid(
            self.category,
            category=self.category,
            center_m=self.center_m,
            size_m=self.size_m,
            yaw_rad=np.radians(self.yaw_deg),
        )


STREET = (
    Thing("car", (9.0, 3.5), (4.3, 1.8, 1.5), 0.0),
    Thing("car", (14.0, -4.0), (4.4, 1.75, 1.45), 20.0),
    Thing("car", (-11.0, 4.0), (4.2, 1.8, 1.55), 175.0),
    Thing("pedestrian", (7.0, -5.0), (0.6, 0.6, 1.8), 0.0),
    Thing("wall", (5.0, 12.0), (40.0, 0.4, 3.5), 0.0),
)


def cuboid(name="o001", **changes) -> Cuboid:
    base = {
        "id": name,
        "category": "car",
        "t_ns": 946_684_800_000_000_123,
        "center_m": (10.0, 2.0, -0.9),
        "size_m": (4.4, 1.8, 1.5),
        "yaw_rad": 0.3,
        "num_points": 120,
        "provenance": PROVENANCE,
    }
    return Cuboid(**(base | changes))


def labelled_frame(uid="rec@1", **changes) -> LabelledFrame:
    base = {
        "uid": uid,
        "t_ns": 946_684_800_000_000_123,
        "recording_id": "rec",
        "calibration_id": "0123456789abcdef",
        "spans": (SPAN,),
        "annotator": "ann@example.org",
        "made_ns": 5,
    }
    return LabelledFrame(**(base | changes))


def scan(things=STREET, columns=1500, seed=0):
    """(N, 4) float32 x y z intensity: 64 beams from +2 to -24.8 degrees, 2 cm of range noise, nothing beyond 80 m."""
    azimuth, elevation = np.meshgrid(
        np.linspace(-np.pi, np.pi, columns, endpoint=False), np.radians(np.linspace(2, -24.8, 64))
    )
    rays = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    ).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        reach = np.where(rays[:, 2] < 0, -LIDAR_HEIGHT_M / rays[:, 2], np.inf)
    intensity = np.full(len(rays), 0.3)
    for thing in things:
        hit = _reach(rays, thing)
        intensity = np.where(hit < reach, 0.7, intensity)
        reach = np.minimum(reach, hit)
    seen = (reach < 80) & (reach > 2)
    reach = reach[seen] + np.random.default_rng(seed).normal(0, 0.02, seen.sum())
    return np.column_stack([rays[seen] * reach[:, None], intensity[seen]]).astype(np.float32)


def _reach(rays, thing):
    """Where each ray from the origin enters a box; inf where it passes by."""
    origin = in_box_axes(np.zeros((1, 3)), thing.center_m, np.radians(thing.yaw_deg))[0]
    direction = in_box_axes(rays, (0, 0, 0), np.radians(thing.yaw_deg))
    half = np.array(thing.size_m) / 2
    with np.errstate(divide="ignore"):
        one, other = (-half - origin) / direction, (half - origin) / direction
    enters, leaves = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
    return np.where((enters < leaves) & (enters > 0), enters, np.inf)


def write_drive(folder: Path, frames: int = 4) -> Path:
    """The street as a KITTI drive: one camera that looks ahead, calibration beside it."""
    import cv2

    (folder / "image_02" / "data").mkdir(parents=True)
    (folder / "velodyne_points" / "data").mkdir(parents=True)
    for k in range(frames):
        picture = np.full((188, 621, 3), (200, 180, 160), dtype=np.uint8)
        picture[94:] = (90, 90, 90)
        picture[:, :, 0] += np.arange(621, dtype=np.uint8)[None, :] // 8
        cv2.imwrite(str(folder / "image_02" / "data" / f"{k:010d}.png"), picture)
        scan(seed=k).tofile(folder / "velodyne_points" / "data" / f"{k:010d}.bin")
    projection = "360 0 310 0 0 360 94 0 0 0 1 0"
    entries = [f"P{camera}: {projection}" for camera in range(4)]
    entries += ["R0_rect: 1 0 0 0 1 0 0 0 1", "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"]
    (folder / "calib_street.txt").write_text("\n".join(entries) + "\n")
    return folder
