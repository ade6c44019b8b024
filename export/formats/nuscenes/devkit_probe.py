"""What nuscenes-devkit makes of a dataset, as JSON on standard output: `python devkit_probe.py FOLDER VERSION MOST_BOXES`.

Runs in the devkit's own environment, so it knows nothing of fieldrig.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes  # type: ignore[import-not-found]
from nuscenes.utils.data_classes import LidarPointCloud  # type: ignore[import-not-found]
from nuscenes.utils.geometry_utils import points_in_box  # type: ignore[import-not-found]
from PIL import Image


def probe(folder: Path, version: str, most_boxes: int) -> dict[str, Any]:
    """Load all tables, open every file of the keyframes, and count the points in boxes that are spread evenly over all."""
    data = NuScenes(version=version, dataroot=str(folder), verbose=False)
    return {
        "counts": {name: len(getattr(data, name)) for name in data.table_names},
        "keyframe_files": opened(data),
        "boxes": boxes(data, most_boxes),
    }


def opened(data: NuScenes) -> int:
    """How many keyframe files the devkit opens; pictures must be as large as the table says."""
    files = 0
    for record in data.sample_data:
        if not record["is_key_frame"]:
            continue
        path, _, _ = data.get_sample_data(record["token"])
        if record["sensor_modality"] == "lidar":
            LidarPointCloud.from_file(path)
        else:
            with Image.open(path) as picture:
                picture.load()
                if picture.size != (record["width"], record["height"]):
                    raise ValueError(f"{record['filename']} is {picture.size}, not {record['width'], record['height']}")
        files += 1
    return files


def boxes(data: NuScenes, most: int) -> dict[str, int]:
    """Annotation token -> points inside, by the devkit's own box, pose chain and test."""
    tokens = [record["token"] for record in data.sample_annotation]
    if len(tokens) > most:
        tokens = [tokens[i] for i in np.linspace(0, len(tokens) - 1, most).round().astype(int)]
    counts: dict[str, int] = {}
    last: tuple[str, Any] = ("", None)
    for token in tokens:
        sample = data.get("sample", data.get("sample_annotation", token)["sample_token"])
        lidar = next(name for channel, name in sorted(sample["data"].items()) if channel.startswith("LIDAR"))
        path, (box,), _ = data.get_sample_data(lidar, selected_anntokens=[token])
        if last[0] != path:
            last = (path, LidarPointCloud.from_file(path).points[:3])
        counts[token] = int(points_in_box(box, last[1]).sum())
    return counts


if __name__ == "__main__":
    print(json.dumps(probe(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))  # noqa: T201
