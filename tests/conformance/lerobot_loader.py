"""Load a LeRobot dataset with lerobot's own loader, as its training scripts do: `python lerobot_loader.py FOLDER`.

Needs an environment with `lerobot[dataset]==0.6.1` on Python 3.12 or newer (5 GB with torch), so it is not a part of `make test`.
It prints figures as JSON and ends with an error when anything about the dataset does not load.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main(folder: Path) -> None:
    require((folder / "meta/info.json").is_file(), f"{folder} holds no LeRobot dataset")
    dataset = LeRobotDataset("fieldrig/check", root=folder, video_backend="pyav")
    cameras = list(dataset.meta.video_keys)
    for index in range(len(dataset)):
        item = dataset[index]  # raises when a video has no frame within 1e-4 s of the row's timestamp
        for camera in cameras:
            height, width, _ = dataset.meta.features[camera]["shape"]
            require(item[camera].shape == (3, height, width), f"row {index}: {camera} is {tuple(item[camera].shape)}")
        require(item["index"].item() == index, f"row {index} says that it is row {item['index'].item()}")
        require(isinstance(item["task"], str) and item["task"] != "", f"row {index} has no task")
        times = [value for key, value in item.items() if key.startswith("time_ns.")]
        require(all(value.dtype == torch.int64 for value in times), f"row {index}: a true time is no int64")
    window = LeRobotDataset(
        "fieldrig/check",
        root=folder,
        video_backend="pyav",
        delta_timestamps={key: [-1 / dataset.fps, 0.0, 1 / dataset.fps] for key in (*cameras, "observation.state")},
    )
    batches = sum(1 for _ in torch.utils.data.DataLoader(window, batch_size=8, shuffle=True))
    figures = {"rows": len(dataset), "episodes": dataset.num_episodes, "cameras": len(cameras), "batches": batches}
    aggregate_stats([dataset.meta.stats, dataset.meta.stats])  # raises on statistics of a wrong shape
    print(json.dumps({**figures, "features": sorted(dataset.meta.features)}))  # noqa: T201


def require(holds: bool, problem: str) -> None:
    if not holds:
        raise SystemExit(problem)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
