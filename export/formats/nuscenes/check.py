"""Open a nuScenes dataset with nuscenes-devkit, and reconcile it with fieldrig.json.

The devkit checks neither links nor chains, so we do; it then loads everything and counts the points in the boxes by its own
means, which must agree with the table and with our own count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from devices.progress import Progress
from export.consumer import limit_s, run_consumer
from export.formats.nuscenes.boxes import points_inside
from export.formats.nuscenes.layout import LINKS, MAY_BE_EMPTY, microseconds
from export.provenance import read_provenance, read_sources
from export.report import Report

MOST_BOXES = 2000
# A point this near to a face is inside or outside by the last digit of somebody's arithmetic, and boxes are often drawn just
# around their points. Everybody must count all the others alike.
ON_THE_FACE_M = 1e-6
_PROBE = Path(__file__).with_name("devkit_probe.py")
Record = dict[str, Any]


def check(folder: Path, progress: Progress | None = None) -> Report:
    """Raises FieldrigError when the dataset cannot be checked at all: no fieldrig.json, no environment."""
    report = Report("nuscenes", folder)
    provenance = read_provenance(folder)
    tables = _read_tables(folder / str(provenance.get("version")), report)
    if tables is None:
        return report
    with report.believing("a record lacks what nuScenes demands of it"):
        _reconcile(folder, provenance, tables, report, progress)
    return report


def _reconcile(
    folder: Path,
    provenance: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Record]],
    report: Report,
    progress: Progress | None,
) -> None:
    _check_counts(tables, provenance, report)
    if report.require_none(_broken_links(tables)):  # everything below follows links
        report.require_none(_broken_chains(tables))
        report.require_none(_wrong_totals(tables))
        report.require_none(_bad_files(folder, tables))
        _check_times(folder, provenance, tables, report)
    if report.problems:
        report.notes.append("nuscenes-devkit was not asked: it takes tables as they are, and these are broken")
        return
    counted = _check_points(folder, tables, report)
    _ask_devkit(folder, provenance, tables, counted, report, progress)


def _read_tables(folder: Path, report: Report) -> dict[str, dict[str, Record]] | None:
    """Table -> token -> record; None, with a problem, when one cannot be read."""
    tables = {}
    for name in LINKS:
        try:
            records = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            tables[name] = {record["token"]: record for record in records}
        except (OSError, ValueError, KeyError, TypeError) as error:
            report.problems.append(f"table {name}.json cannot be read: {error!r}")
            continue
        report.require(len(tables[name]) == len(records), f"{name}.json holds a token twice")
    return tables if len(tables) == len(LINKS) else None


def _check_counts(tables: Mapping[str, Mapping[str, Record]], provenance: Mapping[str, Any], report: Report) -> None:
    for name, records in tables.items():
        stated = provenance["counts"].get(name)
        report.require(len(records) == stated, f"{name}.json holds {len(records)} records, fieldrig.json says {stated}")
    report.figures |= {
        name: len(tables[name]) for name in ("scene", "sample", "sample_data", "sample_annotation", "instance")
    }


def _broken_links(tables: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    for name, links in LINKS.items():
        for token, record in tables[name].items():
            for field, target in links.items():
                named = record.get(field)
                for one in named if isinstance(named, list) else [named]:
                    if one not in tables[target] and not (one == "" and field in MAY_BE_EMPTY):
                        yield f"{name} {token}: its {field} names no {target} ({one!r})"


def _broken_chains(tables: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    """Each prev and next must be the other's inverse, time must not run backwards, and a chain must stay with its owner."""
    channel = {
        token: tables["sensor"][r["sensor_token"]]["channel"] for token, r in tables["calibrated_sensor"].items()
    }
    for name, owner in (("sample", "scene_token"), ("sample_data", None), ("sample_annotation", "instance_token")):
        records = tables[name]
        for token, record in records.items():
            after = records.get(record["next"])
            before = records.get(record["prev"])
            if after is not None and after["prev"] != token:
                yield f"{name} {token}: the record that it names as next does not name it as prev"
            if before is not None and before["next"] != token:
                yield f"{name} {token}: the record that it names as prev does not name it as next"
            if after is None:
                continue
            if _time_us(tables, name, after) < _time_us(tables, name, record):
                yield f"{name} {token}: its time is later than that of the record after it"
            if owner is not None and after[owner] != record[owner]:
                yield f"{name} {token}: the record after it is of another {owner.removesuffix('_token')}"
            if (
                owner is None
                and channel[after["calibrated_sensor_token"]] != channel[record["calibrated_sensor_token"]]
            ):
                yield f"{name} {token}: the record after it is of another channel"


