"""Statistics of features as LeRobot keeps them: min, max, mean, std, count and five quantiles.

Pictures are sampled as lerobot samples them (compute_stats.py of lerobot 0.6.1): of n frames max(100, n^0.75) evenly spread
ones, thinned to about 150 px. Their values are whole numbers from 0 to 255, so a histogram holds them exactly.
Over several episodes quantiles are averaged by count, as lerobot does; everything else is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
Stats = dict[str, NDArray[np.generic]]


class PictureStats:
    """The statistics of one camera in one episode."""

    def __init__(self, expected: int) -> None:
        """expected: about how many pictures are to come, which sets how many of them are looked at."""
        samples = max(min(100, expected), min(int(expected**0.75), 10_000))
        self._every = max(1, expected // max(1, samples))
        self._seen = 0
        self._taken = 0
        self._histogram = np.zeros((3, 256), dtype=np.int64)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """pixels: (H, W, 3) uint8 RGB."""
        if self._seen % self._every == 0:
            thinned = pixels if max(pixels.shape) < 300 else _thinned(pixels)
            for channel in range(3):
                self._histogram[channel] += np.bincount(thinned[:, :, channel].ravel(), minlength=256)
            self._taken += 1
        self._seen += 1

    def result(self) -> Stats:
        """Each (3, 1, 1), in 0 to 1; count (1,): the pictures looked at."""
        levels = np.arange(256) / 255
        share = self._histogram / self._histogram.sum(axis=1, keepdims=True)
        mean = share @ levels
        reached = np.cumsum(share, axis=1)
        stats = {
            "min": levels[(self._histogram > 0).argmax(axis=1)],
            "max": levels[255 - (self._histogram[:, ::-1] > 0).argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ levels**2 - mean**2, 0)),
            **{_name(q): levels[(reached >= q - 1e-12).argmax(axis=1)] for q in QUANTILES},
        }
        shaped: Stats = {name: value.reshape(3, 1, 1) for name, value in stats.items()}
        return {**shaped, "count": np.array([self._taken])}


def column_stats(values: NDArray[np.generic]) -> Stats:
    """(N,) or (N, D) -> each (1,) or (D,), all of float64 but min and max of whole numbers; count (1,)."""
    table = values.reshape(len(values), -1)
    exact = table.astype(np.float64)
    stats: Stats = {
        "min": exact.min(axis=0),
        "max": exact.max(axis=0),
        "mean": exact.mean(axis=0),
        "std": exact.std(axis=0),
    }
    if table.dtype.kind == "i":
        # Times of 1e18 ns keep their spread only as whole numbers counted from one of them.
        whole = table.astype(np.int64)
        offset = (whole - whole[0]).astype(np.float64)
        stats = {"min": whole.min(axis=0), "max": whole.max(axis=0)}
        stats |= {"mean": whole[0] + offset.mean(axis=0), "std": offset.std(axis=0)}
    stats["count"] = np.array([len(table)])
    return stats | {_name(q): np.quantile(exact, q, axis=0) for q in QUANTILES}


def combined(episodes: Sequence[Stats]) -> Stats:
    """The statistics of several episodes together; variances by the parallel algorithm (Chan et al. 1979)."""
    counts = np.array([stats["count"][0] for stats in episodes], dtype=np.float64)
    weights = (counts / counts.sum()).reshape(-1, *(1,) * episodes[0]["mean"].ndim)
    means = np.stack([stats["mean"] for stats in episodes]).astype(np.float64)
    stds = np.stack([stats["std"] for stats in episodes]).astype(np.float64)
    mean = (weights * means).sum(axis=0)
    result: Stats = {
        "min": np.min([stats["min"] for stats in episodes], axis=0),
        "max": np.max([stats["max"] for stats in episodes], axis=0),
        "mean": mean,
        "std": np.sqrt((weights * (stds**2 + (means - mean) ** 2)).sum(axis=0)),
        "count": np.array([int(counts.sum())]),
    }
    for q in QUANTILES:
        result[_name(q)] = (weights * np.stack([stats[_name(q)] for stats in episodes])).sum(axis=0)
    return result


def _thinned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = max(1, max(pixels.shape[:2]) // 150)
    return pixels[::step, ::step]


def _name(quantile: float) -> str:
    return f"q{round(quantile * 100):02d}"
