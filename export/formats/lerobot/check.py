"""Open a LeRobot dataset with lerobot-doctor, and reconcile it with fieldrig.json.

The doctor looks at the form. We look at whether it is still the dataset that was written: every row at its place and time, every
video frame at its row's instant and showing what the camera saw then, every true time the one of its source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.progress import Progress
from export.consumer import limit_s, run_consumer
from export.formats.lerobot.layout import ACTION, EPISODES, INFO, STATS, TASKS, TIMESTAMP_TOLERANCE_S
from export.formats.lerobot.stats import column_stats
from export.formats.lerobot.video_check import check_videos
from export.grid import time_on_grid
from export.provenance import read_provenance, read_sources
from export.report import Report

_NO_ACTIONS = "No action features found"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What the files say, before any of it is believed. columns: of all data files, in order."""

    info: Mapping[str, Any]
    columns: Mapping[str, NDArray[np.generic]]
    episodes: list[dict[str, Any]]
    tasks: list[str]
    stats: Mapping[str, Any]
    provenance: Mapping[str, Any]


def check(folder: Path, progress: Progress | None = None) -> Report:
    """Raises FieldrigError when the dataset cannot be checked at all: no fieldrig.json, no environment."""
    report = Report("lerobot", folder)
    provenance = read_provenance(folder)
    dataset = _read(folder, provenance, report)
    if dataset is not None:
        with report.believing("a table lacks what LeRobot demands of it"):
            _reconcile(folder, dataset, report)
    _ask_doctor(folder, provenance, report, progress)
    return report


def _reconcile(folder: Path, dataset: Dataset, report: Report) -> None:
    if _check_counts(dataset, report):
        report.require_none(_wrong_rows(dataset))
        _check_times(folder, dataset, report)
        report.require_none(_wrong_stats(dataset))
    check_videos(folder, dataset.info, dataset.episodes, dataset.provenance, report)


def _read(folder: Path, provenance: Mapping[str, Any], report: Report) -> Dataset | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        stats = json.loads((folder / STATS).read_text(encoding="utf-8"))
        tasks = pq.read_table(folder / TASKS).sort_by("task_index")
        episodes = pq.read_table(folder / EPISODES)
        kept = [name for name in episodes.column_names if not name.startswith("stats/")]
        paths = sorted((folder / "data").glob("*/*.parquet"))
        data = pa.concat_tables([pq.read_table(path) for path in paths])
        columns = {name: _numpy(data[name]) for name in data.column_names}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        report.problems.append(f"it cannot be read: {error!r}")
        return None
    return Dataset(info, columns, episodes.select(kept).to_pylist(), tasks["task"].to_pylist(), stats, provenance)


def _numpy(column: Any) -> NDArray[np.generic]:
    """(N,) for numbers, (N, D) for lists of fixed size."""
    import pyarrow as pa

    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(whole.type):
        return np.asarray(whole.flatten().to_numpy(zero_copy_only=False)).reshape(len(whole), whole.type.list_size)
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _check_counts(dataset: Dataset, report: Report) -> bool:
    """Rows, episodes and tasks must be as many as fieldrig.json says, by every place that counts them."""
    stated = dataset.provenance["counts"]
    rows = len(dataset.columns["index"]) if "index" in dataset.columns else 0
    lengths = sum(episode["length"] for episode in dataset.episodes)
    report.figures |= {"frames": rows, "episodes": len(dataset.episodes), "tasks": len(dataset.tasks)}
    found = [
        ("frames", rows, "data/ holds"),
        ("frames", dataset.info["total_frames"], "info.json says"),
        ("frames", lengths, "meta/episodes adds up to"),
        ("episodes", len(dataset.episodes), "meta/episodes holds"),
        ("episodes", dataset.info["total_episodes"], "info.json says"),
        ("episodes", len(dataset.provenance["episodes"]), "fieldrig.json lists"),
        ("tasks", len(dataset.tasks), "tasks.parquet holds"),
        ("tasks", dataset.info["total_tasks"], "info.json says"),
    ]
    for what, count, where in found:
        report.require(count == stated[what], f"{where} {count} {what}, fieldrig.json counts {stated[what]}")
    report.require(
        dataset.info["fps"] == dataset.provenance["rate_hz"],
        f"info.json says {dataset.info['fps']} rows/s, fieldrig.json {dataset.provenance['rate_hz']}",
    )
    missing = set(dataset.info["features"]) - set(dataset.columns) - _videos(dataset.info)
    report.require(not missing, f"data/ lacks the columns {', '.join(sorted(missing))}")
    return not report.problems


def _wrong_rows(dataset: Dataset) -> Iterator[str]:
    """Index, time and task of every row must follow from its place."""
    columns, rate_hz = dataset.columns, dataset.info["fps"]
    if not np.array_equal(columns["index"], np.arange(len(columns["index"]))):
        yield "the column index does not run 0, 1, 2 ... over all rows"
    start = 0
    for number, (episode, origin) in enumerate(zip(dataset.episodes, dataset.provenance["episodes"], strict=True)):
        stop = start + episode["length"]
        rows = slice(start, stop)
        count = np.arange(episode["length"])
        if (episode["dataset_from_index"], episode["dataset_to_index"]) != (start, stop):
            yield f"episode {number}: meta/episodes places it at other rows than {start} to {stop}"
        if episode["length"] != origin["rows"]:
            yield f"episode {number} has {episode['length']} rows, fieldrig.json says {origin['rows']}"
        if (columns["episode_index"][rows] != number).any() or episode["episode_index"] != number:
            yield f"episode {number}: a row of it bears another episode_index"
        if not np.array_equal(columns["frame_index"][rows], count):
            yield f"episode {number}: frame_index does not run 0, 1, 2 ..."
        late = np.abs(columns["timestamp"][rows].astype(np.float64) - count / rate_hz)
        if late.max(initial=0.0) > TIMESTAMP_TOLERANCE_S:
            yield f"episode {number}: row {late.argmax()} is {late.max():.6f} s off the grid of {rate_hz} rows/s"
        names = {
            dataset.tasks[index] for index in set(columns["task_index"][rows].tolist()) if index < len(dataset.tasks)
        }
        if names != {origin["task"]} or episode["tasks"] != [origin["task"]]:
            yield f"episode {number}: its task is {sorted(names)}, fieldrig.json says '{origin['task']}'"
        start = stop