def _time_us(tables: Mapping[str, Mapping[str, Record]], name: str, record: Record) -> int:
    at = tables["sample"][record["sample_token"]] if name == "sample_annotation" else record
    return int(at["timestamp"])


def _wrong_totals(tables: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    """What a record says about how many others there are, and which come first and last."""
    samples = Counter(record["scene_token"] for record in tables["sample"].values())
    annotations = Counter(record["instance_token"] for record in tables["sample_annotation"].values())
    for token, scene in tables["scene"].items():
        if scene["nbr_samples"] != samples[token]:
            yield f"scene {token}: nbr_samples is {scene['nbr_samples']}, it has {samples[token]}"
        if (
            tables["sample"][scene["first_sample_token"]]["prev"]
            or tables["sample"][scene["last_sample_token"]]["next"]
        ):
            yield f"scene {token}: its first or last sample is not the end of a chain"
    for token, instance in tables["instance"].items():
        if instance["nbr_annotations"] != annotations[token]:
            yield f"instance {token}: nbr_annotations is {instance['nbr_annotations']}, it has {annotations[token]}"
        if tables["sample_annotation"][instance["first_annotation_token"]]["prev"]:
            yield f"instance {token}: its first annotation is not the start of a chain"
        if tables["sample_annotation"][instance["last_annotation_token"]]["next"]:
            yield f"instance {token}: its last annotation is not the end of a chain"
    for table in ("sample", "sample_annotation"):
        ends = sum(not record["prev"] for record in tables[table].values())
        owners = len(tables["scene" if table == "sample" else "instance"])
        if ends != owners:
            yield f"{table}.json holds {ends} chains for {owners} owners"


def _bad_files(folder: Path, tables: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    for record in [*tables["sample_data"].values(), *tables["map"].values()]:
        path = folder / record["filename"]
        size = path.stat().st_size if path.is_file() else 0
        if size == 0:
            yield f"{record['filename']} is missing or empty"
        elif record.get("fileformat") == "pcd" and size % 20:
            yield f"{record['filename']} is {size} bytes, which is no whole number of points of 20"


def _check_times(
    folder: Path, provenance: Mapping[str, Any], tables: Mapping[str, Mapping[str, Record]], report: Report
) -> None:
    """Every time in the tables must be the true one in sources.parquet to the microsecond; so must the ego pose's."""
    data, poses, samples = tables["sample_data"], tables["ego_pose"], tables["sample"]
    seen = Counter[str]()
    wrong = []
    for source in read_sources(folder, provenance, ["kind", "token", "t_ns"]):
        kind, token, us = source["kind"], source["token"], microseconds(source["t_ns"])
        seen["label" if kind == "label" else "file"] += 1
        if kind == "label":
            annotation = tables["sample_annotation"].get(token)
            if annotation is None:
                wrong.append(f"sample_annotation {token} is in sources.parquet and not in the table")
            elif samples[annotation["sample_token"]]["timestamp"] != us:
                wrong.append(f"sample_annotation {token}: its sample's time is not the {us} us that it was labelled at")
            continue
        record = data.get(token)
        if record is None:
            wrong.append(f"sample_data {token} is in sources.parquet and not in the table")
        elif record["timestamp"] != us or poses[record["ego_pose_token"]]["timestamp"] != us:
            wrong.append(f"sample_data {token}: its time or its ego pose's is not its capture time, {us} us")
        elif kind == "sweep" and record["is_key_frame"] and samples[record["sample_token"]]["timestamp"] != us:
            wrong.append(f"sample {record['sample_token']}: its time is not its sweep's, {us} us")
    report.require_none(wrong)
    for name, table in (("file", data), ("label", tables["sample_annotation"])):
        report.require(
            seen[name] == len(table), f"sources.parquet tells the origin of {seen[name]} {name}s out of {len(table)}"
        )


def _check_points(folder: Path, tables: Mapping[str, Mapping[str, Record]], report: Report) -> dict[str, range]:
    """Count the points in each box from the tables and files.

    Annotation token -> the counts that are right: one, or several where points lie on the box's faces.
    """
    sweeps = {
        record["sample_token"]: record
        for record in tables["sample_data"].values()
        if record["is_key_frame"] and record["fileformat"] == "pcd"
    }
    counted: dict[str, range] = {}
    wrong = []
    by_sample: dict[str, list[Record]] = {}
    for record in tables["sample_annotation"].values():
        by_sample.setdefault(record["sample_token"], []).append(record)
    for sample, labelled in by_sample.items():
        sweep = sweeps.get(sample)
        if sweep is None or not (folder / sweep["filename"]).is_file():
            wrong.append(f"sample {sample} has no cloud to count points in")
            continue
        content = (folder / sweep["filename"]).read_bytes()
        points = np.frombuffer(content[: len(content) // 20 * 20], dtype="<f4").reshape(-1, 5)[:, :3]
        pose = tables["ego_pose"][sweep["ego_pose_token"]]
        mount = tables["calibrated_sensor"][sweep["calibrated_sensor_token"]]
        for record in labelled:
            fewest, most = (
                points_inside(record, pose, mount, points, margin_m) for margin_m in (-ON_THE_FACE_M, ON_THE_FACE_M)
            )
            right = counted[record["token"]] = range(fewest, most + 1)
            if record["num_lidar_pts"] not in right:
                wrong.append(
                    f"sample_annotation {record['token']}: num_lidar_pts is {record['num_lidar_pts']}, "
                    f"we count {_told(right)} points"
                )
    report.require_none(wrong)
    report.figures["points_in_boxes"] = sum(record["num_lidar_pts"] for record in tables["sample_annotation"].values())
    report.figures["points_on_faces"] = sum(right.stop - right.start - 1 for right in counted.values())
    return counted


def _told(counts: range) -> str:
    return str(counts.start) if len(counts) == 1 else f"{counts.start} to {counts.stop - 1}"


def _ask_devkit(
    folder: Path,
    provenance: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Record]],
    counted: Mapping[str, range],
    report: Report,
    progress: Progress | None,
) -> None:
    """Let the devkit load it all; its counts must be ours."""
    words = ["-I", str(_PROBE), str(folder.absolute()), str(provenance["version"]), str(MOST_BOXES)]
    ran = run_consumer(
        "nuscenes", "python", words, within_s=limit_s(folder), called="nuscenes-devkit", progress=progress
    )
    try:
        found = json.loads(ran.output)
    except ValueError:
        report.problems.append(f"nuscenes-devkit cannot load it: {ran.last_words}")
        return
    report.require(ran.code == 0, f"nuscenes-devkit did not end well: {ran.last_words}")
    for name, count in found["counts"].items():
        stated = provenance["counts"][name]
        report.require(count == stated, f"nuscenes-devkit loads {count} records of {name}, fieldrig.json says {stated}")
    stated = provenance["keyframe_files"]
    opened = found["keyframe_files"]
    report.require(opened == stated, f"nuscenes-devkit opens {opened} keyframe files, fieldrig.json says {stated}")
    wrong = []
    for token, count in found["boxes"].items():
        stated, right = tables["sample_annotation"][token]["num_lidar_pts"], counted[token]
        if count not in right or stated not in right:
            wrong.append(
                f"sample_annotation {token}: nuscenes-devkit counts {count} points in its box, num_lidar_pts is {stated}, "
                f"we count {_told(right)}"
            )
    report.require_none(wrong)
    report.require(
        len(found["boxes"]) == min(MOST_BOXES, len(counted)),
        f"nuscenes-devkit counted the points of {len(found['boxes'])} boxes out of {len(counted)}",
    )
    report.figures["boxes_counted_by_devkit"] = len(found["boxes"])
    report.figures["points_counted_by_devkit"] = sum(found["boxes"].values())
