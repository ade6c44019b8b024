"""What a label is: a thing in the world at an instant, who said so, and the bytes that it was seen in.

Every label carries its Provenance, which leads back to the messages of a recording (their identity and hash, not their place
in a file), the calibration that placed them, the person, the task and the guideline that they worked by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.errors import AnnotateError

if TYPE_CHECKING:
    from capture.recording import Span

Origin = Literal["human", "prelabel"]

CATEGORIES = ("car", "van", "truck", "pedestrian", "cyclist", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a label comes from.

    spans: the messages that it was made from (the sweep, the pictures). calibration_id: what placed them in one frame.
    annotator: the person's e-mail, or the program's name for a pre-label. task: the uid of the frame that was given out.
    guideline: the version of the rules that it was made by. revision: the revision of the store in which it took its
    present form, 0 before it is stored. made_ns: when the person last saved it, UTC.
    """

    spans: tuple[Span, ...]
    calibration_id: str
    annotator: str
    task: str
    guideline: str
    made_ns: int
    origin: Origin
    revision: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cuboid:
    """An upright box around one object.

    id: unique in its keyframe. track: the same for one object in many keyframes; None where nobody said.
    t_ns: the instant that it holds for, UTC. frame: the coordinate frame of all geometry, the lidar's at t_ns.
    center_m: (3,) the box's middle. size_m: (3,) length along the heading, width, height. yaw_rad: the heading,
    counter-clockwise from the frame's x axis about its z axis, in [-pi, pi).
    sigma_m: (3,) standard deviation of length, width and height as far as the points can tell; None where not estimated.
    num_points: returns inside the box. attributes: e.g. {"front": "ok"}.
    """

    id: str
    category: str
    t_ns: int
    center_m: NDArray[np.float64]
    size_m: NDArray[np.float64]
    yaw_rad: float
    num_points: int
    provenance: Provenance
    track: str | None = None
    frame: str = "lidar"
    sigma_m: NDArray[np.float64] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_m", _three(self.center_m, f"cuboid {self.id}: center_m"))
        object.__setattr__(self, "size_m", _three(self.size_m, f"cuboid {self.id}: size_m"))
        if self.size_m.min() <= 0:
            raise AnnotateError(f"cuboid {self.id}: length, width and height must be positive, not {self.size_m} m")
        if not np.isfinite(self.yaw_rad):
            raise AnnotateError(f"cuboid {self.id}: yaw_rad must be finite, not {self.yaw_rad}")
        object.__setattr__(self, "yaw_rad", wrapped(self.yaw_rad))
        if self.sigma_m is not None:
            object.__setattr__(self, "sigma_m", _three(self.sigma_m, f"cuboid {self.id}: sigma_m"))

    def corners_m(self) -> NDArray[np.float64]:
        """(8, 3) in the cuboid's frame: the bottom's four counter-clockwise from front left, then the top's."""
        plan = footprint(self.center_m, self.size_m, self.yaw_rad)
        low, high = self.center_m[2] - self.size_m[2] / 2, self.center_m[2] + self.size_m[2] / 2
        return np.concatenate([np.column_stack([plan, np.full(4, z)]) for z in (low, high)])

    def contains(self, points_m: NDArray[np.floating], margin_m: float = 0.0) -> NDArray[np.bool_]:
        """(N, 3) points in the cuboid's frame -> (N,): inside or on the box grown by margin_m on every side."""
        own = in_box_axes(points_m, self.center_m, self.yaw_rad)
        return np.asarray((np.abs(own) <= self.size_m / 2 + margin_m).all(axis=1))

    def of_revision(self, revision: int) -> Cuboid:
        return replace(self, provenance=replace(self.provenance, revision=revision))


def in_box_axes(points_m: NDArray[np.floating], center_m: ArrayLike, yaw_rad: float) -> NDArray[np.float64]:
    """(N, 3) -> (N, 3): along the heading, to its left, up, from the box's middle."""
    offset = np.asarray(points_m, dtype=np.float64) - np.asarray(center_m)
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.column_stack(
        [cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0], offset[:, 2]]
    )


def footprint(center_m: ArrayLike, size_m: ArrayLike, yaw_rad: float) -> NDArray[np.float64]:
    """(4, 2) corners on the ground plane, counter-clockwise: front left, rear left, rear right, front right."""
    length, width = np.asarray(size_m)[:2] / 2
    own = np.array([[length, width], [-length, width], [-length, -width], [length, -width]])
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turned: NDArray[np.float64] = own @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(center_m)[:2]
    return turned


def wrapped(angle_rad: float) -> float:
    """The same angle in [-pi, pi); one that lies there already is returned to the last bit."""
    if -np.pi <= angle_rad < np.pi:
        return float(angle_rad)
    return float(np.remainder(angle_rad + np.pi, 2 * np.pi) - np.pi)


def _three(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise AnnotateError(f"{what} must be three finite numbers, not {values!r}")
    array.setflags(write=False)
    return array
