"""nuScenes on disk: its tables, what links them, and how its names follow from ours.

    v1.0-fieldrig/TABLE.json          the thirteen tables, lists of records that point at each other by token
    samples/CHANNEL/  sweeps/CHANNEL/ pictures and clouds: of the keyframes, and of the frames between them
    maps/none.png                     an empty mask, since the devkit asks for one: nothing was mapped
    fieldrig.json  fieldrig/          where it all came from (export/provenance.py)

Schema: nuscenes-devkit/docs/schema_nuscenes.md. A token is the MD5 of what it stands for, so the same data has the same tokens.
"""

from __future__ import annotations

import hashlib

VERSION = "v1.0-fieldrig"
FIELDRIG = "fieldrig"
MAP = "maps/none.png"

# Each table and the fields in which its records name a record of another table; "" stands for none where it may be absent.
LINKS: dict[str, dict[str, str]] = {
    "attribute": {},
    "calibrated_sensor": {"sensor_token": "sensor"},
    "category": {},
    "ego_pose": {},
    "instance": {
        "category_token": "category",
        "first_annotation_token": "sample_annotation",
        "last_annotation_token": "sample_annotation",
    },
    "log": {},
    "map": {"log_tokens": "log"},
    "sample": {"scene_token": "scene", "prev": "sample", "next": "sample"},
    "sample_annotation": {
        "sample_token": "sample",
        "instance_token": "instance",
        "attribute_tokens": "attribute",
        "visibility_token": "visibility",
        "prev": "sample_annotation",
        "next": "sample_annotation",
    },
    "sample_data": {
        "sample_token": "sample",
        "ego_pose_token": "ego_pose",
        "calibrated_sensor_token": "calibrated_sensor",
        "prev": "sample_data",
        "next": "sample_data",
    },
    "scene": {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
    "sensor": {},
    "visibility": {},
}
MAY_BE_EMPTY = {"prev", "next", "visibility_token"}

# The levels of nuScenes; a label's attribute ``visibility`` may name one. Where none is named nobody judged it.
VISIBILITY = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}


def token(*identity: object) -> str:
    """32 hex digits for what ``identity`` names, the same whenever it is named again."""
    return hashlib.md5("\0".join(map(str, identity)).encode(), usedforsecurity=False).hexdigest()


def camera_channel(sensor: str) -> str:
    """``camera_left`` -> ``CAM_LEFT``."""
    return "CAM_" + sensor.removeprefix("camera").removeprefix("cam").strip("_").upper()


def lidar_channel(sensor: str) -> str:
    """``lidar`` -> ``LIDAR_TOP``, ``lidar_front`` -> ``LIDAR_FRONT``."""
    return "LIDAR_" + (sensor.removeprefix("lidar").strip("_").upper() or "TOP")


def microseconds(t_ns: int) -> int:
    """The table's time of an instant; fieldrig/sources.parquet keeps the ns."""
    return t_ns // 1000
