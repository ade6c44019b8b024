"""Host time: UTC as this machine told it when the recording began, counted on by a clock that nobody sets.

NTP, a virtual machine or a person may set the wall clock at any moment. What is recorded must not jump with it, so that nothing that
belongs into a recording is stamped by the wall clock itself:

    HOST_CLOCK.now_ns()         now
    HOST_CLOCK.of_boot(ns)      of a stamp that another process took with since_boot_ns()
    WallStamps().host_ns(..)    of stamps that the kernel took by the wall clock
    BufferStamps().host_ns(..)  of stamps that the kernel took by its monotonic clock

All host times are ns. The clock that nobody sets is the same for all processes of a machine.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devices.sdk.fed_process import since_boot_ns  # there, since a vendor's Python has that file only

__all__ = ["HOST_CLOCK", "BufferStamps", "ClockSet", "SteadyClock", "WallStamps", "since_boot_ns"]

_TOLD_NS = 20_000_000  # less is a correction such as every machine's clock gets; it is followed, but not told
_TRIES = 5
_NOISE_NS = 50_000  # what two readings may lie apart before they are taken anew
_ANCHOR_OFF_NS = 2_000_000  # from which on a recording gets an anchor of its own
_NEAR_NS = 60_000_000_000  # an older stamp is of no picture that comes now
_KNOWN_WALLS, _KNOWN_SETS = 16, 1000


def _ahead_ns(clock_ns: Callable[[], int], boot_ns: Callable[[], int]) -> tuple[int, int]:
    """How far a clock is ahead of boot time, and by how much that may be off.

    The tightest of five readings between two of boot time, since any may be interrupted.
    """
    readings = []
    for _ in range(_TRIES):
        before_ns, read_ns, after_ns = boot_ns(), clock_ns(), boot_ns()
        readings.append((after_ns - before_ns, read_ns - (before_ns + after_ns) // 2))
    width_ns, ahead_ns = min(readings)
    return ahead_ns, width_ns // 2


@dataclass(frozen=True, slots=True)
class ClockSet:
    """Somebody set this machine's wall clock. at_ns: host time at which it was noticed."""

    at_ns: int
    by_ns: int


@dataclass(frozen=True, slots=True)
class _Wall:
    """The wall clock from one setting to the next. since_ns: boot time at which it may have begun; noticed_ns: at which it surely had."""

    ahead_ns: int
    since_ns: int
    noticed_ns: int


class SteadyClock:
    """UTC at an anchor, counted on. Any thread may ask; the anchor is moved by anchor_anew() only.

    wall_ns, boot_ns: this machine's two clocks. Their distance is the tightest of five readings: known to below 1 us on an idle machine.
    It only changes when the wall clock is set (where a system slews but one of the two, it creeps, which is followed).
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, boot_ns: Callable[[], int] = since_boot_ns) -> None:
        self._wall_ns, self._boot_ns = wall_ns, boot_ns
        self._changing = threading.Lock()
        self._holders = 0
        ahead_ns, _ = _ahead_ns(wall_ns, boot_ns)
        self._anchor_ns = ahead_ns
        self._looked_ns = boot_ns()
        self._walls: tuple[_Wall, ...] = (_Wall(ahead_ns, -(1 << 63), -(1 << 63)),)  # newest first
        self._sets: deque[tuple[int, int]] = deque(maxlen=_KNOWN_SETS)  # boot time, by

    @property
    def anchor_ns(self) -> int:
        """Host time less boot time."""
        return self._anchor_ns

    def now_ns(self) -> int:
        return self._boot_ns() + self._anchor_ns

    def of_boot(self, boot_ns: int) -> int:
        return boot_ns + self._anchor_ns

    # the wall clock

    def look(self) -> int:
        """Takes notice of a wall clock that was set; returns the boot time now. To be called often: what is told is known to so much."""
        before_ns, wall_ns = self._boot_ns(), self._wall_ns()
        if abs(wall_ns - before_ns - self._walls[0].ahead_ns) > _NOISE_NS:
            self._look_closely()
        else:
            self._looked_ns = before_ns
        return self._boot_ns()

    def _look_closely(self) -> None:
        with self._changing:
            looked_ns, (ahead_ns, off_ns) = self._looked_ns, _ahead_ns(self._wall_ns, self._boot_ns)
            now_ns, by_ns = self._boot_ns(), ahead_ns - self._walls[0].ahead_ns
            if abs(by_ns) <= max(_NOISE_NS, 2 * off_ns):
                return
            self._walls = (_Wall(ahead_ns, looked_ns, now_ns), *self._walls[: _KNOWN_WALLS - 1])
            self._looked_ns = now_ns
            if abs(by_ns) > _TOLD_NS:
                self._sets.append((now_ns, by_ns))

    @property
    def walls(self) -> tuple[_Wall, ...]:
        """What the wall clock was ahead of boot time, newest first."""
        return self._walls

    @property
    def sets(self) -> list[ClockSet]:
        """When the wall clock was set since the anchor, oldest first."""
        return [ClockSet(self.of_boot(at_ns), by_ns) for at_ns, by_ns in tuple(self._sets)]

    # the anchor

    def anchor_anew(self) -> int:
        """Host time is the wall clock's again from now on; returns by how much it has jumped. 0 while a recording holds it as it is."""
        self.look()
        with self._changing:
            if self._holders:
                return 0
            self._sets.clear()
            by_ns = self._walls[0].ahead_ns - self._anchor_ns
            if abs(by_ns) < _ANCHOR_OFF_NS:
                return 0
            self._anchor_ns += by_ns
            return by_ns

    def hold(self) -> None:
        """A recording has begun: the anchor stays until let_go() was called as often as this."""
        with self._changing:
            self._holders += 1

    def let_go(self) -> None:
        with self._changing:
            self._holders -= 1


