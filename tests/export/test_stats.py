"""Statistics against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from export.formats.lerobot.stats import PictureStats, column_stats, combined


def test_a_columns_statistics_are_numpys() -> None:
    values = np.random.default_rng(1).normal(3, 2, (500, 4)).astype(np.float32)
    stats = column_stats(values)
    exact = values.astype(np.float64)
    assert np.allclose(stats["mean"], exact.mean(axis=0), rtol=1e-12)
    assert np.allclose(stats["std"], exact.std(axis=0), rtol=1e-12)
    assert np.allclose(stats["q10"], np.quantile(exact, 0.1, axis=0))
    assert stats["count"].tolist() == [500]


def test_times_of_1e18_ns_keep_their_least_and_largest_value_and_their_spread() -> None:
    times = 1_750_000_000_123_456_789 + np.arange(100) * 100_000_001
    stats = column_stats(times)
    assert (stats["min"].tolist(), stats["max"].tolist()) == ([times[0]], [times[-1]])
    assert stats["std"][0] == pytest.approx(np.arange(100).std() * 100_000_001, rel=1e-12)


def test_statistics_of_episodes_combine_to_those_of_all_rows() -> None:
    parts = [np.random.default_rng(seed).normal(seed, 1 + seed, (50 + 70 * seed, 3)) for seed in range(3)]
    whole, found = column_stats(np.concatenate(parts)), combined([column_stats(part) for part in parts])
    for name in ("min", "max", "mean", "std", "count"):
        assert np.allclose(found[name], whole[name]), name


def test_a_pictures_statistics_are_exact_over_the_frames_looked_at() -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (8, 20, 30, 3), dtype=np.uint8)
    stats = PictureStats(expected=len(pictures))
    for pixels in pictures:
        stats.add(pixels)
    found = stats.result()
    values = pictures.reshape(-1, 3) / 255
    assert found["count"].tolist() == [8]
    assert found["mean"].shape == (3, 1, 1)
    assert np.allclose(found["mean"].ravel(), values.mean(axis=0))
    assert np.allclose(found["std"].ravel(), values.std(axis=0))
    assert np.allclose(found["max"].ravel(), values.max(axis=0))
    assert np.allclose(found["q50"].ravel(), np.quantile(values, 0.5, axis=0, method="inverted_cdf"))


def test_of_a_long_episode_only_a_spread_of_frames_is_looked_at() -> None:
    stats = PictureStats(expected=4000)
    pixels = np.zeros((4, 4, 3), np.uint8)
    for _ in range(4000):
        stats.add(pixels)
    assert 400 <= stats.result()["count"][0] <= 600  # 4000^0.75 = 503
