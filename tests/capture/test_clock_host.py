"""This machine's own clock, set while it is looked at; and what that does to the stamps of a recorder."""

from __future__ import annotations

import numpy as np
import pytest

from capture.clock.follower import ClockFollower
from capture.clock.host import HostClock
from capture.clock.stamper import Stamper
from capture.inlet import Inlet
from capture.packet_queue import Queued
from devices.device import ClockSource, Stream
from devices.samples import Packet, Stamps

NOW_NS = 1_790_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000


class Machine:
    """A machine whose two clocks go as they are told."""

    def __init__(self) -> None:
        self.boot_ns, self.ahead_ns = 5 * S, NOW_NS

    def now_ns(self) -> int:
        self.boot_ns += 200  # reading takes time
        return self.boot_ns + self.ahead_ns

    def since_boot_ns(self) -> int:
        return self.boot_ns


@pytest.mark.parametrize("step_ms", [5, -5, 3_600_000, -3_600_000])
def test_a_machine_s_clock_that_is_set_is_noticed_at_the_next_look_once(step_ms: int) -> None:
    machine = Machine()
    clock = HostClock(machine.now_ns, machine.since_boot_ns)
    seen = []
    for tick in range(60):
        machine.boot_ns += 100 * MS
        if tick == 30:
            machine.ahead_ns += step_ms * MS
        seen.append(clock.was_set(machine.now_ns()))
    assert sum(seen) == 1
    assert 30 <= seen.index(True) <= 36


def test_a_machine_s_clock_that_is_slewed_or_only_read_late_was_not_set() -> None:
    machine = Machine()
    clock = HostClock(machine.now_ns, machine.since_boot_ns)
    for _ in range(100):
        machine.boot_ns += 100 * MS
        machine.ahead_ns += 50_000  # 500 ppm, the most that NTP slews, of a clock that is not slewed with it
        assert not clock.was_set(machine.now_ns() - 80 * MS)


def test_the_real_clocks_of_this_machine_were_not_set() -> None:
    clock = HostClock()
    assert not any(clock.was_set(tick * S) for tick in range(50))


class Silent:
    """A source that only has a name."""

    stream = Stream("lidar/points", "ouster.lidar")
    clock_source = ClockSource.FREE
    lost = 0


def stamped(device_ns: int | None, host_ns: int) -> Queued:
    return Queued(Inlet(0, Silent()), 0, Packet("lidar/points", Stamps(host_ns, device_ns), b"x"))  # type: ignore[arg-type]


def test_stamps_are_the_sensor_s_times_on_this_machine_s_clock_and_a_broken_one_is_its_arrival() -> None:
    random, follower = np.random.default_rng(2), ClockFollower(1)
    stamper = Stamper([3 * MS], follower)
    for index in range(2000):
        t_ns = index * 10 * MS
        stamp_ns = stamper.stamp_ns(stamped(t_ns, NOW_NS + t_ns + int(random.exponential(MS))))
        follower.catch_up()
        if index > 500:
            assert abs(stamp_ns - (NOW_NS + t_ns - 3 * MS)) < 0.1 * MS
    late_ns = NOW_NS + 20 * S
    for broken in (0, 2**62, -(2**62), 86_400 * S):
        assert stamper.stamp_ns(stamped(broken, late_ns)) == late_ns - 3 * MS
    assert stamper.stamp_ns(stamped(None, late_ns)) == late_ns - 3 * MS
