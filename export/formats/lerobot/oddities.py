"""What a reader should know of a dataset beside what its rows hold: it is not wrong, and does not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from export.dataset import DatasetView
from export.formats.lerobot.episodes import LONGEST_NS, Planned


def of_episodes(planned: Sequence[Planned]) -> Iterator[str]:
    """An episode that became several."""
    for drive_id, task, parts in dict.fromkeys((each.drive.id, each.episode.task, each.parts) for each in planned):
        if parts > 1:
            yield (
                f"{drive_id}: the episode '{task}' is {parts} here, none longer than {LONGEST_NS / 60e9:.0f} min: LeRobot's times "
                "(float32) are as exact as its loader wants them up to 34 min"
            )


def of_rows(
    origins: Sequence[Mapping[str, Any]], times: Mapping[str, str], rows: int, tolerance_ns: int
) -> Iterator[str]:
    """Failures, and samples from elsewhere in time. origins: fieldrig.json's episodes. times: time column -> stream."""
    failed = sum(origin["outcome"] == "failure" for origin in origins)
    if failed:
        yield f"{failed} of {len(origins)} episodes ended as a failure, by their marks: fieldrig.json says which (outcome)"
    for column, stream in times.items():
        outside = [origin["rows_outside_tolerance"][column] for origin in origins]
        if any(outside):
            worst_ms = max(origin["largest_residual_ns"][column] for origin in origins) / 1e6
            yield (
                f"{sum(outside)} of {rows} rows, in {sum(map(bool, outside))} episodes, have no sample of {stream} within "
                f"{tolerance_ns / 1e6:g} ms: they hold the nearest one, which is up to {worst_ms:.0f} ms away"
            )


def of_streams(view: DatasetView) -> Iterator[str]:
    """What has no place in the rows."""
    for drive in view.drives:
        if drive.other_vectors:
            names = ", ".join(drive.other_vectors)
            yield f"{drive.id}: left out is what is neither SENSOR/state nor SENSOR/action by its name: {names}"
