"""The check of a nuScenes export passes what was written, and fails each kind of damage by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.check import check
from export.formats.nuscenes.boxes import points_inside, transform_of

Change = Callable[[list[dict[str, Any]]], None]


@pytest.fixture(autouse=True)
def devkit(environment: Callable[[str], Path]) -> None:
    environment("nuscenes")


def test_an_export_passes_and_the_devkit_counted_the_points_of_every_box(exported: Path) -> None:
    report = check(exported / "nuscenes")
    assert (report.verdict, report.problems) == ("pass", [])
    assert report.figures["boxes_counted_by_devkit"] == report.figures["sample_annotation"] == 22
    assert report.figures["points_counted_by_devkit"] == report.figures["points_in_boxes"] > 3000
    assert report.figures["points_on_faces"] == 0


def test_points_on_a_boxs_very_face_may_be_counted_either_way_and_no_others(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("nuscenes")
    sweep = min((folder / "samples/LIDAR_TOP").iterdir())
    points = np.fromfile(sweep, "<f4").reshape(-1, 5)
    tables = {path.stem: json.loads(path.read_text()) for path in (folder / "v1.0-fieldrig").glob("*.json")}
    box = tables["sample_annotation"][0]
    record = next(record for record in tables["sample_data"] if record["filename"] == f"samples/LIDAR_TOP/{sweep.name}")
    pose = next(one for one in tables["ego_pose"] if one["token"] == record["ego_pose_token"])
    mount = next(one for one in tables["calibrated_sensor"] if one["token"] == record["calibrated_sensor_token"])
    world_from_lidar = transform_of(pose, "world", "ego") @ transform_of(mount, "ego", "lidar")
    width, length, height = box["size"]
    # In float32 a point comes to lie up to 1e-6 m off, here or there; forty of them lie on both sides of the face.
    across = np.linspace(-0.4, 0.4, 40)
    face = np.column_stack([across * length, across * width, np.full(40, height / 2)])
    placed = (world_from_lidar.inverse() @ transform_of(box, "world", "box")).apply(face)
    points[-40:, :3] = placed
    points.tofile(sweep)
    inside = points_inside(box, pose, mount, points[:, :3])
    edit(folder, "sample_annotation", lambda records: records[0].update(num_lidar_pts=inside))
    report = check(folder)
    assert 10 < report.figures["points_on_faces"] <= 40
    assert not [problem for problem in report.problems if box["token"] in problem]
    edit(folder, "sample_annotation", lambda records: records[0].update(num_lidar_pts=inside + 41))
    assert any(f"num_lidar_pts is {inside + 41}" in problem for problem in check(folder).problems)


def break_a_link(folder: Path) -> None:
    edit(folder, "sample_data", lambda records: records[4].update(ego_pose_token="0" * 32))


def break_a_chain(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records[2].update(next=records[8]["token"]))


def cut_a_chain(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        records[5]["next"] = records[6]["prev"] = ""

    edit(folder, "sample", change)


def miscount_points(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records[3].update(num_lidar_pts=records[3]["num_lidar_pts"] + 1))


def move_a_box(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records[3]["translation"].__setitem__(2, 4.0))


def swap_length_and_width(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        width, length, height = records[3]["size"]
        records[3]["size"] = [length, width, height]

    edit(folder, "sample_annotation", change)


def turn_the_lidar(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        lidar = next(record for record in records if not record["camera_intrinsic"])
        lidar["rotation"] = [0.9848, 0.0, 0.0, 0.1736]

    edit(folder, "calibrated_sensor", change)


def swap_two_times(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        one, other = [record for record in records if "CAM_LEFT" in record["filename"]][3:5]
        one["timestamp"], other["timestamp"] = other["timestamp"], one["timestamp"]

    edit(folder, "sample_data", change)


def shift_a_sample(folder: Path) -> None:
    edit(folder, "sample", lambda records: records[2].update(timestamp=records[2]["timestamp"] + 1))


def drop_an_annotation(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records.pop())


def lose_a_cloud(folder: Path) -> None:
    min((folder / "samples/LIDAR_TOP").iterdir()).unlink()


def cut_a_cloud(folder: Path) -> None:
    path = min((folder / "samples/LIDAR_TOP").iterdir())
    path.write_bytes(path.read_bytes()[:-7])


def swap_two_clouds(folder: Path) -> None:
    one, other = sorted((folder / "samples/LIDAR_TOP").iterdir())[:2]
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def shrink_a_picture(folder: Path) -> None:
    import cv2

    path = min((folder / "samples/CAM_LEFT").iterdir())
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


def lose_a_table(folder: Path) -> None:
    (folder / "v1.0-fieldrig/log.json").unlink()


def lose_the_map(folder: Path) -> None:
    (folder / "maps/none.png").unlink()


def forget_a_field(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records[3].pop("size"))


def lose_a_rotation(folder: Path) -> None:
    edit(folder, "sample_annotation", lambda records: records[3].update(rotation=[0.0, 0.0, 0.0, 0.0]))


DAMAGES = {
    lose_a_rotation: "a quaternion is four finite numbers, not all zero",
    forget_a_field: "a record lacks what nuScenes demands of it: KeyError('size')",
    break_a_link: "its ego_pose_token names no ego_pose",
    break_a_chain: "the record that it names as next does not name it as prev",
    cut_a_chain: "sample.json holds 2 chains for 1 owners",
    miscount_points: "nuscenes-devkit counts",
    move_a_box: "we count 0 points",
    swap_length_and_width: "num_lidar_pts is",
    turn_the_lidar: "num_lidar_pts is",
    swap_two_times: "its time or its ego pose's is not its capture time",
    shift_a_sample: "its time is not its sweep's",
    drop_an_annotation: "sample_annotation.json holds 21 records, fieldrig.json says 22",
    lose_a_cloud: ".pcd.bin is missing or empty",
    cut_a_cloud: "which is no whole number of points of 20",
    swap_two_clouds: "num_lidar_pts is",
    shrink_a_picture: "nuscenes-devkit cannot load it: ValueError: samples/CAM_LEFT",
    lose_a_table: "table log.json cannot be read",
    lose_the_map: "maps/none.png is missing or empty",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_fails_the_check_and_is_named(damage: Callable[[Path], None], copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("nuscenes")
    damage(folder)
    report = check(folder)
    assert report.verdict == "fail"
    assert any(DAMAGES[damage] in problem for problem in report.problems), report.problems


def edit(folder: Path, table: str, change: Change) -> None:
    path = folder / f"v1.0-fieldrig/{table}.json"
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))
