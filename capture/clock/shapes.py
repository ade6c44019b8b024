"""How a transport's delays may be spread just above the least one: the shapes over which the clock's floor is averaged.

Below a threshold T a delay r has the density g(r / T), u = r / T in (0, 1], of one of two families:

    u^(k-1) exp(-b u)          power law at the floor, bent: exponential, half-normal, gamma, Weibull, queues
    u^(k-1) exp(-c ln(u)^2)    log-normal, whose floor is touched by no power of u

Of the second, sigma = (2 c)^(-1/2) is log-normal's own, and k follows from sigma and the share q of all delays below T:
k = z_q / sigma, z_q the normal quantile that q leaves below -z_q. That the share may be another (bursts add late packets only)
is allowed for by a change of z_q.

How likely a shape is before any packet has come was chosen in simulations (benchmarks/clock.py), so that stated intervals hold for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The chance of the second family, and the fall of that of a power k > 1: exp(-(k - 1) / this). Few points can hardly tell high powers from
# log-normal, under both of which the floor lies far below all points: log-normal then stands for them, and has more room.
_LOG_NORMAL, _POWER_FALL = 0.07, 1.2
_TELLING_POINTS, _FEWEST_TIMES = 450, 8.0
_MORE_LOG_NORMAL, _LESS_POWER = 0.7, 0.35  # powers of how many times fewer points there are than tell
_SHARP_FALL = 8.0  # of a power k < 1, which no queue but a coarse stamp makes
_BEND_FALL = 0.15
_QUANTILE_CHANGES = np.array([-0.15, 0.0, 0.15])
_CHANGE_CHANCES = np.array([0.2, 0.6, 0.2])
_POWERS, _BENDS, _SIGMAS = (0.4, 7.5), (-3.0, 9.0), (0.35, 2.0)
_SERIES = np.arange(45.0)
_FACTORIALS = np.array([math.factorial(j) for j in range(45)], dtype=np.float64)
_REACH = 3.2  # standard deviations of what is known of a shape that the next, finer grid takes in


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """(S,) shapes of both families. log g(u) = coefficients . (ln u, -u, -ln(u)^2); integral: of g over (0, 1].

    at_threshold: g'(1), by which g goes on above the threshold. log_prior: of each shape, its share of the grid included.
    """

    powers: Array
    bends: Array
    sigmas: Array
    coefficients: Array  # (3, S)
    integral: Array
    at_threshold: Array
    log_prior: Array


def first_shapes(share_below: float, points: int) -> Shapes:
    """A coarse grid over all shapes. share_below: of all delays, those below the threshold; points: how many they are."""
    powers = np.array([0.5, 0.7, 0.85, 1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 4, 5, 6.5])
    bends = np.array([-2.0, -1, 0, 1, 2, 3.5, 5.5, 8])
    sigmas = np.array([0.4, 0.5, 0.62, 0.8, 1, 1.25, 1.6])
    return _shapes(powers, bends, sigmas, share_below, points)


def finer_shapes(known: Shapes, chances: Array, share_below: float, points: int) -> Shapes:
    """A grid as large over what is left. chances: (S,) of each of the shapes known so far, 1 in all."""
    split = len(known.powers) * len(known.bends)
    powers, bends, sigmas = known.powers, known.bends, known.sigmas
    bent = chances[:split].reshape(len(powers), len(bends))
    if bent.sum() > 1e-4:
        bent /= bent.sum()
        powers = np.exp(_around(np.log(powers), bent.sum(axis=1), 12, np.log(_POWERS)))
        bends = _around(bends, bent.sum(axis=0), 8, np.array(_BENDS))
    normal = chances[split:].reshape(len(sigmas), -1).sum(axis=1)
    if normal.sum() > 1e-4:
        sigmas = np.exp(_around(np.log(sigmas), normal / normal.sum(), 7, np.log(_SIGMAS)))
    return _shapes(powers, bends, sigmas, share_below, points)


def _around(grid: Array, chances: Array, count: int, limits: Array) -> Array:
    mean = float(chances @ grid)
    spread = math.sqrt(max(float(chances @ (grid - mean) ** 2), 0.0))
    reach = max(_REACH * spread, 0.8 * float(np.gradient(grid)[int(np.argmax(chances))]))
    return np.linspace(max(mean - reach, limits[0]), min(mean + reach, limits[1]), count)


def _shapes(powers: Array, bends: Array, sigmas: Array, share_below: float, points: int) -> Shapes:
    fewer = min(max(_TELLING_POINTS / points, 1.0), _FEWEST_TIMES)
    log_normal, power_fall = _LOG_NORMAL * fewer**_MORE_LOG_NORMAL, _POWER_FALL / fewer**_LESS_POWER
    k, b = (part.ravel() for part in np.meshgrid(powers, bends, indexing="ij"))
    bent_prior = np.log(np.outer(np.gradient(powers), np.gradient(bends))).ravel()
    bent_prior += math.log(1 - log_normal) + _log_prior(k, b, power_fall)
    sigma, change = (part.ravel() for part in np.meshgrid(sigmas, _QUANTILE_CHANGES, indexing="ij"))
    quantile = -NormalDist().inv_cdf(min(max(share_below, 1e-6), 0.99))
    normal_k, c = (quantile + change) / sigma, 0.5 / sigma**2
    normal_prior = np.log(np.outer(np.gradient(np.log(sigmas)), _CHANGE_CHANCES)).ravel()
    normal_prior += math.log(log_normal / np.log(_SIGMAS[1] / _SIGMAS[0]))
    all_k, all_b = np.concatenate([k, normal_k]), np.concatenate([b, np.zeros_like(c)])
    return Shapes(
        powers,
        bends,
        sigmas,
        np.stack([all_k - 1, all_b, np.concatenate([np.zeros_like(k), c])]),
        np.concatenate([_bent_integrals(powers, bends).ravel(), _log_normal_integral(normal_k, c)]),
        np.exp(-all_b) * (all_k - 1 - all_b),
        np.concatenate([bent_prior, normal_prior]),
    )


def _log_prior(k: Array, b: Array, power_fall: float) -> Array:
    total = 1 / ((power_fall + 0.3) * 1.5 / _BEND_FALL)
    falls = np.maximum(k - 1, 0) / power_fall + _SHARP_FALL * np.maximum(1 - k, 0) + _BEND_FALL * np.abs(b)
    return np.asarray(math.log(total) - falls)


def _bent_integrals(powers: Array, bends: Array) -> Array:
    """(K, B): of u^(k-1) exp(-b u) over (0, 1]: the lower incomplete gamma function's series (DLMF 8.7.1), for |b| < 10."""
    terms = (-bends) ** _SERIES[:, None] / _FACTORIALS[:, None]
    return np.asarray(1 / (powers[:, None] + _SERIES) @ terms)


def _log_normal_integral(k: Array, c: Array) -> Array:
    """Of u^(k-1) exp(-c ln(u)^2) over (0, 1]: with u = exp(-v) a Gaussian's tail."""
    edge = k / (2 * np.sqrt(c))
    tails = np.array([math.exp(z * z) * math.erfc(z) for z in edge.tolist()])
    return np.asarray(tails * np.sqrt(np.pi / c) / 2)
