"""Cuboids between the lidar's frame and nuScenes' global one, and the points that lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.labels import Cuboid
from devices.transform import Transform


def world_from_box(cuboid: Cuboid, world_from_lidar: Transform) -> Transform:
    """The box's own axes: along the heading, to its left, up, from its middle."""
    lidar_from_box = Transform.from_rpy(
        world_from_lidar.from_, "box", (0, 0, np.degrees(cuboid.yaw_rad)), cuboid.center_m
    )
    return world_from_lidar @ lidar_from_box


def transform_of(record: Mapping[str, Any], to: str, from_: str) -> Transform:
    """The ``translation`` and ``rotation`` of a nuScenes record."""
    return Transform.from_quaternion(to, from_, record["rotation"], record["translation"])


def placed(to_from: Transform) -> dict[str, list[float]]:
    """The other way round."""
    return {"translation": to_from.translation_m.tolist(), "rotation": to_from.wxyz.tolist()}


def points_inside(
    annotation: Mapping[str, Any],
    ego_pose: Mapping[str, Any],
    mount: Mapping[str, Any],
    points_m: NDArray[np.float32],
    margin_m: float = 0.0,
) -> int:
    """How many of a lidar's (N, 3) points lie in or on an annotation's box, by the tables' own numbers as a reader has them.

    margin_m: by which the box is grown on every side.
    """
    world_from_lidar = transform_of(ego_pose, "world", "ego") @ transform_of(mount, "ego", "lidar")
    box_from_lidar = transform_of(annotation, "world", "box").inverse() @ world_from_lidar
    width, length, height = annotation["size"]
    own = box_from_lidar.apply(points_m)
    return int((np.abs(own) <= np.array([length, width, height]) / 2 + margin_m).all(axis=1).sum())