HOST_CLOCK = SteadyClock()


class WallStamps:
    """Of one socket: its kernel's stamps by the wall clock, on which others may have set it before they are read."""

    def __init__(self, clock: SteadyClock = HOST_CLOCK) -> None:
        self._clock = clock
        self._last_ns = -(1 << 63)

    def host_ns(self, stamps_ns: list[int]) -> list[int]:
        """Of stamps in the order of arrival, read just now. Where the wall clock was set about then, none is put behind now or before the last.

        None is later than the one behind it: what comes in the moment in which the kernel begins to stamp is stamped when it is read.
        """
        now_ns = self._clock.look()
        wall, anchor_ns = self._clock.walls[0], self._clock.of_boot(0)
        if not stamps_ns:
            return []
        in_order = stamps_ns == sorted(stamps_ns)
        if (
            in_order
            and wall.noticed_ns <= stamps_ns[0] - wall.ahead_ns
            and stamps_ns[-1] - wall.ahead_ns <= now_ns + _NOISE_NS
        ):
            self._last_ns = stamps_ns[-1] - wall.ahead_ns
            shift_ns = anchor_ns - wall.ahead_ns
            return [stamp_ns + shift_ns for stamp_ns in stamps_ns]
        arrivals_ns = self._arrivals(stamps_ns, max(now_ns, self._last_ns))
        self._last_ns = arrivals_ns[-1]
        return [arrival_ns + anchor_ns for arrival_ns in arrivals_ns]

    def _arrivals(self, stamps_ns: Sequence[int], now_ns: int) -> list[int]:
        """Boot time of each, from the newest to the oldest: it lies before the one behind it, by the newest setting that makes sense."""
        found, latest_ns = [], now_ns
        for stamp_ns in reversed(stamps_ns):
            readings = ((stamp_ns - wall.ahead_ns, wall) for wall in self._clock.walls)
            sound = (ns for ns, wall in readings if max(wall.since_ns, self._last_ns) <= ns <= latest_ns)
            latest_ns = next(sound, latest_ns)
            found.append(latest_ns)
        return found[::-1]


class BufferStamps:
    """Of one driver: the kernel's stamps of its buffers, by the monotonic clock or, where it was told so, by the wall clock."""

    def __init__(
        self, clock: SteadyClock = HOST_CLOCK, monotonic_ns: Callable[[], int] = time.monotonic_ns,
        boot_ns: Callable[[], int] = since_boot_ns,
    ) -> None:  # fmt: skip
        self._clock, self._monotonic_ns, self._boot_ns = clock, monotonic_ns, boot_ns
        self._wall_stamps = WallStamps(clock)

    def host_ns(self, stamp_ns: int) -> int | None:
        """Of a stamp near now, by whichever of the two clocks; None for one of neither."""
        ahead_ns, _ = _ahead_ns(self._monotonic_ns, self._boot_ns)  # anew: it does not count a machine's sleep
        now_ns = self._boot_ns()
        if abs(now_ns + ahead_ns - stamp_ns) < _NEAR_NS:
            return self._clock.of_boot(stamp_ns - ahead_ns)
        if any(abs(now_ns + wall.ahead_ns - stamp_ns) < _NEAR_NS for wall in self._clock.walls):
            return self._wall_stamps.host_ns([stamp_ns])[0]
        return None
