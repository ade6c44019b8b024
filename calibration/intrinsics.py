"""How a camera sees, from views of the board: the lens that predicts views it was not fitted to best, how sure it is,
and a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.bundle import Array, Solution, View, adjust, first_pose, place, root_mean_square
from calibration.calibration import CameraCalibration
from calibration.errors import CalibrationError
from calibration.lens import parameters_of, project
from calibration.verdict import Findings
from devices.camera_model import CameraModel, Lens

FEWEST_VIEWS = 6
_SPLITS = 8
# Corners hang together within a view (light, lens blur, perspective in the window) by this much, however small their
# scatter; seen on boards rendered by two independent renderers.
_LEAST_SIGMA_PX = 0.02


@dataclass(frozen=True, slots=True)
class LensKind:
    """A lens to try: its kind, how many distortion coefficients, and whether the board's warp is sought too."""

    lens: Lens
    coefficients: int
    warp: bool = False

    def __str__(self) -> str:
        return f"{self.lens} {self.coefficients}{' with board warp' if self.warp else ''}"


# The simplest first: a later one is taken only when it predicts better.
LENS_KINDS = (LensKind("pinhole", 5), LensKind("fisheye", 4), LensKind("pinhole", 8))


@dataclass(frozen=True, slots=True, eq=False)
class CameraResult:
    """A camera's calibration, and where the board stood. used: (V,) which of the given views the solution's are."""

    calibration: CameraCalibration
    solution: Solution
    used: NDArray[np.int64]
    findings: Findings


def calibrate_camera(
    views: Sequence[View], size_px: tuple[int, int], kinds: Sequence[LensKind] = LENS_KINDS, seed: int = 0
) -> CameraResult:
    """The camera of size (width, height) that saw the views. Raises CalibrationError when they are too few to try.

    Views whose corners lie on one line are left out, and counted.
    """
    given, spread_out = len(views), np.flatnonzero([_spans_the_board(view) for view in views])
    views = [views[index] for index in spread_out]
    if len(views) < 4:
        raise CalibrationError(
            f"{len(views)} still views of the board; a camera needs at least {FEWEST_VIEWS}, better 20"
        )
    kind, heldout_px = choose_lens(views, size_px, kinds)
    solution = solve(views, size_px, kind)
    kept, used, dropped = without_outliers(views, solution)
    if dropped:
        solution = adjust(
            kept, solution.model, solution.camera_from_board[used], solution.warp_m if kind.warp else None
        )
    spread = split_half_sigma(kept, solution, kind, seed)
    scatter_px = solution.rms_px / np.sqrt(2)
    variance = np.diag(solution.covariance)
    formal = np.sqrt(np.where(variance >= 0, variance, np.nan)) * max(1.0, _LEAST_SIGMA_PX / max(scatter_px, 1e-12))
    sigma = np.fmax(formal, spread)
    coverage, tilt_deg = _coverage(kept, size_px), _tilt_deg(solution.camera_from_board)
    findings = _judge(solution, sigma, heldout_px, coverage, tilt_deg)
    evidence = {
        "lens": str(kind),
        "corners": sum(len(view.pixels) for view in kept),
        "corners_dropped": dropped,
        "views_dropped": given - len(used),
        "heldout_rms_px": _or_none(heldout_px),
        "sigma_formal": [_or_none(value) for value in formal[: 4 + kind.coefficients]],
        "sigma_split_half": [_or_none(value) for value in spread[: 4 + kind.coefficients]],
        "coverage": coverage,
        "board_tilt_deg": tilt_deg,
        "board_warp_m": solution.warp_m.tolist(),
        "reasons": findings.reasons,
    }
    sigmas = tuple(map(float, sigma[: 4 + kind.coefficients])) if np.isfinite(sigma).all() else ()
    calibration = CameraCalibration(solution.model, sigmas, solution.rms_px, len(kept), findings.verdict, evidence)
    return CameraResult(calibration, solution, spread_out[used], findings)


