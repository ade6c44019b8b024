"""Where a camera sits relative to a lidar, from the board in both: its plane and its outline, over all poses at once.

Residuals: how far lidar points lie off the plane in which the camera sees the board, and how far the cloud's edges lie
off the nearest side of the rectangle. Planes alone leave a direction weak when the boards' tilts are alike; the outline
holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.board_cloud import BoardPose, Sight, find_board
from calibration.bundle import covariance_of
from calibration.calibration import Evidence
from calibration.errors import CalibrationError
from calibration.motion import rotations
from calibration.verdict import Findings
from devices.transform import rotation_vector

Array = NDArray[np.float64]
FEWEST_POSES = 5
# What all residuals of one pose share (the camera's board pose, the lidar's range error): more points do not average it
# out.
_SHARED_M = 0.002
_HUBER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """A camera placed relative to a lidar. covariance: (6, 6), rad then m along the camera's axes, applied from the
    left.
    """

    camera_from_lidar: Array
    covariance: Array
    evidence: Evidence
    findings: Findings


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Linear measurements of one pose in the camera frame: normal . (R p + t) = level, each with its sigma."""

    points_m: Array
    normals: Array
    levels: Array
    sigma: Array
    planes: int  # the first so many are plane residuals, the rest edges


def place_camera(sights: Sequence[Sight], rectangle_m: Array, camera_from_lidar: Array, seed: int = 0) -> Placement:
    """Find the board in the cloud and solve, each helping the other, from a hand-measured start (4, 4).

    Raises CalibrationError when the board is found in the cloud too seldom to try.
    """
    random = np.random.default_rng(seed)
    poses: list[BoardPose] = []
    for slack_m in (0.35, 0.12, 0.06):
        lidar_from_camera = np.linalg.inv(camera_from_lidar)
        candidates = [
            find_board(sight, lidar_from_camera @ sight.camera_from_board, rectangle_m, slack_m, random)
            for sight in sights
        ]
        poses = [pose for pose in candidates if pose is not None]
        if len(poses) < 3:
            raise CalibrationError(
                f"the board was found in the cloud in {len(poses)} of {len(sights)} still views, at least {FEWEST_POSES} are needed; "
                "is the hand-measured mounting right to 10 degrees and 0.3 m, and the board within 10 m of the lidar?"
            )
        camera_from_lidar = solve(poses, rectangle_m, camera_from_lidar, first_gate_m=2 * slack_m)
    return assess(poses, rectangle_m, camera_from_lidar, len(sights))


def solve(poses: Sequence[BoardPose], rectangle_m: Array, camera_from_lidar: Array, first_gate_m: float = 0.3) -> Array:
    """camera_from_lidar (4, 4) that fits all poses best. Edges further than the gate from any side count for nothing."""
    gate_m = first_gate_m
    for _ in range(12):
        rows = [_rows(pose, rectangle_m, camera_from_lidar, gate_m) for pose in poses]
        before = camera_from_lidar
        camera_from_lidar = _descend(rows, camera_from_lidar, steps=4)
        gate_m = max(gate_m / 2, 0.04)
        moved = np.linalg.inv(before) @ camera_from_lidar
        if (
            gate_m <= 0.04
            and np.linalg.norm(moved[:3, 3]) < 1e-6
            and np.linalg.norm(rotation_vector(moved[:3, :3])) < 1e-7
        ):
            break
    return camera_from_lidar


def assess(poses: Sequence[BoardPose], rectangle_m: Array, camera_from_lidar: Array, sights: int) -> Placement:
    """What the solution is worth: covariance, residuals, poses left out, and a verdict."""
    rows = [_rows(pose, rectangle_m, camera_from_lidar, 0.04) for pose in poses]
    residuals = [_residuals(row, camera_from_lidar) for row in rows]
    plane = np.concatenate([residual[: row.planes] for row, residual in zip(rows, residuals, strict=True)])
    edge = np.concatenate([residual[row.planes :] for row, residual in zip(rows, residuals, strict=True)])
    covariance = _covariance(rows, camera_from_lidar)
    heldout_m = _heldout_m(poses, rectangle_m, camera_from_lidar)
    normals = np.array([pose.camera_from_board[:3, 2] for pose in poses])
    spread_deg = float(
        np.degrees(np.arcsin(np.sqrt(max(np.linalg.eigvalsh(normals.T @ normals / len(normals))[0], 0.0))))
    )
    sigma_deg = float(np.degrees(np.sqrt(np.trace(covariance[:3, :3]))))
    sigma_mm = float(1e3 * np.sqrt(np.trace(covariance[3:, 3:])))
    plane_mm = float(1e3 * np.sqrt((plane**2).mean()))
    findings = _judge(len(poses), spread_deg, plane_mm, 1e3 * heldout_m, sigma_deg, sigma_mm)
    evidence = {
        "poses": len(poses),
        "still_views": sights,
        "plane_points": len(plane),
        "plane_rms_mm": plane_mm,
        "edge_points": len(edge),
        "edge_rms_mm": float(1e3 * np.sqrt((edge**2).mean())) if len(edge) else None,
        "heldout_plane_offset_mm": 1e3 * heldout_m,
        "normal_spread_deg": spread_deg,
        "sigma_rotation_deg": sigma_deg,
        "sigma_translation_mm": sigma_mm,
        "reasons": findings.reasons,
    }
    return Placement(camera_from_lidar, covariance, evidence, findings)


