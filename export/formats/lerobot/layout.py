"""LeRobot v3.0 on disk: which file holds what, and what info.json says about it.

    meta/info.json                                  rate, features, totals, path templates
    meta/tasks.parquet                              task_index by task
    meta/stats.json                                 statistics of every feature
    meta/episodes/chunk-000/file-000.parquet        a row an episode: where its rows and frames are, its own statistics
    data/chunk-000/file-000.parquet                 a row an instant, a row group an episode
    videos/KEY/chunk-000/file-000.mp4               the pictures of one camera, episode after episode
    fieldrig.json  meta/fieldrig/                   where it all came from (export/provenance.py)

Beside the columns that LeRobot demands, ``time_ns.SENSOR`` holds the true capture time of each row's sample, UTC. The names do
not begin with ``observation``: a policy takes every such column for an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.errors import ExportError

if TYPE_CHECKING:
    import pyarrow as pa

    from export.dataset import DatasetView
    from export.drive import Drive

VERSION = "v3.0"
INFO = "meta/info.json"
TASKS = "meta/tasks.parquet"
STATS = "meta/stats.json"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FIELDRIG = "meta/fieldrig"
FILES_A_CHUNK = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
# The loader compares times within a video as float32 (decode_video_frames of lerobot 0.6.1). From 1024 s on those lie further apart than
# what it allows, and of an episode that does not begin with its video rows here and there cannot be loaded.
VIDEO_FILE_LONGEST_S = 1000
# The loader wants a video frame this near to a row's time.
TIMESTAMP_TOLERANCE_S = 1e-4

STATE = "observation.state"
ACTION = "action"
# What LeRobot demands of every dataset.
INDEX_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera's part. stream: where its pictures come from. width_px, height_px: as stored, even numbers."""

    sensor: str
    stream: str
    width_px: int
    height_px: int

    @property
    def key(self) -> str:
        return f"observation.images.{self.sensor}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What every row of a dataset holds.

    reference: the sensor stream whose first sample begins each episode. states, actions: the streams whose values, one stream
    after another, are the state and the action; no states: the state is the rig's motion. No actions: none were recorded.
    """

    rate_hz: int
    reference: str
    cameras: tuple[Camera, ...]
    states: tuple[str, ...]
    state_names: tuple[str, ...]
    actions: tuple[str, ...]
    action_names: tuple[str, ...]

    @property
    def time_columns(self) -> dict[str, str]:
        """Column of true times -> the stream whose samples it dates."""
        vectors = {f"time_ns.{stream.replace('/', '.')}": stream for stream in (*self.states, *self.actions)}
        return {**{f"time_ns.{camera.sensor}": camera.stream for camera in self.cameras}, **vectors}

    @property
    def vectors(self) -> dict[str, tuple[str, ...]]:
        """Feature -> the names of its values."""
        return {STATE: self.state_names, **({ACTION: self.action_names} if self.actions else {})}

    def features(self) -> dict[str, Any]:
        """info.json's ``features``."""
        vectors = {key: _feature("float32", len(names), names) for key, names in self.vectors.items()}
        videos = {camera.key: self._video(camera) for camera in self.cameras}
        times = {column: _feature("int64", 1) for column in self.time_columns}
        return {**videos, **vectors, **times, **{name: _feature(dtype, 1) for name, dtype in INDEX_COLUMNS.items()}}

    def schema(self) -> pa.Schema:
        """The columns of data/."""
        import pyarrow as pa

        vectors = {key: pa.list_(pa.float32(), len(names)) for key, names in self.vectors.items()}
        times = dict.fromkeys(self.time_columns, pa.int64())
        own = {name: pa.float32() if dtype == "float32" else pa.int64() for name, dtype in INDEX_COLUMNS.items()}
        return pa.schema({**vectors, **times, **own})

    def info(self, robot_type: str, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
        """The content of info.json."""
        return {
            "codebase_version": VERSION,
            "robot_type": robot_type,
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": tasks,
            "chunks_size": FILES_A_CHUNK,
            "data_files_size_in_mb": DATA_FILE_MB,
            "video_files_size_in_mb": VIDEO_FILE_MB,
            "fps": self.rate_hz,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA,
            "video_path": VIDEO if self.cameras else None,
            "features": self.features(),
        }

    def _video(self, camera: Camera) -> dict[str, Any]:
        return {
            "dtype": "video",
            "shape": [camera.height_px, camera.width_px, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height_px,
                "video.width": camera.width_px,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.fps": self.rate_hz,
                "video.channels": 3,
                "video.is_depth_map": False,
                "is_depth_map": False,
                "has_audio": False,
            },
        }


def plan(view: DatasetView) -> Layout:
    """The layout that all drives of a dataset share. Raises ExportError naming the first that differs, and in what."""
    layouts = [_layout(drive) for drive in view.drives]
    for drive, layout in zip(view.drives, layouts, strict=True):
        if layout != layouts[0]:
            raise ExportError(
                f"{drive.id} differs from {view.drives[0].id} in {_difference(layouts[0], layout)}; LeRobot's rows are all "
                "alike: export such recordings as datasets of their own"
            )
    return layouts[0]


def _layout(drive: Drive) -> Layout:
    reference = next(iter([*drive.cameras.values(), *drive.states]), None)
    if reference is None:
        raise ExportError(f"{drive.id} holds neither pictures nor a state: nothing to make rows of")
    from export.drive import EGO_NAMES

    cameras = []
    for sensor, stream in drive.cameras.items():
        model = drive.camera(sensor)
        # H.264 with 4:2:0 colour has even sizes: an odd last row or column is left out, so that pixels keep their places.
        cameras.append(Camera(sensor, stream, model.width_px // 2 * 2, model.height_px // 2 * 2))
    return Layout(
        rate_hz=drive.rate_hz(reference),
        reference=reference,
        cameras=tuple(cameras),
        states=drive.states,
        state_names=drive.vector_names(drive.states) if drive.states else EGO_NAMES,
        actions=drive.actions,
        action_names=drive.vector_names(drive.actions),
    )


def _difference(one: Layout, other: Layout) -> str:
    fields = ("rate_hz", "reference", "cameras", "states", "state_names", "actions", "action_names")
    name = next(field for field in fields if getattr(one, field) != getattr(other, field))
    return f"{name.replace('_', ' ')} ({getattr(other, name)}, not {getattr(one, name)})"


def _feature(dtype: str, length: int, names: Sequence[str] | None = None) -> Mapping[str, Any]:
    return {"dtype": dtype, "shape": [length], "names": None if names is None else list(names)}