def _check_times(folder: Path, dataset: Dataset, report: Report) -> None:
    """True times must be those of the sources, never run backwards, and be as near to the grid as fieldrig.json says."""
    times = dataset.provenance["times"]
    column_of = {stream: column for column, stream in times.items()}
    expected = {column: np.full(len(dataset.columns["index"]), -1, np.int64) for column in times}
    starts = [episode["dataset_from_index"] for episode in dataset.episodes]
    for source in read_sources(folder, dataset.provenance, ["episode_index", "frame_index", "t_ns", "spans"]):
        column = column_of[source["spans"][0]["stream"]]
        expected[column][starts[source["episode_index"]] + source["frame_index"]] = source["t_ns"]
    limit = dataset.provenance["tolerance_ns"]
    largest = 0
    for number, (episode, origin) in enumerate(zip(dataset.episodes, dataset.provenance["episodes"], strict=True)):
        rows = slice(episode["dataset_from_index"], episode["dataset_to_index"])
        first_ns, rate_hz = origin["first_row_ns"], dataset.info["fps"]
        grid = np.array([time_on_grid(first_ns, index, rate_hz) for index in range(episode["length"])])
        for column in times:
            true_ns = dataset.columns[column][rows].astype(np.int64)
            residual = np.abs(true_ns - grid)
            largest = max(largest, int(residual.max(initial=0)))
            counts = {"rows_outside_tolerance": int((residual > limit).sum())}
            counts["rows_repeated"] = int((np.diff(true_ns) == 0).sum())
            for fault in _wrong_times(true_ns, expected[column][rows], counts, origin, column):
                report.problems.append(f"episode {number}: {fault}")
    report.figures["largest_residual_ms"] = round(largest / 1e6, 3)


def _wrong_times(
    true_ns: NDArray[np.int64],
    expected_ns: NDArray[np.int64],
    counts: Mapping[str, int],
    origin: Mapping[str, Any],
    column: str,
) -> Iterator[str]:
    other = np.flatnonzero(true_ns != expected_ns)
    if len(other):
        yield f"{column} of row {other[0]} is not its source's time ({len(other)} such rows)"
    back = np.flatnonzero(np.diff(true_ns) < 0)
    if len(back):
        yield f"{column} runs backwards after row {back[0]}"
    for name, count in counts.items():
        if count != origin[name][column]:
            yield f"{name} of {column} is {count}, fieldrig.json says {origin[name][column]}"


def _wrong_stats(dataset: Dataset) -> Iterator[str]:
    """Counts and ranges of stats.json must be those of the rows."""
    for name, values in dataset.columns.items():
        stated = dataset.stats.get(name)
        if stated is None:
            yield f"stats.json says nothing of {name}"
            continue
        found = column_stats(values)
        for key in ("count", "min", "max"):
            if stated[key] != found[key].tolist():
                yield f"stats.json gives {key} {stated[key]} for {name}, its rows give {found[key].tolist()}"
        if not np.allclose(stated["mean"], found["mean"].astype(np.float64), rtol=1e-9, atol=1e-9):
            yield f"stats.json gives mean {stated['mean']} for {name}, its rows give {found['mean'].tolist()}"


def _ask_doctor(folder: Path, provenance: Mapping[str, Any], report: Report, progress: Progress | None) -> None:
    """Let lerobot-doctor look at it: what it fails is a problem, what it warns of a note.

    It fails every dataset without actions, since no policy can be trained on one. Where the drive recorded none, that one
    verdict is a note: nothing here makes up actions that nobody gave.
    """
    words = ["check", str(folder.absolute()), "--json"]
    ran = run_consumer("checkers", "lerobot-doctor", words, within_s=limit_s(folder), progress=progress)
    try:
        checks = json.loads(ran.output)["checks"]
        fails = sum(part["severity"] == "FAIL" for part in checks)
    except (ValueError, KeyError, TypeError):
        report.problems.append(f"lerobot-doctor cannot load it: {ran.last_words}")
        return
    if not checks or ran.code != (1 if fails else 0):  # it has not done all, or not told all
        report.problems.append(
            f"lerobot-doctor ended with code {ran.code} after {len(checks)} checks, {fails} of which failed"
        )
    for part in checks:
        for message in part["messages"]:
            line = f"lerobot-doctor, {part['name']}: {message['message']}"
            if message["severity"] == "WARN":
                report.notes.append(line)
            elif message["severity"] == "FAIL":
                excused = _NO_ACTIONS in message["message"] and provenance["features"].get(ACTION) is None
                (report.notes if excused else report.problems).append(
                    f"{line} (none were recorded, and none are made up)" if excused else line
                )
    report.figures["doctor_checks"] = len(checks)


def _videos(info: Mapping[str, Any]) -> set[str]:
    return {name for name, feature in info["features"].items() if feature["dtype"] == "video"}
