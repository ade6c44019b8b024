"""Write a DatasetView as nuScenes: a scene a recording, a sample a labelled keyframe, sweeps between them.

Each sweep's points are brought to its middle, which is the time of its sample_data; pictures are undistorted. Every
sample_data has the ego pose at its own time. Points are counted in each box as the file and the tables hold them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibration.left_out import LeftOut
from devices.progress import Progress
from export.dataset import DatasetView
from export.drive import Drive
from export.errors import ExportError
from export.formats.nuscenes.layout import FIELDRIG, MAP, VERSION, VISIBILITY
from export.formats.nuscenes.scene import JPEG_QUALITY, Scene
from export.formats.nuscenes.tables import Tables
from export.provenance import SourceWriter, write_provenance
from export.report import Report


def write(view: DatasetView, folder: Path, progress: Progress | None = None) -> Report:
    """Write the dataset into an empty folder. Raises ExportError when no keyframe of the view is labelled."""
    report = Report("nuscenes", folder, notes=list(view.notes))
    drives = _with_scenes(view, report)
    tables = Tables()
    for level, name in VISIBILITY.items():
        tables.records["visibility"].append(
            {"token": level, "level": name, "description": f"visibility {name} percent"}
        )
    with SourceWriter(folder / FIELDRIG / "sources.parquet") as sources:
        for number, drive in enumerate(drives):
            scene = Scene(folder, tables, sources, drive, number)
            first_ns, last_ns = min(drive.placed), max(drive.placed)
            left_out = LeftOut()
            for frame in drive.frames(left_out):
                if progress is not None:
                    share = (frame.t_ns - first_ns) / max(1, last_ns - first_ns)
                    progress(f"nuscenes: {drive.id}", (number + share) / len(drives))
                scene.add(frame)
            report.notes += [*scene.close(), *drive.told(left_out)]
    _write_map(folder, tables)
    tables.write(folder)
    content = _content(tables)
    labels = None if view.labels is None else asdict(view.labels)
    write_provenance(folder, view, "nuscenes", FIELDRIG, {**content, "labels": labels, "notes": report.notes})
    report.figures = {name: count for name, count in content["counts"].items() if count}
    return report


def _with_scenes(view: DatasetView, report: Report) -> list[Drive]:
    """The drives with a labelled keyframe that has a place in the world; the others are noted. Raises ExportError without any."""
    labelled = [drive for drive in view.drives if drive.labelled]
    if not labelled:
        raise ExportError(
            "nuScenes is made of labelled keyframes, and none is labelled; label some and name their --project, "
            "or write LeRobot alone: --format lerobot"
        )
    unplaced = [drive.id for drive in labelled if not drive.placed]
    why = "no pose tells where the rig was at any of its labelled keyframes"
    if len(unplaced) == len(labelled):
        raise ExportError(f"{unplaced[0]}: {why}, and nuScenes states it; write LeRobot alone: --format lerobot")
    report.notes += [f"{drive.id}: nothing in it is labelled; left out" for drive in view.drives if not drive.labelled]
    report.notes += [f"{name}: {why}; left out" for name in unplaced]
    return [drive for drive in labelled if drive.placed]


def _content(tables: Tables) -> dict[str, Any]:
    keyframes = sum(record["is_key_frame"] for record in tables.records["sample_data"])
    points = sum(record["num_lidar_pts"] for record in tables.records["sample_annotation"])
    return {
        "version": VERSION,
        "counts": tables.counts(),
        "keyframe_files": keyframes,
        "points_in_boxes": points,
        # A microsecond is the format's unit: times there are those of sources.parquet without the last three digits.
        "tolerance_ns": 1000,
        "clouds": "brought to the middle of their sweep by the rig's motion",
        "pictures": f"undistorted, JPEG of quality {JPEG_QUALITY}",
        "maps": "none was made: the mask is empty",
    }


def _write_map(folder: Path, tables: Tables) -> None:
    from PIL import Image as Picture

    logs = [log["token"] for log in tables.records["log"]]
    tables.add("map", (MAP,), category="semantic_prior", filename=MAP, log_tokens=logs)
    path = folder / MAP
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("L", (16, 16)).save(path)
