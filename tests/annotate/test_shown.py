"""The points behind a picture, kept beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from annotate.label_studio import shown
from annotate.label_studio.shown import Shown
from annotate.prelabel.ground import find_ground


def test_points_and_ground_come_back_and_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    points = np.column_stack([random.uniform(-20, 20, (5000, 2)), random.normal(-1.7, 0.02, 5000)]).astype(np.float32)
    path = shown.points_file(tmp_path, "recording@1")
    assert not shown.is_kept(path)
    assert shown.load(path) is None
    shown.save(Shown(points, find_ground(points, np.ones(5000))), path)
    kept = shown.load(path)
    assert kept is not None
    np.testing.assert_array_equal(kept.points_m, points)
    assert abs(kept.ground.height_m).max() < 0.2
    assert shown.is_kept(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:1000], whole[:-100], whole[:500] + bytes(500) + whole[1000:]):
        path.write_bytes(damaged)
        assert shown.load(path) is None
    path.write_bytes(whole[:-100])
    assert not shown.is_kept(path)
