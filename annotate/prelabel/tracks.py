"""Which boxes of successive keyframes are one object: each takes the track whose expected place is nearest to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from annotate.prelabel.boxes import PreLabel
from devices.transform import Transform

_FASTEST_M_S = 15.0  # of a thing whose speed is not known yet
_GATE_M = 1.5
_FORGET_NS = 1_500_000_000
_MOVING_M_S = 1.0


@dataclass(slots=True)
class _Track:
    id: str
    t_ns: int
    place_m: NDArray[np.float64]  # (2,), world
    velocity_m_s: NDArray[np.float64] | None = None

    def expected_m(self, t_ns: int) -> NDArray[np.float64]:
        speed = np.zeros(2) if self.velocity_m_s is None else self.velocity_m_s
        return self.place_m + speed * (t_ns - self.t_ns) * 1e-9

    def gate_m(self, t_ns: int) -> float:
        """How far from the expected place the object may be: half as much again once its speed is known."""
        elapsed_s = (t_ns - self.t_ns) * 1e-9
        unknown = _FASTEST_M_S if self.velocity_m_s is None else 3.0
        return min(_GATE_M + unknown * elapsed_s, 4.0)


@dataclass(slots=True)
class Tracker:
    """Gives boxes their tracks, keyframe by keyframe in the order of time. Moving ones are turned to face where they go."""

    tracks: list[_Track] = field(default_factory=list)
    count: int = 0

    def follow(self, t_ns: int, boxes: list[PreLabel], world_from_lidar: Transform) -> list[PreLabel]:
        """The same boxes with their tracks set. world_from_lidar: where the boxes' frame is at t_ns."""
        self.tracks = [track for track in self.tracks if t_ns - track.t_ns <= _FORGET_NS]
        places = [world_from_lidar.apply(box.center_m)[:2] for box in boxes]
        taken = self._nearest(t_ns, places)
        followed = []
        for k, box in enumerate(boxes):
            track = self._grown(taken[k], t_ns, places[k]) if k in taken else self._born(t_ns, places[k])
            followed.append(_facing_ahead(replace(box, track=track.id), track, world_from_lidar))
        return followed

    def _nearest(self, t_ns: int, places: list[NDArray[np.float64]]) -> dict[int, _Track]:
        """Box -> track, the closest pairs first, each box and each track once."""
        pairs = []
        for j, track in enumerate(self.tracks):
            expected, gate = track.expected_m(t_ns), track.gate_m(t_ns)
            distances = [float(np.hypot(*(place - expected))) for place in places]
            pairs += [(distance, k, j) for k, distance in enumerate(distances) if distance < gate]
        taken: dict[int, _Track] = {}
        used: set[int] = set()
        for _, k, j in sorted(pairs):
            if k not in taken and j not in used:
                taken[k] = self.tracks[j]
                used.add(j)
        return taken

    def _grown(self, track: _Track, t_ns: int, place_m: NDArray[np.float64]) -> _Track:
        velocity = (place_m - track.place_m) / max((t_ns - track.t_ns) * 1e-9, 1e-3)
        smooth = velocity if track.velocity_m_s is None else 0.5 * (velocity + track.velocity_m_s)
        track.t_ns, track.place_m, track.velocity_m_s = t_ns, place_m, smooth
        return track

    def _born(self, t_ns: int, place_m: NDArray[np.float64]) -> _Track:
        self.count += 1
        self.tracks.append(_Track(f"t{self.count:04d}", t_ns, place_m))
        return self.tracks[-1]


def _facing_ahead(box: PreLabel, track: _Track, world_from_lidar: Transform) -> PreLabel:
    if track.velocity_m_s is None or float(np.hypot(*track.velocity_m_s)) < _MOVING_M_S:
        return box
    ahead = world_from_lidar.rotation[:2, :2].T @ track.velocity_m_s
    return box.facing(float(np.arctan2(ahead[1], ahead[0])))
