"""One recording as a nuScenes scene: its frames' files, and their records in the tables."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from annotate.labels import Cuboid
from capture.recording import Span
from devices.cameras.picture import jpeg
from export.drive import Drive, Frame
from export.errors import ExportError
from export.formats.nuscenes.boxes import placed, points_inside, world_from_box
from export.formats.nuscenes.layout import VISIBILITY, camera_channel, lidar_channel, microseconds
from export.formats.nuscenes.tables import Record, Tables
from export.provenance import Source, SourceWriter

JPEG_QUALITY = 95


class Scene:
    """One recording as it becomes a scene."""

    def __init__(self, folder: Path, tables: Tables, sources: SourceWriter, drive: Drive, number: int) -> None:
        _require_own_channels(drive)
        self.folder = folder
        self.tables = tables
        self.sources = sources
        self.drive = drive
        self.log = tables.add(
            "log",
            (drive.id,),
            logfile=drive.id,
            vehicle=drive.vehicle,
            date_captured=datetime.fromtimestamp(drive.start_ns // 10**9, UTC).date().isoformat(),
            location=drive.site or "not stated",
        )
        self.scene = tables.add(
            "scene",
            (drive.id,),
            log_token=self.log["token"],
            nbr_samples=0,
            first_sample_token="",
            last_sample_token="",
            name=f"scene-{number:04d}",
            description="; ".join(dict.fromkeys(episode.task for episode in drive.episodes)),
        )
        # Frames that came since the last keyframe: nuScenes assigns them to the next one.
        self.waiting: deque[Record] = deque()
        self.newest: dict[str, tuple[int, int]] = {}
        self.lacking = Counter[str]()

    def add(self, frame: Frame) -> None:
        """Write a frame's files and records; a labelled one becomes a sample."""
        is_keyframe = frame.cuboids is not None
        records = [self._add_cloud(frame, is_keyframe), *self._add_pictures(frame, is_keyframe)]
        self.waiting.extend(records)
        if frame.cuboids is None:
            return
        self.lacking.update(set(self.drive.cameras) - set(frame.pictures))
        sample = self.tables.add_to_chain(
            "sample",
            self.drive.id,
            (self.drive.id, frame.t_ns),
            timestamp=microseconds(frame.t_ns),
            scene_token=self.scene["token"],
        )
        while self.waiting:
            self.waiting.popleft()["sample_token"] = sample["token"]
        self.scene["nbr_samples"] += 1
        self.scene["first_sample_token"] = self.scene["first_sample_token"] or sample["token"]
        self.scene["last_sample_token"] = sample["token"]
        for cuboid in frame.cuboids:
            self._annotate(cuboid, frame, sample, records[0])

    def close(self) -> Iterator[str]:
        """Make sure that everything belongs to a sample; yields what a reader should know."""
        if self.waiting:
            raise ExportError(
                f"{self.drive.id}: {len(self.waiting)} files follow the last keyframe; a sweep belongs before one"
            )
        for sensor, count in sorted(self.lacking.items()):
            yield f"{self.drive.id}: {count} keyframes have no picture of {sensor}: none was near enough in time"
        for sensor in sorted(set(self.drive.cameras) - set(self.drive.calibration.cameras)):
            yield f"{self.drive.id}: {sensor} was never calibrated; left out"
        for stream in self.drive.other_lidars:
            yield f"{self.drive.id}: {stream} is left out: the frames are the sweeps of one lidar, {self.drive.lidar}"

    def _add_cloud(self, frame: Frame, is_keyframe: bool) -> Record:
        cloud = frame.cloud
        channel = lidar_channel(cloud.lidar)
        name = self._name(channel, frame.t_ns, "pcd.bin", is_keyframe)
        table = np.column_stack([cloud.points_m, cloud.intensity, cloud.ring]).astype("<f4")
        self._path(name).write_bytes(table.tobytes())
        record = self._sample_data(channel, "lidar", cloud.lidar, frame.t_ns, name, "pcd", (0, 0), is_keyframe)
        self._source("sweep", channel, frame.t_ns, [cloud.span], record)
        return record

    def _add_pictures(self, frame: Frame, is_keyframe: bool) -> list[Record]:
        """A camera slower than the lidar gives one picture to several sweeps: it is written where it came first, and for each keyframe."""
        records = []
        for sensor, recorded in frame.pictures.items():
            span, image = recorded.span, recorded.sample
            identity = (span.first_sequence, image.t_ns)
            if sensor not in self.drive.calibration.cameras:
                continue
            if identity == self.newest.get(sensor) and not is_keyframe:
                continue
            self.newest[sensor] = identity
            channel = camera_channel(sensor)
            name = self._name(channel, image.t_ns, "jpg", is_keyframe)
            if (
                self.folder / name
            ).exists():  # the nearest one of two keyframes: each has a file and a record of its own
                name = self._name(channel, image.t_ns, f"{microseconds(frame.t_ns)}.jpg", is_keyframe)
            pixels = self.drive.pixels(sensor, recorded)
            self._path(name).write_bytes(jpeg(self.drive.camera(sensor).undistort(pixels), JPEG_QUALITY))
            size = (pixels.shape[1], pixels.shape[0])
            record = self._sample_data(channel, "camera", sensor, image.t_ns, name, "jpg", size, is_keyframe)
            self._source("picture", channel, image.t_ns, [span], record)
            records.append(record)
        return records

    def _sample_data(
        self,
        channel: str,
        modality: str,
        sensor: str,
        t_ns: int,
        name: str,
        fileformat: str,
        size: tuple[int, int],
        is_keyframe: bool,
    ) -> Record:
        pose = self.tables.add(
            "ego_pose",
            (self.drive.id, channel, name),
            timestamp=microseconds(t_ns),
            **placed(self.drive.world_from_rig(t_ns)),
        )
        return self.tables.add_to_chain(
            "sample_data",
            f"{self.drive.id} {channel}",
            (self.drive.id, channel, name),
            sample_token="",
            ego_pose_token=pose["token"],
            calibrated_sensor_token=self._mount(channel, modality, sensor)["token"],
            timestamp=microseconds(t_ns),
            fileformat=fileformat,
            is_key_frame=is_keyframe,
            width=size[0],
            height=size[1],
            filename=name,
        )

    def _mount(self, channel: str, modality: str, sensor: str) -> Record:
        """The calibrated_sensor of a channel; its camera is the one that would have taken the undistorted picture."""
        kind = self.tables.add("sensor", (channel,), channel=channel, modality=modality)
        camera = self.drive.camera(sensor).without_distortion().matrix.tolist() if modality == "camera" else []
        return self.tables.add(
            "calibrated_sensor",
            (self.drive.calibration.id, channel),
            sensor_token=kind["token"],
            **placed(self.drive.rig_from(sensor)),
            camera_intrinsic=camera,
        )

    def _annotate(self, cuboid: Cuboid, frame: Frame, sample: Record, sweep: Record) -> None:
        lidar = frame.cloud.lidar
        world_from_lidar = self.drive.world_from_rig(frame.t_ns) @ self.drive.rig_from(lidar)
        length, width, height = cuboid.size_m.tolist()
        box = {**placed(world_from_box(cuboid, world_from_lidar)), "size": [width, length, height]}
        track = cuboid.track or f"{frame.t_ns} {cuboid.id}"
        instance = self._instance(track, cuboid.category)
        names = [f"{key}.{value}" for key, value in sorted(cuboid.attributes.items()) if key != "visibility"]
        levels = {name: level for level, name in VISIBILITY.items()}
        pose, mount = self._record("ego_pose", sweep), self._record("calibrated_sensor", sweep)
        annotation = self.tables.add_to_chain(
            "sample_annotation",
            instance["token"],
            (sample["token"], cuboid.id),
            sample_token=sample["token"],
            instance_token=instance["token"],
            visibility_token=levels.get(cuboid.attributes.get("visibility", ""), ""),
            attribute_tokens=[
                self.tables.add("attribute", (name,), name=name, description="")["token"] for name in names
            ],
            **box,
            num_lidar_pts=points_inside(box, pose, mount, frame.cloud.points_m),
            num_radar_pts=0,
        )
        instance["nbr_annotations"] += 1
        instance["first_annotation_token"] = instance["first_annotation_token"] or annotation["token"]
        instance["last_annotation_token"] = annotation["token"]
        origin = cuboid.provenance
        self.sources.add(
            Source(
                kind="label",
                part="sample_annotation",
                token=annotation["token"],
                t_ns=cuboid.t_ns,
                calibration_id=origin.calibration_id,
                spans=origin.spans,
                label_id=cuboid.id,
                label_revision=origin.revision,
                annotator=origin.annotator,
            )
        )

    def _instance(self, track: str, category: str) -> Record:
        """What a track is within this scene: one thing, of one category."""
        kind = self.tables.add("category", (category,), name=category, description="")
        return self.tables.add(
            "instance",
            (self.scene["token"], track, category),
            category_token=kind["token"],
            nbr_annotations=0,
            first_annotation_token="",
            last_annotation_token="",
        )

    def _record(self, table: str, sample_data: Record) -> Record:
        return self.tables.called(sample_data[f"{table}_token"])

    def _source(
        self, kind: Literal["picture", "sweep"], channel: str, t_ns: int, spans: Sequence[Span], record: Record
    ) -> None:
        own = self.drive.calibration.id
        self.sources.add(
            Source(kind=kind, part=channel, token=record["token"], t_ns=t_ns, calibration_id=own, spans=spans)
        )

    def _name(self, channel: str, t_ns: int, ending: str, is_keyframe: bool) -> str:
        return f"{'samples' if is_keyframe else 'sweeps'}/{channel}/{self.drive.id}__{channel}__{microseconds(t_ns)}.{ending}"

    def _path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _require_own_channels(drive: Drive) -> None:
    """Raises ExportError where two cameras' names differ by nothing that a channel's shows."""
    known: dict[str, str] = {}
    for sensor in drive.cameras:
        other = known.setdefault(camera_channel(sensor), sensor)
        if other != sensor:
            raise ExportError(
                f"{drive.id}: cameras '{other}' and '{sensor}' would both be nuScenes' {camera_channel(sensor)}; "
                "write LeRobot alone (--format lerobot), and give them other names in rig.toml before the next recording"
            )
