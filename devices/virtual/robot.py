"""The robot that carries the rig: where it is, what it was told, and the episodes that it drives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.virtual.motion import Motion

_STEP_NS = 1_000_000
_LAG_S = 0.12  # of the drives behind their command
_ACCELERATION_M_S2 = 1.5
_TURN_RAD_S2 = 1.6


@dataclass(frozen=True, slots=True)
class Leg:
    """One task: so long, at most so fast, with turns one after another (left positive) in the middle of its time."""

    text: str
    drive_s: float
    speed_m_s: float
    turns_deg: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """A task as the operator marks it. Times since the take's start."""

    text: str
    start_ns: int
    stop_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Robot:
    """motion: the rig's. velocity and command: (K, 2) forward m/s and yaw rad/s at motion.times_ns, every millisecond."""

    motion: Motion
    velocity: NDArray[np.float64]
    command: NDArray[np.float64]
    episodes: tuple[Episode, ...]

    def velocity_at(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 2)"""
        return self._at(self.velocity, t_ns)

    def command_at(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N, 2)"""
        return self._at(self.command, t_ns)

    def _at(self, rows: NDArray[np.float64], t_ns: ArrayLike) -> NDArray[np.float64]:
        t = np.asarray(t_ns, dtype=np.int64)
        return np.stack([np.interp(t, self.motion.times_ns, rows[:, i]) for i in range(2)], axis=-1)


ROUTE = (
    Leg("drive to the blue van", 5.0, 2.0),
    Leg("drive around the cone and stop at the zebra crossing", 5.2, 2.0, (20, -20, -20, 20)),
    Leg("drive on to the corner", 4.6, 1.9),
    Leg("turn left into the side street", 5.4, 1.9, (90,)),
    Leg("pass the parked cars", 4.8, 1.8, (12, -12)),
    Leg("turn towards the truck and stop in front of it", 4.4, 1.3, (55,)),
)
_BEFORE_S, _AFTER_S, _PAUSE_S = 0.25, 0.45, 0.25


def parked(x: float, y: float, yaw_rad: float, seconds: float) -> Robot:
    times = np.arange(0, int(seconds * 1e9) + _STEP_NS, _STEP_NS, dtype=np.int64)
    position = np.tile(np.array([x, y, 0.0]), (len(times), 1))
    still = np.zeros((len(times), 2))
    return Robot(Motion(times, position, np.full(len(times), yaw_rad)), still, still, ())


def driving(x: float, y: float, yaw_rad: float, legs: tuple[Leg, ...] = ROUTE) -> Robot:
    """The drive through these legs, with a pause between them."""
    episodes = []
    commands: list[NDArray[np.float64]] = [np.zeros((int(_PAUSE_S * 1000), 2))]
    start = len(commands[0])
    for leg in legs:
        rows = np.concatenate(
            [np.zeros((int(_BEFORE_S * 1000), 2)), _command(leg), np.zeros((int(_AFTER_S * 1000), 2))]
        )
        episodes.append(Episode(leg.text, start * _STEP_NS, (start + len(rows)) * _STEP_NS))
        commands += [rows, np.zeros((int(_PAUSE_S * 1000), 2))]
        start += len(rows) + len(commands[-1])
    command = np.concatenate(commands)
    velocity = _followed(command)
    return Robot(_integrated(x, y, yaw_rad, velocity), velocity, command, tuple(episodes))


def _command(leg: Leg) -> NDArray[np.float64]:
    """(K, 2) each millisecond: a trapezoid of speed; each turn a trapezoid of yaw rate in its share of the time."""
    t = np.arange(int(leg.drive_s * 1000)) / 1000
    rows = np.zeros((len(t), 2))
    rows[:, 0] = np.minimum(leg.speed_m_s, _ACCELERATION_M_S2 * np.minimum(t, leg.drive_s - t))
    if leg.turns_deg:
        shares = np.linspace(0.14 * leg.drive_s, 0.86 * leg.drive_s, len(leg.turns_deg) + 1)
        for turn_deg, begin, end in zip(leg.turns_deg, shares[:-1], shares[1:], strict=True):
            shape = np.clip(_TURN_RAD_S2 * np.minimum(t - begin, end - t), 0, 0.9)
            area = shape.sum() / 1000
            rows[:, 1] += shape * (np.radians(turn_deg) / area)
    return rows


def _followed(command: NDArray[np.float64]) -> NDArray[np.float64]:
    """A first-order lag: what the drives make of the command."""
    share = 1 - np.exp(-_STEP_NS * 1e-9 / _LAG_S)
    velocity = np.zeros_like(command)
    for i in range(1, len(command)):
        velocity[i] = velocity[i - 1] + share * (command[i - 1] - velocity[i - 1])
    return velocity


def _integrated(x: float, y: float, yaw_rad: float, velocity: NDArray[np.float64]) -> Motion:
    step_s = _STEP_NS * 1e-9
    between = (velocity[1:] + velocity[:-1]) / 2
    yaw = yaw_rad + np.concatenate([[0.0], np.cumsum(between[:, 1]) * step_s])
    heading = (yaw[1:] + yaw[:-1]) / 2
    dx, dy = between[:, 0] * np.cos(heading) * step_s, between[:, 0] * np.sin(heading) * step_s
    position = np.zeros((len(velocity), 3))
    position[:, 0] = x + np.concatenate([[0.0], np.cumsum(dx)])
    position[:, 1] = y + np.concatenate([[0.0], np.cumsum(dy)])
    return Motion(np.arange(len(velocity), dtype=np.int64) * _STEP_NS, position, yaw)
