"""The points behind each picture that was given out, kept so that a pull need not decode the recordings again.

A cache: what is missing is made anew from the recording.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from annotate.prelabel.ground import Ground, find_ground
from capture.whole_file import write_whole

if TYPE_CHECKING:
    from annotate.keyframes import Keyframe


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """points_m: (N, 3) float32, lidar frame at the keyframe's time. ground: found in them."""

    points_m: NDArray[np.float32]
    ground: Ground

    def around(self, middle_m: NDArray[np.float64], reach_m: float) -> NDArray[np.float64]:
        """(M, 3) the points within reach_m of a place (x, y) along both axes: the few that a box there can hold."""
        near = np.abs(self.points_m[:, 0] - np.float32(middle_m[0])) < reach_m
        near &= np.abs(self.points_m[:, 1] - np.float32(middle_m[1])) < reach_m
        return np.asarray(self.points_m[near], dtype=np.float64)


def shown_in(keyframe: Keyframe) -> Shown:
    return Shown(keyframe.points_m, find_ground(keyframe.points_m, keyframe.intensity))


def save(kept: Shown, path: Path) -> None:
    content = BytesIO()
    np.savez(content, points_m=kept.points_m, is_ground=kept.ground.is_ground, level_m=kept.ground.level_m)
    write_whole(path, content.getvalue())


def load(path: Path) -> Shown | None:
    """None where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            points_m, is_ground, level_m = arrays["points_m"], arrays["is_ground"], arrays["level_m"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return Shown(points_m, Ground.over(points_m, is_ground, level_m))


def is_kept(path: Path) -> bool:
    """Whether the file is there to its end."""
    return is_zipfile(path)


def points_file(folder: Path, uid: str) -> Path:
    """Where the points of a keyframe are kept in its project's folder."""
    return folder / f"{file_stem(uid)}.points.npz"


def file_stem(uid: str) -> str:
    """A keyframe's uid as a file name; a hash keeps apart those that would look the same."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", uid)
    return plain if plain == uid else f"{plain}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"
