"""Calibrations that others made: KITTI's files.

Two layouts are read. The raw data's own: calib_cam_to_cam.txt (P_rect_02, R_rect_00, S_rect_02) and
calib_velo_to_cam.txt (R, T). The object benchmark's, one file for all: P0 to P3, R0_rect, Tr_velo_to_cam. Both are of
rectified cameras, without distortion:

    pixel ~ P_i R_rect_0 Tr x        with  P_i = K [I | b]

so that the rectified camera i stands not where camera 0 stands but K^-1 P_i[:, 3] away from it (Geiger et al. 2013,
"Vision meets
robotics: the KITTI dataset", eq. 4 and 8). The lidar's frame (x forward, y left, z up) is taken for the rig's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.calibration import Calibration, CameraCalibration, Mount, TimeOffset
from calibration.errors import CalibrationError
from devices.camera_model import CameraModel
from devices.transform import Transform

Array = NDArray[np.float64]
_LIDAR = "lidar"


def import_kitti_calibration(folder: Path, rig_name: str = "kitti") -> Calibration:
    """The calibration of a KITTI drive's folder, its files there or one folder above. The verdict is doubtful: no file
    states how good it is. Raises CalibrationError when files or entries are missing.
    """
    folder = Path(folder)
    path, entries = _entries(folder)
    lidar_entry = _matrix(entries, "Tr_velo_to_cam", (3, 4), path)
    rectify = _matrix(entries, "R0_rect", (3, 3), path)
    rectified_from_lidar = Transform.of(
        "rectified_00", _LIDAR, _rotation(rectify @ lidar_entry[:, :3]), rectify @ lidar_entry[:, 3]
    )
    reason = f"imported from {path.name}: its maker states no uncertainty, and it was not checked against this rig"
    evidence = {"file": path.name, "reasons": [reason]}
    cameras: dict[str, CameraCalibration] = {}
    mounts = {
        _LIDAR: Mount(
            Transform.identity("rig", _LIDAR), np.zeros((6, 6)), "good", {"gauge": "the rig's frame is the lidar's"}
        )
    }
    for number in _cameras(folder, entries):
        projection = _matrix(entries, f"P{number}", (3, 4), path)
        matrix = projection[:, :3]
        name = f"camera_{number:02d}"
        width, height = _size(folder, number, entries)
        focal, middle = (float(matrix[0, 0]), float(matrix[1, 1])), (float(matrix[0, 2]), float(matrix[1, 2]))
        model = CameraModel("pinhole", width, height, *focal, *middle)
        cameras[name] = CameraCalibration(model, (), None, 0, "doubtful", evidence)
        shifted = Transform.of(name, "rectified_00", np.eye(3), np.linalg.solve(matrix, projection[:, 3]))
        rig_from_camera = Transform("rig", name, (shifted @ rectified_from_lidar).inverse().matrix)
        mounts[name] = Mount(rig_from_camera, None, "doubtful", evidence)
    assumed = TimeOffset(0, None, "KITTI's stamps are taken as capture times", "doubtful", evidence)
    return Calibration(
        rig=rig_name,
        made_ns=time.time_ns(),
        recordings=(),
        cameras=cameras,
        mounts=mounts,
        time_offsets=dict.fromkeys(mounts, assumed),
        verdict="doubtful",
        reasons=(reason,),
    )


def _entries(folder: Path) -> tuple[Path, dict[str, Array]]:
    """The file that was read and its entries, named as in the object benchmark whichever layout they came in."""
    for place in (folder, folder.absolute().parent):
        combined = sorted(path for path in place.glob("calib*.txt") if "_to_" not in path.name)
        if combined:
            return combined[0], _read(combined[0])
        cameras, lidar = place / "calib_cam_to_cam.txt", place / "calib_velo_to_cam.txt"
        if cameras.is_file() and lidar.is_file():
            return cameras, _as_object(_read(cameras), _read(lidar), cameras, lidar)
    raise CalibrationError(
        f"no KITTI calibration in {folder} or above it: calib_cam_to_cam.txt with calib_velo_to_cam.txt, or one calib*.txt, is expected"
    )


def _as_object(
    cameras: Mapping[str, Array], lidar: Mapping[str, Array], camera_path: Path, lidar_path: Path
) -> dict[str, Array]:
    rotation, shift = _matrix(lidar, "R", (3, 3), lidar_path), _matrix(lidar, "T", (3, 1), lidar_path)
    named = {f"P{key[-1]}": value for key, value in cameras.items() if key.startswith("P_rect_")}
    named |= {f"S{key[-1]}": value for key, value in cameras.items() if key.startswith("S_rect_")}
    named["R0_rect"] = _matrix(cameras, "R_rect_00", (3, 3), camera_path).ravel()
    named["Tr_velo_to_cam"] = np.concatenate([rotation, shift], axis=1).ravel()
    return named


def _read(path: Path) -> dict[str, Array]:
    """The numeric entries of a file of ``NAME: number number ...`` lines."""
    entries: dict[str, Array] = {}
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name, _, values = line.partition(":")
        try:
            entries[name.strip()] = np.array([float(value) for value in values.split()])
        except ValueError:  # calib_time and other words
            continue
    return entries


def _matrix(entries: Mapping[str, Array], name: str, shape: tuple[int, int], path: Path) -> Array:
    values = entries.get(name)
    if values is None or values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise CalibrationError(f"{path} lacks the entry '{name}' of {shape[0] * shape[1]} numbers")
    return values.reshape(shape)


def _rotation(nearly: Array) -> Array:
    """The rotation nearest to a matrix that was written with seven digits."""
    u, _, v = np.linalg.svd(nearly)
    return np.asarray(u @ v, dtype=np.float64)


def _cameras(folder: Path, entries: Mapping[str, Array]) -> list[int]:
    """The numbers of the cameras whose pictures the folder holds, or of all whose picture size the file states."""
    known = [number for number in range(4) if f"P{number}" in entries]
    here = [number for number in known if (folder / f"image_{number:02d}").is_dir()]
    stated = [number for number in known if f"S{number}" in entries]
    if not (here or stated):
        raise CalibrationError(
            f"{folder} holds no image_NN folder, and its calibration states no picture size (S_rect_NN)"
        )
    return here or stated


def _size(folder: Path, number: int, entries: Mapping[str, Array]) -> tuple[int, int]:
    """Width and height of a rectified camera's pictures."""
    pictures = sorted((folder / f"image_{number:02d}").glob("data/*.png"))
    if pictures:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(pictures[0]) as picture:
                return picture.size
        except UnidentifiedImageError:
            raise CalibrationError(f"{pictures[0]} is no picture; copy it from the drive anew") from None
    if f"S{number}" in entries:
        width, height = entries[f"S{number}"]
        return round(width), round(height)
    raise CalibrationError(
        f"the size of camera {number}'s pictures is unknown: {folder}/image_{number:02d}/data holds no PNG"
    )
