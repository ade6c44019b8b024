"""From what a person drew to cuboids in the lidar's frame.

With u, v the middle of the rectangle in pixels, t its rotation (clockwise, so that yaw = -t), L and D its sides in pixels:
    u = x + L/2 cos t - D/2 sin t      v = y + L/2 sin t + D/2 cos t
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from annotate.birdseye import View
from annotate.errors import AnnotateError
from annotate.height import stand
from annotate.label_studio.screen import BOX, FLIP, FRONT, FRONT_OK
from annotate.label_studio.shown import Shown
from annotate.label_studio.tasks import Result
from annotate.labels import CATEGORIES, Cuboid, Provenance, wrapped

# One screen pixel at the zoom that fits the picture, and how far apart a spinning lidar's returns lie, per metre of range.
_CLICK_M = 0.11
_SPACING_PER_M = np.radians(0.17)


@dataclass(frozen=True, slots=True)
class Plan:
    """A box seen from above, in the view's frame. middle_m: (x, y). A person's rectangle before its height is known."""

    middle_m: tuple[float, float]
    length_m: float
    width_m: float
    yaw_rad: float


def plan_from_rectangle(value: Mapping[str, Any], view: View, *, flip: bool = False) -> Plan:
    """Raises AnnotateError when a figure is missing, is no number, or a side has no length."""
    try:
        x, y, width, height, rotation = (float(value[key]) for key in ("x", "y", "width", "height", "rotation"))
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotateError(f"a rectangle without a number for {error}") from None
    if not np.isfinite([x, y, width, height, rotation]).all() or min(width, height) <= 0:
        raise AnnotateError(f"a rectangle of {width} x {height} % at {x}, {y}, turned by {rotation} deg")
    turn = np.radians(rotation)
    cos, sin = np.cos(turn), np.sin(turn)
    length, depth = width / 100 * view.width_px, height / 100 * view.height_px
    u = x / 100 * view.width_px + length / 2 * cos - depth / 2 * sin
    v = y / 100 * view.height_px + length / 2 * sin + depth / 2 * cos
    ((x_m, y_m),) = view.metres([[u, v]]).tolist()
    yaw = wrapped(-turn + (np.pi if flip else 0.0))
    return Plan((x_m, y_m), length * view.m_per_px, depth * view.m_per_px, yaw)


def cuboid_from_region(
    region: Sequence[Result], view: View, shown: Shown, t_ns: int, provenance: Provenance, track: str | None = None
) -> Cuboid:
    """One region (all results of one id) as a cuboid, its height taken from the points. Raises AnnotateError when it is broken."""
    boxes = [result for result in region if result.get("from_name") == BOX]
    if len(boxes) != 1:
        raise AnnotateError(f"region {region[0].get('id')!r} has {len(boxes)} rectangles instead of one")
    region_id, category = str(boxes[0]["id"]), _category(boxes[0])
    _require_own_picture(boxes[0], view)
    front = _front(region)
    plan = plan_from_rectangle(boxes[0]["value"], view, flip=front == FLIP)
    require_drawable(plan, view)
    place, size = np.array([*plan.middle_m, 0.0]), np.array([plan.length_m, plan.width_m])
    points = shown.around(place, float(np.hypot(*size)) / 2 + 0.2)
    standing = stand(place, size, plan.yaw_rad, category, points, shown.ground)
    height = standing.top_m - standing.bottom_m
    center = np.array([*plan.middle_m, (standing.top_m + standing.bottom_m) / 2])
    side_sigma = np.sqrt(2) * max(_CLICK_M, _SPACING_PER_M * float(np.hypot(*plan.middle_m)))
    attributes = {
        "front": "flipped" if front == FLIP else "ok",
        "height": "measured" if standing.measured else "typical",
    }
    cuboid = Cuboid(
        id=region_id,
        track=track,
        category=category,
        t_ns=t_ns,
        center_m=center,
        size_m=np.array([*size, height]),
        yaw_rad=plan.yaw_rad,
        sigma_m=np.array([side_sigma, side_sigma, standing.sigma_m]),
        num_points=0,
        attributes=attributes,
        provenance=provenance,
    )
    return replace(cuboid, num_points=int(cuboid.contains(points).sum()))


def _require_own_picture(box: Result, view: View) -> None:
    """Raises AnnotateError for a box that was drawn on another picture than the task's, or on one that was turned: it is elsewhere in metres."""
    size = (box.get("original_width", view.width_px), box.get("original_height", view.height_px))
    if size != (view.width_px, view.height_px) or box.get("image_rotation"):
        raise AnnotateError(
            f"region {box.get('id')!r} was drawn on a picture of {size[0]} x {size[1]} px, turned by {box.get('image_rotation', 0)} deg, "
            f"and its task is of one of {view.width_px} x {view.height_px} px; delete the task on the server, and push the recording again"
        )


def require_drawable(plan: Plan, view: View) -> None:
    """Raises AnnotateError for a box that nobody can have drawn by hand on the picture; an API takes any."""
    ((u, v),) = view.pixels([plan.middle_m]).tolist()
    if not (-1 <= u <= view.width_px + 1 and -1 <= v <= view.height_px + 1):
        raise AnnotateError(
            f"a rectangle around pixel {u:.0f}, {v:.0f}, outside the picture of {view.width_px} x {view.height_px}"
        )
    sides = (plan.length_m / view.m_per_px, plan.width_m / view.m_per_px)
    if min(sides) < 1 or max(sides) > max(view.width_px, view.height_px):
        raise AnnotateError(f"a rectangle of {plan.length_m:g} x {plan.width_m:g} m, which fits no picture or no pixel")


def regions(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of an annotation by region id, in the order in which they were drawn. Raises AnnotateError when one has none."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if not result.get("id"):
            raise AnnotateError("a result without a region id")
        found.setdefault(str(result["id"]), []).append(result)
    return found


def ns_from_iso(text: str) -> int:
    """Label Studio's time, such as 2026-01-31T12:00:00.123456Z, as ns UTC. Raises AnnotateError."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise AnnotateError(f"{text!r} is no time") from None
    if moment.tzinfo is None:
        raise AnnotateError(f"{text!r} does not say its time zone")
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _category(box: Result) -> str:
    value = box.get("value")
    labels = value.get("rectanglelabels") if isinstance(value, dict) else None
    if not isinstance(labels, list) or len(labels) != 1 or labels[0] not in CATEGORIES:
        raise AnnotateError(
            f"region {box.get('id')!r} is labelled {labels!r}; one of {', '.join(CATEGORIES)} is needed"
        )
    return str(labels[0])


def _front(region: Sequence[Result]) -> str:
    """What was chosen for the front; ``front ok`` where nothing was."""
    for result in region:
        if result.get("from_name") == FRONT:
            chosen = result.get("value", {}).get("choices", [])
            if chosen not in ([FRONT_OK], [FLIP]):
                raise AnnotateError(f"region {result.get('id')!r} has the front {chosen!r}")
            return str(chosen[0])
    return FRONT_OK