def _spans_the_board(view: View) -> bool:
    """Whether its corners do not all lie on one line, as those of a board that has all but left the picture."""
    corners = view.board_m[:, :2] - view.board_m[:, :2].mean(axis=0)
    widths = np.linalg.svd(corners, compute_uv=False)
    return len(widths) == 2 and bool(widths[1] > 1e-6 * widths[0])


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def choose_lens(views: Sequence[View], size_px: tuple[int, int], kinds: Sequence[LensKind]) -> tuple[LensKind, float]:
    """The first lens whose error on views that it was not fitted to is within 3 % of the best one's, and that error
    in px.
    """
    halves = (np.arange(len(views)) % 2 == 0, np.arange(len(views)) % 2 == 1)

    def heldout(kind: LensKind) -> float:
        left_out: list[Array] = []
        for half in halves:
            rest = [view for view, inside in zip(views, half, strict=True) if not inside]
            try:
                fitted = solve([view for view, inside in zip(views, half, strict=True) if inside], size_px, kind)
                left_out += [place(view, fitted.model, fitted.warp_m, fitted.extent_m)[1] for view in rest]
            except (CalibrationError, np.linalg.LinAlgError):
                return float("inf")
        error = root_mean_square(left_out)
        return error if np.isfinite(error) else float("inf")

    errors = {kind: heldout(kind) for kind in kinds}
    best = min(errors.values())
    if not np.isfinite(best):
        return kinds[0], best
    flat = next(kind for kind in kinds if errors[kind] <= 1.03 * best)
    warped = replace(flat, warp=True)
    errors[warped] = heldout(warped)
    kind = warped if errors[warped] < errors[flat] / 1.03 else flat
    return kind, errors[kind]


def solve(views: Sequence[View], size_px: tuple[int, int], kind: LensKind) -> Solution:
    """Bundle adjustment from nothing. Raises CalibrationError when the views do not determine the camera."""
    warp = np.zeros(2) if kind.warp else None
    if kind.coefficients == 8:
        # Eight coefficients hold a wide lens's curve only near the right start, which a fisheye lens finds from
        # anywhere.
        simple = solve(views, size_px, LensKind("fisheye", 4, kind.warp))
        model = rational_like(simple.model, _widest(views, simple.camera_from_board))
        return adjust(views, model, simple.camera_from_board, simple.warp_m if kind.warp else None)
    model = _first_model(views, size_px, kind)
    return adjust(views, model, np.array([first_pose(view, model) for view in views]), warp)


def rational_like(model: CameraModel, widest: float) -> CameraModel:
    """The pinhole lens of eight coefficients that bends rays most like a fisheye lens does, out to ``widest`` times z
    from the axis.
    """
    radius = np.linspace(widest / 200, widest, 200)
    ahead = np.stack([radius, np.zeros_like(radius), np.ones_like(radius)], axis=1)
    ratio = (project(model.lens, parameters_of(model), ahead)[0][:, 0] - model.cx) / model.fx / radius
    powers = np.stack([radius**2, radius**4, radius**6], axis=1)
    k = np.linalg.lstsq(np.concatenate([powers, -ratio[:, None] * powers], axis=1), ratio - 1, rcond=None)[0]
    distortion = (*map(float, k[:2]), 0.0, 0.0, *map(float, k[2:]))
    return replace(model, lens="pinhole", distortion=distortion)


def _widest(views: Sequence[View], camera_from_board: Array) -> float:
    """How far from the axis corners were seen, on the plane z = 1."""
    points = [view.board_m @ pose[:3, :3].T + pose[:3, 3] for view, pose in zip(views, camera_from_board, strict=True)]
    x, y, z = np.concatenate(points).T
    return float((np.hypot(x, y) / z).max())


def _first_model(views: Sequence[View], size_px: tuple[int, int], kind: LensKind) -> CameraModel:
    import cv2

    board = [view.board_m.astype(np.float32) for view in views]
    pixels = [view.pixels.astype(np.float32) for view in views]
    matrix = cv2.initCameraMatrix2D(board, pixels, size_px)
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    if not (np.isfinite([fx, fy]).all() and size_px[0] / 10 < min(fx, fy) and max(fx, fy) < 20 * size_px[0]):
        fx = fy = float(size_px[0])  # no view is tilted enough to tell: adjustment and verdict will see
    return CameraModel(
        kind.lens, *size_px, fx, fy, (size_px[0] - 1) / 2, (size_px[1] - 1) / 2, (0.0,) * kind.coefficients
    )


def without_outliers(views: Sequence[View], solution: Solution) -> tuple[list[View], NDArray[np.int64], int]:
    """The views without corners six robust sigma off, which of the given ones they are, and how many corners went."""
    length = [np.linalg.norm(residual, axis=1) for residual in solution.residuals_px]
    sigma_px = float(np.median(np.concatenate(length))) / 1.1774  # the median of a Rayleigh distribution
    kept, used, dropped = [], [], 0
    for index, (view, far) in enumerate(zip(views, length, strict=True)):
        good = far < max(6 * sigma_px, 0.05)
        if good.sum() >= 6:
            kept.append(View(view.board_m[good], view.pixels[good]))
            used.append(index)
            dropped += int((~good).sum())
        else:
            dropped += len(good)
    if len(kept) < 4:
        raise CalibrationError("the views of the board contradict each other: fewer than four agree on a lens")
    return kept, np.array(used), dropped


