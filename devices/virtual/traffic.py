"""Whatever has a cuboid: parked vehicles, moving vehicles, people on foot."""

from __future__ import annotations

import numpy as np

from devices.virtual.mesh import Colour
from devices.virtual.motion import Motion, along
from devices.virtual.street import KERB_M
from devices.virtual.vehicles import Thing, car, person, thing, truck, van

_SILVER, _BLACK, _RED, _WHITE = (0.70, 0.71, 0.73), (0.10, 0.10, 0.12), (0.66, 0.10, 0.10), (0.90, 0.90, 0.89)
_BLUE, _GREEN, _YELLOW, _GREY, _NAVY = (
    (0.12, 0.28, 0.66),
    (0.16, 0.36, 0.24),
    (0.86, 0.68, 0.14),
    (0.42, 0.44, 0.46),
    (0.12, 0.16, 0.34),
)
_NORTHWARD, _SOUTHWARD, _EASTWARD, _WESTWARD = np.pi / 2, -np.pi / 2, 0.0, np.pi


def parked() -> list[Thing]:
    """At rest for good; present in every take."""
    south, north, west, east = -4.85, 4.85, 22.15, 31.85
    return [
        _car("silver saloon", (4.55, 1.82, 1.45), _SILVER, (-10.0, south, _EASTWARD)),
        _car("navy estate", (4.70, 1.84, 1.50), _NAVY, (-3.4, south + 0.05, _EASTWARD), estate=True),
        _car("red hatchback", (3.95, 1.72, 1.48), _RED, (3.2, south - 0.05, _EASTWARD + 0.02), estate=True),
        _car("white saloon", (4.40, 1.80, 1.43), _WHITE, (8.2, south, _EASTWARD - 0.01)),
        thing(
            "parked_blue_van",
            "blue van",
            "van",
            van(5.30, 1.98, 2.25, _BLUE),
            Motion.still(13.9, south + 0.05, 0, _EASTWARD),
        ),
        _car("black saloon", (4.65, 1.85, 1.44), _BLACK, (42.0, south, _EASTWARD)),
        thing(
            "parked_white_van",
            "white van",
            "van",
            van(5.90, 2.04, 2.55, _WHITE),
            Motion.still(48.8, south + 0.05, 0, _EASTWARD),
        ),
        thing(
            "parked_grey_van", "grey van", "van", van(4.90, 1.92, 1.98, _GREY), Motion.still(-7.2, north, 0, _WESTWARD)
        ),
        _car("yellow hatchback", (3.70, 1.68, 1.50), _YELLOW, (-0.6, north, _WESTWARD), estate=True),
        _car("green estate", (4.60, 1.83, 1.52), _GREEN, (5.6, north + 0.05, _WESTWARD + 0.015), estate=True),
        _car("grey saloon", (4.50, 1.80, 1.45), _GREY, (12.0, north, _WESTWARD)),
        _car("silver hatchback", (4.05, 1.75, 1.47), _SILVER, (41.2, north, _WESTWARD), estate=True),
        _car("white hatchback", (4.00, 1.74, 1.46), _WHITE, (west - 0.05, 10.6, _SOUTHWARD), estate=True),
        thing(
            "parked_truck",
            "truck",
            "truck",
            truck(7.20, 2.30, 3.10, _RED),
            Motion.still(west + 0.1, 17.6, 0, _SOUTHWARD),
        ),
        _car("blue saloon", (4.52, 1.81, 1.44), _BLUE, (east, 10.5, _NORTHWARD)),
        _car("black estate", (4.72, 1.86, 1.53), _BLACK, (east + 0.05, 16.4, _NORTHWARD - 0.02), estate=True),
        thing(
            "parked_silver_van",
            "silver van",
            "van",
            van(5.10, 1.95, 2.10, _SILVER),
            Motion.still(east, 22.8, 0, _NORTHWARD),
        ),
    ]


def moving() -> list[Thing]:
    """On the road during the drive; the timetable keeps them off the robot and off each other (tests/virtual holds it)."""
    return [
        thing(
            "moving_white_car",
            "white car",
            "car",
            car(4.45, 1.80, 1.46, _WHITE),
            along([(70, 2.0), (-76, 2.0)], 5.0, 4.0),
        ),
        thing(
            "moving_red_car", "red car", "car", car(4.30, 1.78, 1.45, _RED), along([(10.5, -2.0), (98, -2.0)], 4.0, 0.0)
        ),
        thing(
            "moving_green_car",
            "green car",
            "car",
            car(4.60, 1.83, 1.50, _GREEN, estate=True),
            along([(29.4, -50), (29.4, 58)], 5.0, 4.0),
        ),
        thing(
            "moving_grey_car",
            "grey car",
            "car",
            car(4.50, 1.80, 1.44, _GREY),
            along([(25.0, 58), (25.0, -55)], 4.0, 15.0),
        ),
        thing(
            "moving_van",
            "yellow van",
            "van",
            van(5.40, 2.00, 2.30, _YELLOW),
            along([(102, 2.0), (-20, 2.0)], 4.0, 14.0),
        ),
        _walker(
            "walker_1",
            1.78,
            (0.16, 0.22, 0.42),
            (0.14, 0.14, 0.16),
            along([(-3.0, -7.5), (17.0, -7.5), (17.0, -8.2), (40, -8.2)], 1.3, 0.0, KERB_M, 0.3),
        ),
        _walker(
            "walker_2", 1.66, (0.72, 0.20, 0.22), (0.20, 0.22, 0.34), along([(19.0, 7.3), (-22, 7.3)], 1.1, 0.0, KERB_M)
        ),
        _walker("walker_3", 1.84, (0.86, 0.78, 0.30), (0.24, 0.22, 0.20), along([(19.6, -5.9), (19.6, 5.9)], 1.4, 4.5)),
        _walker(
            "walker_4",
            1.72,
            (0.30, 0.46, 0.34),
            (0.12, 0.12, 0.14),
            along([(19.2, 34), (19.2, 7.9), (-4, 7.9)], 1.25, 0.0, KERB_M, 1.0),
        ),
        _walker(
            "walker_5", 1.70, (0.82, 0.82, 0.84), (0.22, 0.26, 0.42), along([(34.6, 7.0), (34.6, 46)], 0.9, 8.0, KERB_M)
        ),
        _walker(
            "walker_6",
            1.60,
            (0.56, 0.24, 0.46),
            (0.16, 0.16, 0.18),
            along([(16.0, -8.3), (-24, -8.3)], 1.0, 0.0, KERB_M),
        ),
    ]


def _car(
    name: str, size: tuple[float, float, float], colour: Colour, at: tuple[float, float, float], estate: bool = False
) -> Thing:
    x, y, yaw = at
    return thing(
        "parked_" + name.replace(" ", "_"), name, "car", car(*size, colour, estate), Motion.still(x, y, 0, yaw)
    )


def _walker(identity: str, height: float, coat: Colour, trousers: Colour, motion: Motion) -> Thing:
    return thing(identity, "person", "pedestrian", person(height, coat, trousers), motion)
