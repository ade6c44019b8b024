"""What a receiver says about one instant, in one or several sentences and frames, and the fix that it adds up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from devices.samples import FixQuality, GnssFix

_T = TypeVar("_T")

DAY_NS = 86_400_000_000_000
_SAME_NS = 15_000_000  # between kinds: NMEA rounds to 10 ms, and NAV-PVT's second may begin a little before it
_GNSS_WEEKS_NS = 1024 * 7 * DAY_NS  # after so many weeks the satellites' week number begins anew


@dataclass(slots=True)
class Part:
    """What one sentence or frame says.

    kind: its name, as the receiver repeats it each time that it measures. of_day_ns: UTC time of day; date_ns: midnight before it, UTC,
    since 1970. rank: which source's position and velocity are taken where several give them, the highest. valid: False when the receiver
    says that it has no fix; None when it does not say.
    """

    kind: str = ""
    rank: int = 0
    of_day_ns: int | None = None
    date_ns: int | None = None
    valid: bool | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    quality: FixQuality | None = None
    two_d: bool | None = None
    satellites: int | None = None
    sigma_m: tuple[float, float, float] | None = None
    velocity_m_s: tuple[float, float, float] | None = None


@dataclass(slots=True)
class Calendar:
    """Times of day -> instants: by the date that the receiver last said, else by the day in which they arrive."""

    _newest_ns: int | None = None

    def instant_ns(self, part: Part, host_ns: int) -> int | None:
        """UTC since 1970; None where the part tells no time."""
        if part.of_day_ns is None:
            return None
        if part.date_ns is not None:
            t_ns = part.date_ns + part.of_day_ns
        else:
            t_ns = _nearest_day(part.of_day_ns, host_ns if self._newest_ns is None else self._newest_ns)
            if self._newest_ns is None:
                return t_ns
        self._newest_ns = t_ns
        return without_rollover(t_ns, host_ns)


def without_rollover(t_ns: int, host_ns: int) -> int:
    """A receiver whose firmware lost count of the weeks is a multiple of 1,024 weeks in the past, to the minute: that is put right.

    Whatever else differs from the host's clock stays as the receiver says: it may be an old log, or the host may be wrong.
    """
    epochs = round((host_ns - t_ns) / _GNSS_WEEKS_NS)
    moved_ns = t_ns + epochs * _GNSS_WEEKS_NS
    return moved_ns if epochs > 0 and abs(host_ns - moved_ns) < DAY_NS else t_ns


@dataclass(slots=True)
class Epoch:
    """Parts that speak of the same instant."""

    parts: list[Part] = field(default_factory=list)
    of_day_ns: int | None = None
    host_ns: int = 0

    def takes(self, part: Part) -> bool:
        """Whether a part speaks of this instant: one without a time speaks of the one before it, one of a kind that is there at its very time."""
        if part.of_day_ns is None or self.of_day_ns is None:
            return True
        if any(part.kind == each.kind and each.of_day_ns not in (None, part.of_day_ns) for each in self.parts):
            return False
        apart_ns = abs(part.of_day_ns - self.of_day_ns) % DAY_NS
        return min(apart_ns, DAY_NS - apart_ns) <= _SAME_NS

    def add(self, part: Part, host_ns: int) -> None:
        self.parts.append(part)
        self.host_ns = host_ns
        if self.of_day_ns is None:
            self.of_day_ns = part.of_day_ns

    def fix(self, sensor: str, calendar: Calendar) -> GnssFix | None:
        """None where there is no position, or the receiver says that it is none."""
        parts = sorted(self.parts, key=lambda each: each.rank, reverse=True)
        t_ns = self._instant_ns(parts, calendar)
        place = next((part for part in parts if part.latitude_deg is not None), None)
        if t_ns is None or place is None or place.latitude_deg is None or place.longitude_deg is None:
            return None
        if _first(part.valid for part in parts) is False:
            return None
        return GnssFix(
            sensor=sensor,
            t_ns=t_ns,
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
            altitude_m=_first(part.altitude_m for part in parts),
            quality=self._quality(parts),
            satellites=_first(part.satellites for part in parts),
            sigma_m=_vector(_first(part.sigma_m for part in parts)),
            velocity_m_s=_vector(_first(part.velocity_m_s for part in parts)),
        )

    def _instant_ns(self, parts: list[Part], calendar: Calendar) -> int | None:
        dated = [part for part in parts if part.date_ns is not None and part.of_day_ns is not None]
        timed = dated or [part for part in parts if part.of_day_ns is not None]
        return calendar.instant_ns(timed[0], self.host_ns) if timed else None

    def _quality(self, parts: list[Part]) -> FixQuality:
        said = _first(part.quality for part in parts) or FixQuality.THREE_D
        flat = any(part.two_d for part in parts)
        return FixQuality.TWO_D if flat and said is FixQuality.THREE_D else said


def _nearest_day(of_day_ns: int, near_ns: int) -> int:
    return near_ns + (of_day_ns - near_ns + DAY_NS // 2) % DAY_NS - DAY_NS // 2


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def _vector(values: tuple[float, float, float] | None) -> NDArray[np.float64] | None:
    return None if values is None else np.array(values, dtype=np.float64)