def split_half_sigma(views: Sequence[View], solution: Solution, kind: LensKind, seed: int) -> Array:
    """Sigma of each shared parameter from how far solutions of random halves of the views lie apart; NaN below eight
    views.

    Two halves' difference has four times the variance of the whole's result. Residuals that hang together within a view
    make the normal matrix promise a sigma several times too small; this does not.
    """
    count = len(solution.covariance)
    if len(views) < 8:
        return np.full(count, np.nan)
    random = np.random.default_rng(seed)
    squares = []
    for _ in range(_SPLITS):
        order = random.permutation(len(views))
        try:
            first, second = (_refit(views, solution, half, kind) for half in np.array_split(order, 2))
        except (CalibrationError, np.linalg.LinAlgError):
            continue
        squares.append((first - second) ** 2 / 4)
    return np.asarray(np.sqrt(np.mean(squares, axis=0)), dtype=np.float64) if squares else np.full(count, np.nan)


def _refit(views: Sequence[View], solution: Solution, which: NDArray[np.int64], kind: LensKind) -> Array:
    poses = solution.camera_from_board[which]
    warp = solution.warp_m if kind.warp else None
    half = adjust([views[index] for index in which], solution.model, poses, warp)
    return np.concatenate([parameters_of(half.model), half.warp_m[: 2 * kind.warp]])


def _coverage(views: Sequence[View], size_px: tuple[int, int]) -> float:
    """The share of an 8 x 6 grid over the picture whose cells hold a corner."""
    pixels = np.concatenate([view.pixels for view in views])
    cells = np.clip((pixels / size_px * (8, 6)).astype(int), 0, (7, 5))
    return len(np.unique(cells, axis=0)) / 48


def _tilt_deg(camera_from_board: Array) -> float:
    """How much the boards' normals differ: root mean square angle from their mean direction."""
    normals = camera_from_board[:, :3, 2]
    mean = normals.mean(axis=0)
    cosines = np.clip(normals @ mean / np.linalg.norm(mean), -1, 1)
    return float(np.degrees(np.sqrt((np.arccos(cosines) ** 2).mean())))


def _judge(solution: Solution, sigma: Array, heldout_px: float, coverage: float, tilt_deg: float) -> Findings:
    findings = Findings()
    views, rms, model = len(solution.residuals_px), solution.rms_px, solution.model
    findings.refuse_if(views < FEWEST_VIEWS, f"only {views} views of the board, at least {FEWEST_VIEWS} are needed")
    findings.doubt_if(FEWEST_VIEWS <= views < 12, f"only {views} views of the board, 12 or more make it sure")
    findings.refuse_if(
        tilt_deg < 5,
        f"all boards stand nearly parallel ({tilt_deg:.1f} deg apart, 5 needed): tilt the board differently in each view",
    )
    fine = 0.5 * max(1.0, model.width_px / 2000)
    findings.refuse_if(rms > 4 * fine, f"the corners miss the lens by {rms:.2f} px RMS, more than {4 * fine:.1f} px")
    findings.doubt_if(fine < rms <= 4 * fine, f"the corners miss the lens by {rms:.2f} px RMS, more than {fine:.1f} px")
    focal = 100 * max(sigma[0] / model.fx, sigma[1] / model.fy)
    findings.refuse_if(2 <= focal < np.inf, f"the focal length is known to {focal:.2g} % only")
    findings.refuse_if(not np.isfinite(sigma).all(), "the views do not tell how sure the lens is")
    findings.doubt_if(0.5 < focal < 2, f"the focal length is known to {focal:.2f} % only")
    findings.doubt_if(
        coverage < 0.4, f"the board was shown in {100 * coverage:.0f} % of the picture only, show it in its corners too"
    )
    findings.doubt_if(
        heldout_px == np.inf, "no lens fitted to half of the views predicts the others: more views are needed"
    )
    findings.doubt_if(
        1.5 * rms + 0.05 < heldout_px < np.inf,
        f"views left out are missed by {heldout_px:.2f} px against {rms:.2f} px: more views are needed",
    )
    return findings
