"""What a cuboid can be drawn around: cars, vans, trucks and people, as compound shapes in their own frame.

Own frame: x forward, y left, z up from the ground, origin below the middle of the bounding box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.virtual.mesh import Colour, Finish, Mesh, box, cylinder, merge, prism
from devices.virtual.motion import Motion

_GLASS = Finish((0.10, 0.13, 0.16), 12)
_TYRE = Finish((0.07, 0.07, 0.07), 10)
_TRIM = Finish((0.14, 0.14, 0.15), 25)
_LAMP = Finish((0.96, 0.95, 0.88), 200)
_TAIL = Finish((0.72, 0.06, 0.05), 180)
_PLATE = Finish((0.93, 0.93, 0.80), 240)
_SKIN = Finish((0.80, 0.60, 0.48), 70)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One object with a cuboid. size_m: length, width, height of the tight box whose lower face centre is the own frame's origin."""

    id: str
    name: str
    category: str
    size_m: tuple[float, float, float]
    mesh: Mesh
    motion: Motion


def thing(identity: str, name: str, category: str, mesh: Mesh, motion: Motion) -> Thing:
    """Put the origin below the middle of the mesh's box and measure that box."""
    low, high = mesh.bounds
    centred = mesh.moved(_shift(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
    length, width, height = (float(side) for side in high - low)
    return Thing(identity, name, category, (length, width, height), centred, motion)


def car(length: float, width: float, height: float, colour: Colour, estate: bool = False) -> Mesh:
    """A saloon, or an estate whose roof runs to the back."""
    body = Finish(colour, 65)
    back, front, half = -length / 2, length / 2, width / 2
    belt = 0.60 * height + 0.02
    hull = [
        (back, 0.34),
        (back + 0.03, belt - 0.16),
        (back + 0.16, belt),
        (front - 1.05, belt),
        (front - 0.16, belt - 0.20),
        (front, belt - 0.36),
        (front, 0.34),
        (front - 0.12, 0.20),
        (back + 0.10, 0.20),
    ]
    tail = 0.12 if estate else 0.50
    cabin = [
        (back + tail, belt - 0.01),
        (back + tail + (0.18 if estate else 0.62), height - 0.045),
        (front - 2.05, height - 0.045),
        (front - 1.18, belt - 0.01),
    ]
    roof = [
        (cabin[1][0] - 0.04, height - 0.055),
        (cabin[1][0] + 0.10, height),
        (cabin[2][0] - 0.10, height),
        (cabin[2][0] + 0.04, height - 0.055),
    ]
    inset = 0.10 * width / 2 + 0.06
    parts = [
        prism(hull, -half + 0.02, half - 0.02, [body] * 9, body),
        prism(cabin, -half + inset, half - inset, [_GLASS, _GLASS, _GLASS, body], _GLASS),
        prism(roof, -half + inset, half - inset, [body] * 4, body),
        *_pillars(cabin, half - inset, body),
        *_wheels(back + 0.82, front - 0.86, half, 0.32),
        *_lights(back, front, half, belt - 0.30),
        *(
            box((front - 1.75, side - 0.10, belt + 0.02), (front - 1.58, side + 0.10, belt + 0.15), body)
            for side in (-half + 0.02, half - 0.02)
        ),
    ]
    return merge(parts)


def van(length: float, width: float, height: float, colour: Colour) -> Mesh:
    """A delivery van: a tall box with a short sloping nose."""
    body = Finish(colour, 70)
    back, front, half = -length / 2, length / 2, width / 2
    wind = front - 0.62
    hold = [
        (back, 0.36),
        (back + 0.04, height - 0.08),
        (back + 0.16, height),
        (front - 1.55, height),
        (front - 1.30, height - 0.10),
        (wind, 1.22),
        (wind, 0.26),
        (back + 0.10, 0.26),
    ]
    nose = [
        (wind - 0.02, 0.26),
        (wind - 0.02, 1.22),
        (front - 0.10, 1.02),
        (front, 0.82),
        (front, 0.30),
        (front - 0.05, 0.26),
    ]
    pane = [(front - 1.75, 1.26), (front - 1.75, height - 0.28), (front - 1.26, height - 0.28), (wind - 0.08, 1.26)]
    skin = half - 0.02
    parts = [
        prism(hold, -skin, skin, [body, body, body, body, _GLASS, body, body, body], body),
        prism(nose, -skin + 0.04, skin - 0.04, [body] * 6, body),
        prism(pane, -half, half, [_GLASS] * 4, _GLASS),
        box((back + 0.05, -half, 0.62), (wind - 0.05, half, 0.70), _TRIM),
        *_wheels(back + 0.95, front - 0.90, half, 0.35),
        *_lights(back, front, half, 0.80),
    ]
    return merge(parts)


def truck(length: float, width: float, height: float, colour: Colour) -> Mesh:
    """A box truck: a cab in its colour before a white box."""
    cab, white = Finish(colour, 60), Finish((0.88, 0.88, 0.86), 90)
    back, front, half = -length / 2, length / 2, width / 2
    top = min(2.55, height - 0.35)
    head = [(front - 1.70, 0.45), (front - 1.70, top), (front - 0.35, top), (front - 0.02, 1.35), (front, 0.45)]
    pane = [(front - 1.15, 1.40), (front - 1.15, top - 0.25), (front - 0.40, top - 0.25), (front - 0.14, 1.40)]
    parts = [
        box((back, -half, 0.95), (front - 1.85, half, height), white),
        box((back, -half + 0.25, 0.62), (front - 0.30, half - 0.25, 0.95), _TRIM),
        prism(head, -half + 0.06, half - 0.06, [cab, cab, _GLASS, cab, cab], cab),
        prism(pane, -half + 0.04, half - 0.04, [_GLASS] * 4, _GLASS),
        *_wheels(back + 1.25, front - 1.10, half, 0.46),
        *_lights(back, front, half - 0.1, 0.75),
    ]
    return merge(parts)


def person(height: float, coat: Colour, trousers: Colour) -> Mesh:
    """Two legs in mid-stride, a trunk with arms, a head."""
    cloth, leg = Finish(coat, 55), Finish(trousers, 35)
    hip, neck = 0.48 * height, 0.84 * height
    parts = [
        box((0.06, 0.02, 0.0), (0.24, 0.17, hip), leg),
        box((-0.24, -0.17, 0.0), (-0.06, -0.02, hip), leg),
        box((-0.14, -0.20, hip - 0.04), (0.14, 0.20, neck), cloth, top=cloth),
        box((-0.18, 0.20, hip + 0.02), (0.02, 0.28, neck - 0.04), cloth),
        box((-0.02, -0.28, hip + 0.02), (0.18, -0.20, neck - 0.04), cloth),
        cylinder((0.02, 0.0, 0.93 * height), 0.11, 0.14 * height, _SKIN, sides=10),
        box((-0.09, -0.08, neck - 0.01), (0.03, 0.08, 0.87 * height), _SKIN),
    ]
    return merge(parts)


def _pillars(cabin: Sequence[tuple[float, float]], y: float, body: Finish) -> list[Mesh]:
    """Thin posts between the panes; without them a cabin looks like a block of glass."""
    (_, _), (x1, z1), (x2, _), (_, z0) = cabin
    centre = (x1 + x2) / 2
    posts = []
    for x in (centre, x1 + 0.08):
        posts += [box((x - 0.05, side * y - 0.012, z0), (x + 0.05, side * y + 0.012, z1), body) for side in (-1, 1)]
    return posts


def _wheels(rear: float, fore: float, half: float, radius: float) -> list[Mesh]:
    hub = Finish((0.55, 0.56, 0.58), 90)
    wheels = []
    for x in (rear, fore):
        for side in (-1, 1):
            wheels.append(cylinder((x, side * (half - 0.12), radius), radius, 0.22, _TYRE, axis="y", sides=16))
            wheels.append(cylinder((x, side * (half - 0.11), radius), radius * 0.58, 0.22, hub, axis="y", sides=10))
    return wheels


def _lights(back: float, front: float, half: float, z: float) -> list[Mesh]:
    lights = []
    for side in (-1, 1):
        inner, outer = sorted((side * (half - 0.40), side * (half - 0.08)))
        lights.append(box((front - 0.16, inner, z - 0.06), (front + 0.005, outer, z + 0.07), _LAMP))
        lights.append(box((back - 0.005, inner, z - 0.04), (back + 0.16, outer, z + 0.12), _TAIL))
    lights.append(box((back - 0.008, -0.26, z - 0.22), (back + 0.1, 0.26, z - 0.11), _PLATE))
    lights.append(box((front - 0.1, -0.26, 0.36), (front + 0.008, 0.26, 0.47), _PLATE))
    return lights


def _shift(x: float, y: float, z: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = (x, y, z)
    return matrix
