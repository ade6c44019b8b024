"""What happens in each take: who drives where, what else moves, which board is carried."""

from __future__ import annotations

from dataclasses import dataclass

from devices.transform import Transform
from devices.virtual.board import AIMS, CARRIED_NS, FIRST_NS, HELD_NS, Carried, StandMotion, plate, poses, stand
from devices.virtual.rig_truth import CAMERA_MODELS, RIG_FROM
from devices.virtual.robot import Robot, driving, parked
from devices.virtual.street import scenery
from devices.virtual.traffic import moving
from devices.virtual.traffic import parked as parked_things
from devices.virtual.world import World

_PARKED_AT = (-27.0, 0.0, 0.0)
_STARTS_AT = (3.0, -2.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """still_rig: the robot never moves. carried: the board, where one is shown."""

    description: str
    world: World
    robot: Robot
    length_ns: int
    still_rig: bool
    carried: Carried | None = None


def calibration_scene() -> Scene:
    """The robot stands in an empty stretch of the street while a board is carried past."""
    length_ns = FIRST_NS + len(AIMS) * (HELD_NS + CARRIED_NS)
    robot = parked(*_PARKED_AT, length_ns / 1e9)
    world_from_rig = Transform("world", "rig", robot.motion.matrices([0])[0])
    held = poses(AIMS, CAMERA_MODELS.__getitem__, lambda camera: world_from_rig @ RIG_FROM[camera])
    carried = Carried(held)
    world = World(scenery(), parked_things(), [(plate(), carried), (stand(), StandMotion(carried))])
    text = f"parked robot; a ChArUco board held still in {len(held)} poses"
    return Scene(text, world, robot, length_ns, True, carried)


def drive_scene() -> Scene:
    """The robot drives its tasks down one street and into another, among traffic."""
    robot = driving(*_STARTS_AT)
    length_ns = int(robot.motion.times_ns[-1])
    text = f"{len(robot.episodes)} tasks along two streets with parked and moving vehicles and people"
    return Scene(text, World(scenery(), [*parked_things(), *moving()]), robot, length_ns, False)
