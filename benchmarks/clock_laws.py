"""How late packets are in simulations, and what nobody can know better of a clock from packets that are so late."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MS = 1e6
_ORACLE_PACKETS = 400_000  # in all runs of one law


@dataclass(frozen=True, slots=True)
class Law:
    """lateness(random, count, rate_hz): ns. log_density: of one delay, but for a constant; None where delays hang together.

    scores: of the law's family at unit scale, its place first; None where no bound by them exists.
    """

    name: str
    sd_ms: float
    lateness: Callable[[np.random.Generator, int, float], Array]
    log_density: Callable[[Array], Array] | None = None
    scores: Callable[[Array], Sequence[Array]] | None = None


def laws() -> list[Law]:
    wire = [
        exponential(1.0),
        half_normal(1.0),
        gamma(2.0, 1.0),
        gamma(3.0, 1.0),
        log_normal(1.0, 1.0),
        log_normal(0.5, 1.0),
        queue_with_stalls(),
    ]
    return [*wire, exponential(8.0), half_normal(8.0), gamma(2.0, 8.0), gamma(3.0, 8.0)]


def exponential(sd_ms: float) -> Law:
    scale_ns = sd_ms * MS
    return Law(
        "exponential",
        sd_ms,
        lambda random, count, _: random.exponential(scale_ns, count),
        lambda x: -x / scale_ns,
    )


def half_normal(sd_ms: float) -> Law:
    scale_ns = sd_ms * MS / math.sqrt(1 - 2 / math.pi)
    return Law(
        "half-normal",
        sd_ms,
        lambda random, count, _: np.abs(random.normal(0, scale_ns, count)),
        lambda x: np.square(x / scale_ns) / -2,
    )


def gamma(shape: float, sd_ms: float) -> Law:
    scale_ns = sd_ms * MS / math.sqrt(shape)

    def scores(x: Array) -> Sequence[Array]:
        u = x / scale_ns
        return (1 - (shape - 1) / u) / scale_ns, (u - shape) / scale_ns, np.log(u)

    return Law(
        f"gamma {shape:g}",
        sd_ms,
        lambda random, count, _: random.gamma(shape, scale_ns, count),
        lambda x: (shape - 1) * np.log(x) - x / scale_ns,
        scores if shape > 2 else None,
    )


def log_normal(sigma: float, sd_ms: float) -> Law:
    middle_ns = sd_ms * MS / math.sqrt((math.exp(sigma**2) - 1) * math.exp(sigma**2))

    def scores(x: Array) -> Sequence[Array]:
        z = np.log(x / middle_ns) / sigma
        return (1 + z / sigma) / x, z / sigma, (z * z - 1) / sigma

    def log_density(x: Array) -> Array:
        logs = np.log(x / middle_ns)
        return -logs - np.square(logs / sigma) / 2

    return Law(
        f"log-normal {sigma:g}",
        sd_ms,
        lambda random, count, _: middle_ns * random.lognormal(0, sigma, count),
        log_density,
        scores,
    )


def queue_with_stalls() -> Law:
    """A quiet wire (0.1 ms) on which twice a second all is held up for 20 ms in the mean and then comes at once."""

    def lateness(random: np.random.Generator, count: int, rate_hz: float) -> Array:
        t_ns = np.arange(count) * 1e9 / rate_hz
        late_ns = random.gamma(2, 0.07 * MS, count)
        for _ in range(random.poisson(2 * count / rate_hz)):
            start_ns, length_ns = random.uniform(0, t_ns[-1]), random.exponential(20 * MS)
            held = slice(*np.searchsorted(t_ns, [start_ns, start_ns + length_ns]).tolist())
            late_ns[held] = np.maximum(late_ns[held], start_ns + length_ns - t_ns[held])
        return np.asarray(late_ns)

    return Law("queue with stalls", 4.0, lateness)


def family_bound_ms(law: Law, count: int) -> float | None:
    """Median |error| at the end of a line, at the least, of an unbiased estimator that is told the law's family (Cramer and Rao)."""
    if law.scores is None:
        return None
    draws = law.lateness(np.random.default_rng(0), 400_000, 1.0)
    scores = np.stack(law.scores(draws))
    scores -= scores.mean(axis=1, keepdims=True)
    information = scores @ scores.T / scores.shape[1]
    place = np.linalg.inv(information)[0, 0] + 3 / information[0, 0]
    return float(0.6745 * math.sqrt(place / count) / MS)


def oracle_ms(law: Law, count: int) -> float | None:
    """Median |error| of who knows the skew and the law itself, its scale included, and has only the offset to find.

    Pitman's estimator, the mean of the likelihood: of all that move with the clock, none has a smaller mean square.
    """
    if law.log_density is None:
        return None
    runs = min(max(_ORACLE_PACKETS // count, 20), 200)
    late_ns = (law.lateness(np.random.default_rng(seed), count, 1.0) for seed in range(runs))
    return float(np.median([abs(_oracle_error_ns(each, law.log_density)) for each in late_ns]) / MS)


def _oracle_error_ns(late_ns: Array, log_density: Callable[[Array], Array]) -> float:
    """The truth is 0. The floor lies under the least delay by a gap, on a grid that is made finer around what is left."""
    above_ns = late_ns - late_ns.min()
    gaps = np.asarray(np.geomspace(1e-7, 30, 90) * float(np.quantile(late_ns, 0.3)), dtype=np.float64)
    for _ in range(3):
        logs = np.array([float(log_density(above_ns + gap).sum()) for gap in gaps.tolist()]) + np.log(np.gradient(gaps))
        chances = np.exp(logs - logs.max())
        chances /= chances.sum()
        mean = float(chances @ gaps)
        sigma = math.sqrt(float(chances @ np.square(gaps - mean)))
        reach = 5 * max(sigma, float(np.gradient(gaps)[int(np.argmax(chances))]) / 2)
        gaps = np.asarray(np.linspace(max(mean - reach, 1e-3 * mean), mean + reach, 60), dtype=np.float64)
    return float(late_ns.min()) - mean
