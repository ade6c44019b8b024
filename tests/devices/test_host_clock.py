"""Host time while somebody sets this machine's wall clock: a machine whose clocks go as they are told."""

from __future__ import annotations

import itertools
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Stream
from devices.host_clock import HOST_CLOCK, BufferStamps, SteadyClock, WallStamps
from devices.udp.source import UdpSource

NOW_NS = 1_790_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000
STEPS_MS = [-50, 50, -1900, 1900, -40_000, 40_000, -3_600_000, 86_400_000]


class Machine:
    """Its boot time, and how far its wall clock is ahead of that."""

    def __init__(self) -> None:
        self.boot_ns, self.ahead_ns = 5 * S, NOW_NS
        self.clock = SteadyClock(self.wall_ns, self.since_boot_ns)

    def wall_ns(self) -> int:
        self.boot_ns += 50  # reading takes time
        return self.boot_ns + self.ahead_ns

    def since_boot_ns(self) -> int:
        self.boot_ns += 50
        return self.boot_ns

    @property
    def true_ns(self) -> int:
        return self.boot_ns + NOW_NS


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_host_time_runs_on_evenly_whatever_the_wall_clock_is_set_to_and_it_is_told_when_and_by_how_much(
    step_ms: int,
) -> None:
    machine = Machine()
    for tick in range(100):
        machine.boot_ns += 100 * MS
        if tick == 50:
            machine.ahead_ns += step_ms * MS
            set_ns = machine.true_ns
        machine.clock.look()
        assert abs(machine.clock.now_ns() - machine.true_ns) < 1000
    (told,) = machine.clock.sets
    assert abs(told.by_ns - step_ms * MS) < 1000
    assert abs(told.at_ns - set_ns) < MS


def test_a_wall_clock_that_is_slewed_was_not_set() -> None:
    machine = Machine()
    for _ in range(600):
        machine.boot_ns += 250 * MS
        machine.ahead_ns += 125_000  # 500 ppm, the most that NTP slews, where it slews the wall clock only
        machine.clock.look()
    assert machine.clock.sets == []


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_a_new_recording_takes_the_wall_clock_as_it_is_then_but_none_that_is_under_way(step_ms: int) -> None:
    machine = Machine()
    machine.clock.hold()
    machine.ahead_ns += step_ms * MS
    assert machine.clock.anchor_anew() == 0
    assert abs(machine.clock.now_ns() - machine.true_ns) < 1000
    machine.clock.let_go()
    assert abs(machine.clock.anchor_anew() - step_ms * MS) < 1000
    assert abs(machine.clock.now_ns() - machine.wall_ns()) < 1000
    assert machine.clock.sets == []


@given(
    step_ms=st.sampled_from(STEPS_MS),
    before_ms=st.lists(st.integers(0, 3), max_size=40),
    after_ms=st.lists(st.integers(0, 3), max_size=40),
    read_late_ms=st.integers(0, 9),
    batch=st.integers(1, 30),
)
def test_stamps_that_the_kernel_took_before_and_after_the_wall_clock_was_set_are_put_in_their_place(
    step_ms: int, before_ms: list[int], after_ms: list[int], read_late_ms: int, batch: int
) -> None:
    machine = Machine()
    stamps = WallStamps(machine.clock)
    stamps.host_ns([machine.wall_ns()])
    last_ns, found, truth, waiting = machine.true_ns, [], [], []
    for index, wait_ms in enumerate((*before_ms, *after_ms)):
        if index == len(before_ms):
            machine.ahead_ns += step_ms * MS
        machine.boot_ns += wait_ms * MS
        truth.append(machine.true_ns)
        waiting.append(machine.boot_ns + machine.ahead_ns)
        if len(waiting) == batch:
            machine.boot_ns += read_late_ms * MS
            found += stamps.host_ns(waiting)
            waiting = []
    found += stamps.host_ns(waiting)
    assert found == sorted(found)
    assert all(last_ns <= each <= machine.true_ns for each in found)
    assert max((abs(a - b) for a, b in zip(found, truth, strict=True)), default=0) < 150 * MS
    if abs(step_ms) >= 1900:
        assert max((abs(a - b) for a, b in zip(found, truth, strict=True)), default=0) < 1000


def test_what_came_as_the_kernel_began_to_stamp_and_was_stamped_when_read_came_before_what_followed() -> None:
    machine = Machine()
    stamps = WallStamps(machine.clock)
    machine.boot_ns += 10 * S
    arrivals_ns = [machine.wall_ns() + i * 5 * MS for i in range(9)]
    machine.boot_ns += 60 * MS
    read_ns = machine.wall_ns()
    ahead_ns = machine.ahead_ns - (machine.true_ns - machine.boot_ns)
    found = stamps.host_ns([read_ns, read_ns + 1000, *arrivals_ns[2:]])
    assert found[2:] == [each - ahead_ns for each in arrivals_ns[2:]]
    assert found[0] == found[1] == found[2]


def test_a_stamp_of_no_time_that_the_wall_clock_has_shown_is_now() -> None:
    machine = Machine()
    machine.clock.look()
    machine.ahead_ns += 10 * S
    machine.clock.look()
    for stamp_ns in (machine.wall_ns() + 3600 * S, machine.wall_ns() + MS):
        (found,) = WallStamps(machine.clock).host_ns([stamp_ns])
        assert abs(found - machine.true_ns) < 1000


def test_a_driver_s_buffers_are_stamped_by_either_clock_and_readings_that_were_interrupted_are_not_believed() -> None:
    machine, delays = Machine(), itertools.cycle([900_000, 40, 2_000_000, 500, 70])
    slept_ns = 3600 * S

    def monotonic_ns() -> int:
        machine.boot_ns += next(delays)
        return machine.boot_ns - slept_ns

    stamps = BufferStamps(machine.clock, monotonic_ns, machine.since_boot_ns)
    taken_ns, true_ns = machine.boot_ns - slept_ns - 10 * MS, machine.true_ns - 10 * MS
    assert abs((stamps.host_ns(taken_ns) or 0) - true_ns) < 1000
    wall_ns, true_ns = machine.wall_ns() - 10 * MS, machine.true_ns - 10 * MS
    assert abs((stamps.host_ns(wall_ns) or 0) - true_ns) < 1000
    machine.ahead_ns -= 3 * S
    taken_ns, true_ns = machine.boot_ns - slept_ns, machine.true_ns
    assert abs((stamps.host_ns(taken_ns) or 0) - true_ns) < 1000
    slept_ns += 10 * S
    machine.boot_ns += 10 * S
    taken_ns, true_ns = machine.boot_ns - slept_ns, machine.true_ns
    assert abs((stamps.host_ns(taken_ns) or 0) - true_ns) < 1000
    assert stamps.host_ns(12 * S) is None


def test_this_machine_s_clocks_are_read_well_enough_for_a_kernel_s_stamp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        source = UdpSource(Stream("lidar/points", "anything"), 0, lambda _: None, "127.0.0.1")
        time.sleep(0.2)
        for _ in range(20):
            before_ns = HOST_CLOCK.now_ns()
            out.sendto(b"x", ("127.0.0.1", source.port))
            after_ns = HOST_CLOCK.now_ns()
            (packet,) = source.read(1.0)
            assert before_ns - 100_000 <= packet.stamps.host_ns <= after_ns + 100_000
        source.close()
