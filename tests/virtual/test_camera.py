"""Pictures: the board's corners where the true lens puts them, objects where the truth says."""

import cv2
import numpy as np
import pytest

from devices.transform import Transform
from devices.virtual.board import corners_m
from devices.virtual.camera import Lens
from devices.virtual.filming import film
from devices.virtual.rig_truth import CAMERA_MODELS, CAMERAS, RIG_FROM
from devices.virtual.scenes import Scene
from devices.virtual.shading import Shading
from devices.virtual.take_files import open_take
from devices.virtual.takes import VirtualTakes
from devices.virtual.truth import load_truth


@pytest.fixture(scope="module")
def shading(calibration: Scene) -> Shading:
    return Shading(calibration.world)


def _world_from(scene: Scene, camera: str, t_ns: int) -> Transform:
    return Transform("world", "rig", scene.robot.motion.matrices([t_ns])[0]) @ RIG_FROM[camera]


def _grey(jpeg: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("camera", CAMERAS)
def test_corners_in_the_picture_lie_where_the_true_lens_puts_them(
    camera: str, calibration: Scene, shading: Shading
) -> None:
    """OpenCV's corner finder, in a window that ends before the nearest marker, from a start that is up to 0.4 px off."""
    assert calibration.carried is not None
    stills = [start + 400_000_000 for start, _ in calibration.carried.still_ns]
    ours = stills[0:14:3] if camera == "camera_left" else stills[16::3]
    jpegs = list(film(calibration, shading, camera, np.array(ours), np.random.default_rng(0)))
    rng, errors = np.random.default_rng(1), []
    for t_ns, jpeg in zip(ours, jpegs, strict=True):
        camera_from_board = _world_from(calibration, camera, t_ns).inverse() @ Transform(
            "world", "board", calibration.carried.matrices([t_ns])[0]
        )
        true = CAMERA_MODELS[camera].project(camera_from_board.apply(corners_m()))
        assert CAMERA_MODELS[camera].sees(true, 3).all()
        square_px = np.linalg.norm(true[1] - true[0])
        window = int(np.clip(0.14 * square_px, 2, 5))
        start = (true + rng.uniform(-0.4, 0.4, true.shape)).astype(np.float32).reshape(-1, 1, 2)
        found = cv2.cornerSubPix(_grey(jpeg), start, (window, window), (-1, -1), (3, 100, 1e-5))
        errors.append(found.reshape(-1, 2) - true)
    error = np.concatenate(errors)
    assert np.sqrt((error**2).sum(axis=1).mean()) < 0.1
    assert np.abs(error.mean(axis=0)).max() < 0.02, "no shift of the whole picture by a part of a pixel"


def test_every_pose_shows_the_whole_board_to_a_camera_and_all_corners_of_both_pictures_are_reached(
    calibration: Scene,
) -> None:
    assert calibration.carried is not None
    poses = calibration.carried.poses
    assert 25 <= len(poses) <= 32
    seen_by = np.zeros((len(poses), 2), dtype=bool)
    for column, camera in enumerate(CAMERAS):
        model, seen = CAMERA_MODELS[camera], []
        for row, pose in enumerate(poses):
            pixels = model.project(
                (_world_from(calibration, camera, 0).inverse() @ Transform("world", "board", pose)).apply(corners_m())
            )
            seen_by[row, column] = model.sees(pixels).all()
            if seen_by[row, column]:
                seen.append(pixels)
        places = np.concatenate(seen)
        for corner in ((0, 0), (639, 0), (0, 479), (639, 479)):
            assert np.linalg.norm(places - corner, axis=1).min() < 110, f"{camera} {corner}"
    assert seen_by.any(axis=1).all()
    assert seen_by.all(axis=1).sum() >= 3, "both cameras must see some poses"
    assert seen_by.sum(axis=0).min() >= 14


def test_the_board_is_seen_by_the_lidar_in_most_poses(calibration: Scene) -> None:
    from devices.virtual.lidar import Sweeps

    assert calibration.carried is not None
    sweeps = Sweeps.of(calibration.world, calibration.robot.motion, RIG_FROM["lidar"], parked=True)
    plate = calibration.world.movers[0]
    counts = []
    for start, _ in calibration.carried.still_ns:
        _, triangle, _ = sweeps.cast(start + 100_000_000)
        counts.append(int(((triangle >= plate.first) & (triangle < plate.first + len(plate.mesh))).sum()))
    assert sum(count > 200 for count in counts) >= 24
    assert max(counts) > 1500


def test_between_pixels_the_lens_is_as_the_model_says() -> None:
    model = CAMERA_MODELS["camera_left"]
    lens = Lens(model)
    rng = np.random.default_rng(0)
    flat = rng.integers(0, 640 * 480, 500)
    rays = lens.directions_beside(lens.whole, flat, 0.375, -0.125)
    wanted = np.column_stack([flat % 640 + 0.375, flat // 640 - 0.125])
    np.testing.assert_allclose(model.project(rays), wanted, atol=2e-3)


def test_a_parked_cars_box_frames_its_pixels(short_drive: VirtualTakes) -> None:
    """The red hatchback to the right of the start: red inside its projected box, none just above it."""
    truth, take = load_truth(short_drive.truth("drive")), open_take(short_drive.cache, "drive")
    t_ns = int(take.timing["camera_right/image"].captured_ns[3])
    picture = cv2.imdecode(np.frombuffer(take.jpeg("camera_right", 3), dtype=np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)
    box = next(b for b in truth.boxes(t_ns, "camera_right") if b.id == "parked_white_saloon")
    corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * box.size_m
    pixels = truth.cameras["camera_right"].project(box.frame_from_box.apply(corners))
    (left, top), (right, _) = pixels.min(axis=0).astype(int), pixels.max(axis=0).astype(int)
    middle = (left + right) // 2
    roof = picture[top + 12 : top + 40, middle - 30 : middle + 30].mean(axis=(0, 1))
    above = picture[top - 12 : top - 4, middle - 30 : middle + 30].mean(axis=(0, 1))
    assert np.abs(roof - above).max() > 25
