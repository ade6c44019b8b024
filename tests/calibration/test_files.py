"""KITTI's calibration files in both layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.errors import CalibrationError
from calibration.files import import_kitti_calibration

TR = "7.533745e-03 -9.999714e-01 -6.166020e-04 -4.069766e-03 1.480249e-02 7.280733e-04 -9.998902e-01 -7.631618e-02 9.998621e-01 7.523790e-03 1.480755e-02 -2.717806e-01"
P2 = "7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 2.163791e-01 0 0 1 2.745884e-03"
R0 = "9.999239e-01 9.837760e-03 -7.445048e-03 -9.869795e-03 9.999421e-01 -4.278459e-03 7.402527e-03 4.351614e-03 9.999631e-01"


def _object_layout(folder: Path) -> Path:
    (folder / "image_02" / "data").mkdir(parents=True)
    Image.new("RGB", (1242, 375)).save(folder / "image_02" / "data" / "0000000000.png")
    (folder / "calib.txt").write_text(f"P2: {P2}\nR0_rect: {R0}\nTr_velo_to_cam: {TR}\n")
    return folder


def _raw_layout(folder: Path) -> Path:
    drive = folder / "drive"
    (drive / "image_02" / "data").mkdir(parents=True)
    numbers = np.array(TR.split(), dtype=float).reshape(3, 4)
    rotation, shift = (" ".join(map(str, values.ravel())) for values in (numbers[:, :3], numbers[:, 3]))
    (folder / "calib_velo_to_cam.txt").write_text(f"calib_time: 15-Mar-2012 11:37:16\nR: {rotation}\nT: {shift}\n")
    (folder / "calib_cam_to_cam.txt").write_text(
        f"calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\nR_rect_00: {R0}\nS_rect_02: 1.242000e+03 3.750000e+02\nP_rect_02: {P2}\n"
    )
    return drive


@pytest.mark.parametrize("layout", [_object_layout, _raw_layout])
def test_a_point_lands_where_kittis_own_formula_puts_it(tmp_path: Path, layout: object) -> None:
    calibration = import_kitti_calibration(layout(tmp_path))  # type: ignore[operator]
    points = np.random.default_rng(0).uniform((5, -4, -1.5), (40, 4, 1), (50, 3))
    projection, rectify, transform = (np.array(text.split(), dtype=float).reshape(3, -1) for text in (P2, R0, TR))
    homogeneous = projection @ np.vstack([rectify @ (transform @ np.vstack([points.T, np.ones(50)])), np.ones(50)])
    model = calibration.camera("camera_02")
    ours = model.project(calibration.between("camera_02", "lidar").apply(points))
    np.testing.assert_allclose(ours, (homogeneous[:2] / homogeneous[2]).T, atol=2e-3)
    assert (model.width_px, model.height_px) == (1242, 375)
    assert calibration.verdict == "doubtful"
    assert "states no uncertainty" in calibration.reasons[0]


def test_missing_files_and_entries_are_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no KITTI calibration in"):
        import_kitti_calibration(tmp_path / "nothing" / "here")
    folder = _object_layout(tmp_path)
    (folder / "calib.txt").write_text(f"P2: {P2}\nR0_rect: {R0}\n")
    with pytest.raises(CalibrationError, match="lacks the entry 'Tr_velo_to_cam'"):
        import_kitti_calibration(folder)


def test_a_first_picture_that_is_none_is_named(tmp_path: Path) -> None:
    folder = _object_layout(tmp_path)
    (folder / "image_02/data/0000000000.png").write_text("no picture")
    with pytest.raises(CalibrationError, match=r"0000000000\.png is no picture; copy it from the drive anew"):
        import_kitti_calibration(folder)


def test_the_real_drives_calibration_is_imported(test_data: Path) -> None:
    calibration = import_kitti_calibration(test_data / "kitti_drive", "some-rig")
    assert calibration.rig == "some-rig"
    assert list(calibration.cameras) == ["camera_02"]
    # Camera 2 sits 6 cm left of camera 0, some 27 cm ahead of the lidar and 7 cm below it.
    np.testing.assert_allclose(calibration.rig_from("camera_02").translation_m, (0.270, 0.058, -0.072), atol=0.002)
