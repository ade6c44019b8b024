"""The lidar's sweeps: each column cast from where the lidar was, at things where they were, at that column's instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.transform import Transform
from devices.virtual.motion import Moving
from devices.virtual.ouster_packets import (
    BEAM_ORIGIN_MM,
    COLUMNS,
    LIDAR_TO_SENSOR_MM,
    beam_altitudes_deg,
    beam_azimuths_deg,
    column_offsets_ns,
    sweep_packets,
)
from devices.virtual.rig_truth import RANGE_NOISE_M
from devices.virtual.world import Mover, World

_FARTHEST_M = 95.0
_NEAREST_M = 0.3
# Reflectivity times cosine over range squared below which nothing comes back: asphalt is seen to about 35 m, a wall to 90.
_FAINTEST = 0.0045
_BEAM_SPREAD_RAD = np.radians(5.0)  # how far beams of one column look off the column's own azimuth


@dataclass(frozen=True, slots=True, eq=False)
class Sweeps:
    """Casts whole turns of a lidar that rides on something.

    origins: (COLUMNS, 3), directions: (COLUMNS, BEAMS, 3) unit, lidar frame (Ouster's sensor frame), m.
    """

    world: World
    rig: Moving
    rig_from_lidar: Transform
    origins: NDArray[np.float64]
    directions: NDArray[np.float64]
    parked: bool
    _still: list[tuple[NDArray[np.float32], NDArray[np.int32]]]

    @staticmethod
    def of(world: World, rig: Moving, rig_from_lidar: Transform, parked: bool) -> Sweeps:
        """parked: the rig never moves, so what stands still need be cast only once."""
        origins, directions = beams()
        return Sweeps(world, rig, rig_from_lidar, origins, directions, parked, [])

    def cast(self, first_column_ns: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """(COLUMNS, BEAMS) each: exact distance along the beam (inf: nothing), triangle of world.surface, cosine of incidence."""
        t_ns = first_column_ns + column_offsets_ns()
        world_from_lidar = self.rig.matrices(t_ns) @ self.rig_from_lidar.matrix
        turned = np.swapaxes(world_from_lidar[:, :3, :3], 1, 2)
        directions = self.directions @ turned
        origins = (self.origins[:, None] @ turned)[:, 0] + world_from_lidar[:, :3, 3]
        shape = directions.shape[:2]
        still = self._cast_still(origins, directions)
        distance, triangle = still[0].reshape(shape).copy(), still[1].reshape(shape).copy()
        for mover in self.world.movers:
            columns = _columns_towards(mover, t_ns, origins, directions)
            if not len(columns):
                continue
            rays = directions[columns]
            hit, which = mover.cast(t_ns[columns], np.broadcast_to(origins[columns, None], rays.shape), rays)
            closer = hit < distance[columns]
            distance[columns] = np.where(closer, hit, distance[columns])
            triangle[columns] = np.where(closer, which, triangle[columns])
        normals = self.world.normals(int(t_ns[len(t_ns) // 2]))
        cosine = np.abs((normals[triangle] * directions.astype(np.float32)).sum(axis=-1))
        return distance, triangle, cosine

    def packets(self, first_column_ns: int, frame_id: int, rng: np.random.Generator) -> NDArray[np.void]:
        """One turn as PACKETs, stamped with the take's time: noise on the range, faint returns lost."""
        distance, triangle, cosine = self.cast(first_column_ns)
        reflectivity = self.world.surface.reflectivity[triangle]
        power = reflectivity * np.maximum(cosine, 0.02) / np.maximum(distance, 1.0) ** 2
        power = np.where(np.isfinite(distance), power, 0)
        seen = (power > _FAINTEST * np.exp(0.25 * rng.standard_normal(power.shape, dtype=np.float32))) & (
            distance > _NEAREST_M
        )
        noisy = distance + np.float32(RANGE_NOISE_M) * rng.standard_normal(distance.shape, dtype=np.float32)
        with np.errstate(invalid="ignore"):
            range_mm = np.where(seen & (distance < _FARTHEST_M), np.rint(noisy * 1000 + BEAM_ORIGIN_MM), 0).astype(
                np.uint32
            )
        signal = np.clip(power * 3000, 0, 65535).astype(np.uint32)
        level = np.clip(reflectivity * np.sqrt(np.maximum(cosine, 0)), 0, 255).astype(np.uint32)
        near_ir = np.where(triangle < 0, 300, 90 + 6 * reflectivity).astype(np.uint32)
        blank = range_mm == 0
        level[blank], signal[blank] = 0, 0
        return sweep_packets(first_column_ns, frame_id, range_mm, level, signal, near_ir)

    def _cast_still(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        if self._still:
            return self._still[0]
        starts = np.broadcast_to(origins[:, None], directions.shape).reshape(-1, 3)
        hits = self.world.caster.cast(starts, directions.reshape(-1, 3))
        if self.parked:
            self._still.append(hits)
        return hits


def beams() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each beam starts, (COLUMNS, 3), and points to, (COLUMNS, BEAMS, 3), in Ouster's sensor frame, m.

    Ouster's manual, "Lidar Range to XYZ": encoder angle 2 pi (1 - column / COLUMNS), beam azimuth turned the other way.
    """
    theta = 2 * np.pi * (1 - np.arange(COLUMNS) / COLUMNS)
    azimuth, altitude = -np.radians(beam_azimuths_deg()), np.radians(beam_altitudes_deg())
    bearing = theta[:, None] + azimuth
    flat = np.cos(altitude)
    directions = np.stack(
        [np.cos(bearing) * flat, np.sin(bearing) * flat, np.broadcast_to(np.sin(altitude), bearing.shape)], axis=-1
    )
    origins = np.stack([np.cos(theta), np.sin(theta), np.zeros_like(theta)], axis=-1) * BEAM_ORIGIN_MM
    turn, shift = LIDAR_TO_SENSOR_MM[:3, :3], LIDAR_TO_SENSOR_MM[:3, 3]
    return (origins @ turn.T + shift) / 1000, directions @ turn.T


def _columns_towards(
    mover: Mover, t_ns: NDArray[np.int64], origins: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The columns that may meet the mover: those whose azimuth lies within the ball about it, widened by the beams' spread."""
    to = mover.middle_at(t_ns)[:, :2] - origins[:, :2]
    away = np.hypot(to[:, 0], to[:, 1])
    half = np.where(away > mover.reach_m, np.arcsin(np.minimum(mover.reach_m / np.maximum(away, 1e-9), 1)), np.pi)
    ahead = directions.mean(axis=1)[:, :2]
    off = np.arctan2(ahead[:, 0] * to[:, 1] - ahead[:, 1] * to[:, 0], np.einsum("ij,ij->i", ahead, to))
    return np.flatnonzero((np.abs(off) < half + _BEAM_SPREAD_RAD) & (away < _FARTHEST_M + mover.reach_m))
