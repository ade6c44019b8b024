"""The files that a LeRobot dataset grows in: data and videos in numbered pieces, and the small tables of meta/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.formats.lerobot.layout import (
    DATA,
    DATA_FILE_MB,
    EPISODES,
    FILES_A_CHUNK,
    TASKS,
    VIDEO,
    VIDEO_FILE_LONGEST_S,
    VIDEO_FILE_MB,
    Camera,
    Layout,
)
from export.formats.lerobot.stats import Stats
from export.formats.lerobot.video import VideoWriter

if TYPE_CHECKING:
    import pyarrow as pa


class DataFiles:
    """data/: a row group an episode, a new file when one has grown too large."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder = folder
        self._schema = layout.schema()
        self._number = -1
        self._file: Any = None
        self._path = folder

    def add(self, columns: Mapping[str, NDArray[np.generic]]) -> dict[str, int]:
        """Write an episode's rows; returns where they are, as meta/episodes says it."""
        import pyarrow as pa

        if self._file is None or self._path.stat().st_size > DATA_FILE_MB * 2**20:
            self._next()
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._file.write_table(table, row_group_size=len(table))
        return {"data/chunk_index": self._number // FILES_A_CHUNK, "data/file_index": self._number % FILES_A_CHUNK}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _next(self) -> None:
        import pyarrow.parquet as pq

        self.close()
        self._number += 1
        self._path = self._folder / _numbered(DATA, self._number)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pq.ParquetWriter(self._path, self._schema, compression="snappy")


class VideoFiles:
    """The videos of one camera: episode after episode, a new file when one has grown too large."""

    def __init__(self, folder: Path, camera: Camera, rate_hz: int) -> None:
        self._folder = folder
        self._camera = camera
        self._rate_hz = rate_hz
        self._number = -1
        self._video: VideoWriter | None = None
        self._full = True

    def begin_episode(self, rows: int) -> None:
        """rows: how many are to come at the most. A file is left only here, when it has grown too large or would grow too long; one
        episode alone may be longer.
        """
        frames = 0 if self._video is None else self._video.frames
        self._full = self._full or frames + rows > VIDEO_FILE_LONGEST_S * self._rate_hz

    def add(self, pixels: NDArray[np.uint8]) -> None:
        if self._video is None or self._full:
            self.close()
            self._number += 1
            path = self._folder / _numbered(VIDEO, self._number, video_key=self._camera.key)
            self._video = VideoWriter(path, self._rate_hz, self._camera.width_px, self._camera.height_px)
            self._full = False
        self._video.add(pixels)

    def end_episode(self, rows: int) -> dict[str, int | float]:
        """Where the last ``rows`` frames are, as meta/episodes says it."""
        frames, size_mb = (0, 0.0) if self._video is None else (self._video.frames, self._video.size_mb)
        self._full = size_mb > VIDEO_FILE_MB
        return {
            "chunk_index": self._number // FILES_A_CHUNK,
            "file_index": self._number % FILES_A_CHUNK,
            "from_timestamp": (frames - rows) / self._rate_hz,
            "to_timestamp": frames / self._rate_hz,
        }

    def close(self) -> None:
        if self._video is not None:
            self._video.close()


def write_tasks(folder: Path, tasks: Mapping[str, int]) -> None:
    """meta/tasks.parquet; pandas, by which lerobot reads it, takes ``task`` for the index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    text = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"}
    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [{**column, "metadata": None} for column in (number, text)],
    }
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(described)})
    path = folder / TASKS
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"task_index": list(tasks.values()), "task": list(tasks)}, schema=schema), path)


def write_episodes(folder: Path, episodes: Sequence[dict[str, Any]], statistics: Sequence[dict[str, Stats]]) -> None:
    """meta/episodes: each episode's place and its statistics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            **episode,
            **{
                f"stats/{feature}/{name}": value.tolist()
                for feature, stats in own.items()
                for name, value in stats.items()
            },
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for episode, own in zip(episodes, statistics, strict=True)
    ]
    path = folder / EPISODES
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _numbered(template: str, number: int, **names: str) -> str:
    return template.format(chunk_index=number // FILES_A_CHUNK, file_index=number % FILES_A_CHUNK, **names)


def _array(values: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values, kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind.value_type), type=kind)