def _rows(pose: BoardPose, rectangle_m: Array, camera_from_lidar: Array, gate_m: float) -> _Rows:
    """The measurements of one pose, each edge point tied to the side that it most likely lies on."""
    rotation, origin = pose.camera_from_board[:3, :3], pose.camera_from_board[:3, 3]
    count = len(pose.points_m)
    normal = rotation[:, 2]
    offset = pose.points_m @ (camera_from_lidar[:3, :3].T @ normal) + normal @ (camera_from_lidar[:3, 3] - origin)
    noise = max(1.4826 * float(np.median(abs(offset - np.median(offset)))), 0.003)
    sigma = np.full(count, np.sqrt(noise**2 + count * _SHARED_M**2))
    edge, side, edge_sigma = _sides(pose, rectangle_m, camera_from_lidar, gate_m)
    # Outward normals of the low x, low y, high x, high y sides, and how far out along them each side lies.
    outward = np.array([[-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float64) @ rotation.T
    reach = np.array([-1, -1, 1, 1]) * rectangle_m + outward @ origin
    return _Rows(
        np.concatenate([pose.points_m, edge]),
        np.concatenate([np.tile(normal, (count, 1)), outward[side]]),
        np.concatenate([np.full(count, normal @ origin), reach[side]]),
        np.concatenate([sigma, edge_sigma]),
        count,
    )


def _sides(
    pose: BoardPose, rectangle_m: Array, camera_from_lidar: Array, gate_m: float
) -> tuple[Array, NDArray[np.int64], Array]:
    """The edge points within the gate or their own bracket, the side (0 to 3) of each, and its sigma in m."""
    board_from_lidar = np.linalg.inv(pose.camera_from_board) @ camera_from_lidar
    local = (pose.edge_m @ board_from_lidar[:3, :3].T + board_from_lidar[:3, 3])[:, :2]
    across = (pose.across_m @ board_from_lidar[:3, :3].T)[:, :2]
    beyond = np.concatenate([rectangle_m[:2] - local, local - rectangle_m[2:]], axis=1)  # (E, 4), positive outside
    leaving = np.concatenate([-across, across], axis=1)
    # A point belongs to a side only when its bracket leaves the board through it, and it lies along it.
    fits = leaving > 0.3 * np.linalg.norm(across, axis=1)[:, None]
    fits &= beyond[:, [1, 0, 1, 0]] < gate_m
    fits &= beyond[:, [3, 2, 3, 2]] < gate_m
    distance = np.where(fits, abs(beyond), np.inf)
    side = np.argmin(distance, axis=1)
    # A sparse lidar's brackets are wider than any gate: an edge may lie anywhere within its own.
    wide_m = np.maximum(gate_m, 0.75 * np.linalg.norm(across, axis=1))
    good = distance.min(axis=1) < wide_m if len(side) else np.zeros(0, dtype=bool)
    rank = np.arange(len(side))
    bracket = leaving[rank, side][good] / np.sqrt(12)
    shared = np.bincount(side[good], minlength=4)[side[good]] * _SHARED_M**2
    return pose.edge_m[good], side[good], np.sqrt(pose.repeats * (bracket**2 + 0.003**2) + shared)


def _residuals(rows: _Rows, camera_from_lidar: Array) -> Array:
    moved = rows.points_m @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
    return np.asarray((rows.normals * moved).sum(axis=1) - rows.levels, dtype=np.float64)


def _normal_equations(rows: Sequence[_Rows], camera_from_lidar: Array) -> tuple[Array, Array]:
    """(6, 6) and (6,) of the weighted, Huber-damped residuals; a rotation vector from the left, then a shift."""
    matrix, vector = np.zeros((6, 6)), np.zeros(6)
    for row in rows:
        turned = row.points_m @ camera_from_lidar[:3, :3].T
        jacobian = np.concatenate([np.cross(turned, row.normals), row.normals], axis=1)
        scaled = _residuals(row, camera_from_lidar) / row.sigma
        weight = np.minimum(1.0, _HUBER / np.maximum(abs(scaled), 1e-12)) / row.sigma**2
        matrix += (jacobian * weight[:, None]).T @ jacobian
        vector += jacobian.T @ (weight * scaled * row.sigma)
    return matrix, vector


def _descend(rows: Sequence[_Rows], camera_from_lidar: Array, steps: int) -> Array:
    """Gauss-Newton steps with the edges' sides held."""
    for _ in range(steps):
        matrix, vector = _normal_equations(rows, camera_from_lidar)
        damped = matrix + np.diag(1e-6 * np.diag(matrix) + 1e-9)
        camera_from_lidar = moved(camera_from_lidar, np.asarray(-np.linalg.solve(damped, vector), dtype=np.float64))
    return camera_from_lidar


def moved(camera_from_lidar: Array, step: Array) -> Array:
    """A transform (4, 4) turned by a rotation vector from the left and shifted: step is (6,), rad then m."""
    result = camera_from_lidar.copy()
    result[:3, :3] = rotations(step[None, :3])[0] @ camera_from_lidar[:3, :3]
    result[:3, 3] += step[3:]
    return result


def _difference(from_: Array, to: Array) -> Array:
    """The step that moved() would need."""
    return np.concatenate([rotation_vector(to[:3, :3] @ from_[:3, :3].T), to[:3, 3] - from_[:3, 3]])


def _covariance(rows: Sequence[_Rows], camera_from_lidar: Array) -> Array:
    """The formal covariance with each sigma widened to the jackknife's over poses where that is larger."""
    matrix, _ = _normal_equations(rows, camera_from_lidar)
    formal = covariance_of(matrix)
    count = len(rows)
    without = np.array(
        [
            _difference(camera_from_lidar, _descend([*rows[:out], *rows[out + 1 :]], camera_from_lidar, 3))
            for out in range(count)
        ]
    )
    jackknife = (count - 1) / count * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    wider = np.sqrt(np.maximum(1.0, jackknife / np.diag(formal)))
    return np.asarray(formal * np.outer(wider, wider), dtype=np.float64)


def _heldout_m(poses: Sequence[BoardPose], rectangle_m: Array, camera_from_lidar: Array) -> float:
    """RMS over poses of how far their points' mean lies off the camera's plane when a fifth of the poses is left out
    of the fit.
    """
    offsets = []
    for fold in range(min(5, len(poses))):
        fitted = solve(
            [pose for index, pose in enumerate(poses) if index % 5 != fold], rectangle_m, camera_from_lidar, 0.08
        )
        for pose in poses[fold::5]:
            rows = _rows(pose, rectangle_m, fitted, 0.04)
            offsets.append(float(_residuals(rows, fitted)[: rows.planes].mean()))
    return float(np.sqrt(np.mean(np.square(offsets))))


def _judge(
    poses: int, spread_deg: float, plane_mm: float, heldout_mm: float, sigma_deg: float, sigma_mm: float
) -> Findings:
    findings = Findings()
    findings.refuse_if(
        poses < FEWEST_POSES,
        f"the board was found in the cloud in only {poses} poses, at least {FEWEST_POSES} are needed",
    )
    findings.doubt_if(
        FEWEST_POSES <= poses < 10, f"the board was found in the cloud in only {poses} poses, 10 or more make it sure"
    )
    findings.refuse_if(
        spread_deg < 4,
        f"all boards stand nearly parallel, or turned about one axis only (spread {spread_deg:.1f} deg, 4 needed)",
    )
    findings.doubt_if(4 <= spread_deg < 8, f"the boards' tilts are alike (spread {spread_deg:.1f} deg, 8 make it sure)")
    findings.refuse_if(plane_mm > 60, f"lidar points lie {plane_mm:.0f} mm RMS off the camera's board planes")
    findings.doubt_if(30 < plane_mm <= 60, f"lidar points lie {plane_mm:.0f} mm RMS off the camera's board planes")
    findings.doubt_if(heldout_mm > 15, f"boards left out of the fit are missed by {heldout_mm:.0f} mm")
    findings.refuse_if(sigma_deg > 1 or sigma_mm > 60, f"it is known to {sigma_deg:.2f} deg and {sigma_mm:.0f} mm only")
    findings.doubt_if(
        (sigma_deg > 0.3 or sigma_mm > 20) and sigma_deg <= 1 and sigma_mm <= 60,
        f"it is known to {sigma_deg:.2f} deg and {sigma_mm:.0f} mm only",
    )
    return findings
