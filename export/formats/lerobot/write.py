"""Write a DatasetView as LeRobot v3.0, in one pass over each recording and in bounded memory.

Each episode is a grid of rows at the first camera's rate, begun at that camera's first picture. A row takes every stream's
sample nearest to it and keeps that sample's true time beside it. Pictures stay as recorded (distorted); the calibration that
undoes it lies in meta/fieldrig. The same view gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.left_out import LeftOut
from capture.episodes import Episode
from capture.recorder_state import Outcome
from devices.progress import Progress
from devices.samples import NamedVector
from export.dataset import DatasetView
from export.drive import Drive
from export.errors import ExportError
from export.formats.lerobot import oddities
from export.formats.lerobot.episodes import planned_episodes
from export.formats.lerobot.files import DataFiles, VideoFiles, write_episodes, write_tasks
from export.formats.lerobot.layout import ACTION, FIELDRIG, INFO, STATE, STATS, Layout, plan
from export.formats.lerobot.stats import PictureStats, Stats, column_stats, combined
from export.formats.lerobot.video import thumbnail
from export.grid import PATIENCE_NS, GridRow
from export.provenance import Source, SourceWriter, write_provenance
from export.report import Report


def write(view: DatasetView, folder: Path, progress: Progress | None = None) -> Report:
    """Write the dataset into an empty folder. Raises ExportError when nothing can be made of the view."""
    layout = plan(view)
    planned = planned_episodes(view)
    left_out = {drive.id: LeftOut() for drive in view.drives}
    report = Report("lerobot", folder, notes=list(view.notes))
    with SourceWriter(folder / FIELDRIG / "sources.parquet") as sources:
        writer = _Writer(folder, layout, sources)
        for number, (drive, episode, outcome, _) in enumerate(planned):
            if progress is not None:
                progress(f"lerobot: episode {number + 1} of {len(planned)}", number / len(planned))
            report.notes += writer.write_episode(drive, episode, outcome, left_out[drive.id])
        writer.close()
    report.notes += [line for drive in view.drives for line in drive.told(left_out[drive.id])]
    rows_told = oddities.of_rows(writer.origins, layout.time_columns, writer.rows, tolerance_ns(layout.rate_hz))
    report.notes += [*oddities.of_episodes(planned), *rows_told, *oddities.of_streams(view)]
    if not writer.episodes:
        notes = report.notes[len(view.notes) :] if planned else view.notes
        why = f" ({'; '.join(notes[:3])})" if notes else ""
        raise ExportError(f"none of the {len(planned)} episodes holds two whole rows; nothing was exported{why}")
    writer.write_meta(view, report.notes)
    report.figures = {
        "episodes": len(writer.episodes),
        "frames": writer.rows,
        "tasks": len(writer.tasks),
        "rate_hz": layout.rate_hz,
        "cameras": len(layout.cameras),
    }
    return report


class _Writer:
    """The files of one dataset while episodes are added to them."""

    def __init__(self, folder: Path, layout: Layout, sources: SourceWriter) -> None:
        self.folder = folder
        self.layout = layout
        self.sources = sources
        self.data = DataFiles(folder, layout)
        self.videos = {camera.key: VideoFiles(folder, camera, layout.rate_hz) for camera in layout.cameras}
        self.tasks: dict[str, int] = {}
        self.rows = 0
        self.episodes: list[dict[str, Any]] = []  # the rows of meta/episodes
        self.statistics: list[dict[str, Stats]] = []
        self.origins: list[dict[str, Any]] = []  # fieldrig.json's episodes

    def write_episode(
        self, drive: Drive, episode: Episode, outcome: Outcome | None, left_out: LeftOut
    ) -> Iterator[str]:
        """Add one episode; yields what a reader should know about it."""
        part = episode if self.layout.states else drive.known_part(episode, tolerance_ns(self.layout.rate_hz), left_out)
        lost_ns = drive.recorded_ns(episode) - drive.recorded_ns(part)
        if lost_ns > tolerance_ns(self.layout.rate_hz):
            yield (
                f"{drive.id}: {lost_ns / 1e9:.1f} s of the episode '{episode.task}' are left out: its state is the rig's motion, and "
                "no pose within 0.5 s tells it there"
            )
        rows = drive.rows(part, self.layout.reference, self.layout.rate_hz, left_out)
        lost, first = _until_whole(rows, self.layout)
        if len(first) < 2:
            yield f"{drive.id}: the episode '{episode.task}' at {episode.start_ns} ns holds no two whole rows; left out"
            return
        if lost:
            yield f"{drive.id}: the episode '{episode.task}' begins {lost} rows late, for want of a stream"
        period_ns = 2 * tolerance_ns(self.layout.rate_hz)
        table = _Table(self.layout, drive, len(self.episodes), expected_rows(part, self.layout.rate_hz))
        for files in self.videos.values():
            files.begin_episode(expected_rows(part, self.layout.rate_hz) + 1)
        for index, row in enumerate(chain(first, rows)):
            table.add(row)
            for source in table.sources(row, index):
                self.sources.add(source)
            for camera in self.layout.cameras:
                self.videos[camera.key].add(table.pixels(row, camera.stream))
        self._close_episode(table, episode, outcome)
        yield from self._cut_short(drive, part, table.times_ns[0] - lost * period_ns, table.times_ns[-1] + period_ns)
        repeated = table.repeated()
        for column in (f"time_ns.{camera.sensor}" for camera in self.layout.cameras):
            if repeated[column]:
                yield f"{drive.id}: {repeated[column]} rows of episode {table.episode_index} repeat the picture before, by {column}"

    def _cut_short(self, drive: Drive, episode: Episode, first_ns: int, last_ns: int) -> Iterator[str]:
        """Rows are where the reference stream is: what of an episode lies before its first sample and after its last is missing."""
        late_ns, early_ns = (
            first_ns - max(episode.start_ns, drive.start_ns),
            min(episode.stop_ns, drive.end_ns) - last_ns,
        )
        for gap_ns, what in ((late_ns, "begins {} s after its start"), (early_ns, "ends {} s before its end")):
            if gap_ns > PATIENCE_NS:
                how = what.format(round(gap_ns / 1e9, 1))
                yield f"{drive.id}: the episode '{episode.task}' {how}: {self.layout.reference} holds nothing there"

    def _close_episode(self, table: _Table, episode: Episode, outcome: Outcome | None) -> None:
        task_index = self.tasks.setdefault(episode.task, len(self.tasks))
        columns = table.columns(self.rows, task_index)
        rows = len(table.times_ns)
        self.statistics.append(
            {name: column_stats(column) for name, column in columns.items()}
            | {key: stats.result() for key, stats in table.pictures.items()}
        )
        meta: dict[str, Any] = {"episode_index": table.episode_index, "tasks": [episode.task], "length": rows}
        meta |= {"dataset_from_index": self.rows, "dataset_to_index": self.rows + rows}
        meta |= self.data.add(columns)
        for key, files in self.videos.items():
            meta |= {f"videos/{key}/{name}": value for name, value in files.end_episode(rows).items()}
        self.episodes.append(meta)
        self.origins.append(
            {
                "episode_index": table.episode_index,
                "recording": episode.recording_id,
                "task": episode.task,
                "outcome": outcome,
                "start_ns": episode.start_ns,
                "stop_ns": episode.stop_ns,
                "first_row_ns": table.times_ns[0],
                "rows": rows,
                "largest_residual_ns": table.largest_residual_ns(),
                "rows_outside_tolerance": table.outside_tolerance(),
                "rows_repeated": table.repeated(),
            }
        )
        self.rows += rows

    def close(self) -> None:
        self.data.close()
        for files in self.videos.values():
            files.close()

    def write_meta(self, view: DatasetView, notes: list[str]) -> None:
        write_tasks(self.folder, self.tasks)
        write_episodes(self.folder, self.episodes, self.statistics)
        total = {name: combined([one[name] for one in self.statistics]) for name in self.statistics[0]}
        _write_json(
            self.folder / STATS,
            {feature: {name: value.tolist() for name, value in stats.items()} for feature, stats in total.items()},
        )
        info = self.layout.info(view.drives[0].vehicle, len(self.episodes), self.rows, len(self.tasks))
        _write_json(self.folder / INFO, info)
        write_provenance(self.folder, view, "lerobot", FIELDRIG, self._provenance(view, notes))

    def _provenance(self, view: DatasetView, notes: list[str]) -> dict[str, Any]:
        layout = self.layout
        written = {origin["recording"] for origin in self.origins}
        motion = "" if layout.states else _motion(drive for drive in view.drives if drive.id in written)
        return {
            "counts": {"episodes": len(self.episodes), "frames": self.rows, "tasks": len(self.tasks)},
            "rate_hz": layout.rate_hz,
            "tolerance_ns": tolerance_ns(layout.rate_hz),
            "times": layout.time_columns,
            "features": {
                **{camera.key: f"{camera.stream}, as recorded" for camera in layout.cameras},
                STATE: ", ".join(layout.states) or motion,
                ACTION: ", ".join(layout.actions) or None,
            },
            "episodes": self.origins,
            "notes": notes,
        }


class _Table:
    """The rows of one episode, as columns."""

    def __init__(self, layout: Layout, drive: Drive, episode_index: int, expected: int) -> None:
        self.layout = layout
        self.drive = drive
        self.episode_index = episode_index
        self.times_ns: list[int] = []
        self.pictures = {camera.key: PictureStats(expected) for camera in layout.cameras}
        self._cameras = {camera.stream: camera for camera in layout.cameras}
        self._true_ns: dict[str, list[int]] = {column: [] for column in layout.time_columns}
        self._vectors: dict[str, list[NDArray[np.float64]]] = {key: [] for key in layout.vectors}

    def add(self, row: GridRow) -> None:
        self.times_ns.append(row.t_ns)
        for column, stream in self.layout.time_columns.items():
            self._true_ns[column].append(row.samples[stream].sample.t_ns)
        for camera in self.layout.cameras:
            self.pictures[camera.key].add(self.pixels(row, camera.stream))
        state = self._values(row, self.layout.states) if self.layout.states else self.drive.ego_state(row.t_ns)
        self._vectors[STATE].append(state)
        if self.layout.actions:
            self._vectors[ACTION].append(self._values(row, self.layout.actions))

    def pixels(self, row: GridRow, stream: str) -> NDArray[np.uint8]:
        """(H, W, 3), cut to even sizes."""
        camera = self._cameras[stream]
        return self.drive.pixels(camera.sensor, row.samples[stream])[: camera.height_px, : camera.width_px]

    def sources(self, row: GridRow, index: int) -> Iterator[Source]:
        keys = {camera.stream: camera.key for camera in self.layout.cameras}
        for stream in self.layout.time_columns.values():
            recorded = row.samples[stream]
            yield Source(
                kind="picture" if stream in keys else "vector",
                part=keys.get(stream) or (STATE if stream in self.layout.states else ACTION),
                t_ns=recorded.sample.t_ns,
                calibration_id=self.drive.calibration.id,
                spans=[recorded.span],
                episode_index=self.episode_index,
                frame_index=index,
                thumbnail=thumbnail(self.pixels(row, stream)).tobytes() if stream in keys else None,
            )

    def columns(self, first_index: int, task_index: int) -> dict[str, NDArray[np.generic]]:
        """Column -> (N,) or (N, D), in the types of the layout's schema."""
        rows = np.arange(len(self.times_ns))
        vectors = {key: np.array(values, dtype=np.float32) for key, values in self._vectors.items()}
        for key, values in vectors.items():
            if not np.isfinite(values).all():
                raise ExportError(
                    f"{self.drive.id}: {key} of episode {self.episode_index} holds a value that is not finite"
                )
        return {
            **vectors,
            **{column: np.array(times) for column, times in self._true_ns.items()},
            "timestamp": (rows / self.layout.rate_hz).astype(np.float32),
            "frame_index": rows,
            "episode_index": np.full_like(rows, self.episode_index),
            "index": first_index + rows,
            "task_index": np.full_like(rows, task_index),
        }

    def largest_residual_ns(self) -> dict[str, int]:
        return {column: int(residual.max()) for column, residual in self._residuals_ns().items()}

    def outside_tolerance(self) -> dict[str, int]:
        """Time column -> how many rows have no sample within half a period, and so the nearest one."""
        limit = tolerance_ns(self.layout.rate_hz)
        return {column: int((residual > limit).sum()) for column, residual in self._residuals_ns().items()}

    def repeated(self) -> dict[str, int]:
        """Time column -> how many rows have the same sample as the row before: a lost one, or a sensor slower than the rows."""
        return {column: int((np.diff(times) == 0).sum()) for column, times in self._true_ns.items()}

    def _residuals_ns(self) -> dict[str, NDArray[np.int64]]:
        grid = np.array(self.times_ns)
        return {column: np.abs(np.array(times) - grid) for column, times in self._true_ns.items()}

    def _values(self, row: GridRow, streams: tuple[str, ...]) -> NDArray[np.float64]:
        """The values of some vector streams in the layout's order. Raises ExportError when a name is missing."""
        samples = [row.samples[stream].sample for stream in streams]
        vectors = [sample for sample in samples if isinstance(sample, NamedVector)]
        names = tuple(name for vector in vectors for name in vector.names)
        expected = self.layout.state_names if streams == self.layout.states else self.layout.action_names
        if names != expected:
            raise ExportError(
                f"{self.drive.id}: {', '.join(streams)} changed what it holds, from {expected} to {names}"
            )
        return np.concatenate([vector.values for vector in vectors])


def _until_whole(rows: Iterator[GridRow], layout: Layout) -> tuple[int, list[GridRow]]:
    """How many rows come before one that has a sample of every stream in its place, and the first two from there on."""
    wanted, limit = layout.time_columns.values(), tolerance_ns(layout.rate_hz)
    lost = 0
    for row in rows:
        near = (stream in row.samples and abs(row.samples[stream].sample.t_ns - row.t_ns) <= limit for stream in wanted)
        if all(near):
            return lost, [row, *islice(rows, 1)]
        lost += 1
    return lost, []


def _motion(drives: Iterable[Drive]) -> str:
    sources = sorted({drive.trajectory.source for drive in drives})
    return f"the rig's motion ({', '.join(sources)})"


def tolerance_ns(rate_hz: int) -> int:
    """Half a period: with every sample in its place none is further from its row."""
    return 500_000_000 // rate_hz


def expected_rows(episode: Episode, rate_hz: int) -> int:
    return max(1, round((episode.stop_ns - episode.start_ns) * 1e-9 * rate_hz))


def _write_json(path: Path, table: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
