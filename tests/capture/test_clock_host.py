"""Stamps of a recorder: the sensors' times on this machine's clock, whatever is set, stands still, sleeps or is slewed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from capture.clock.follower import ClockFollower
from capture.clock.stamper import Stamper
from capture.inlet import Inlet
from capture.packet_queue import Queued
from devices.device import ClockSource, Stream
from devices.samples import Packet, Stamps

NOW_NS = 1_790_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000


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


def stamper_of(stamps: Iterable[tuple[int, int]]) -> tuple[Stamper, list[int]]:
    """Stamps packets of these (device, host) stamps; the clock is brought up to date after each."""
    follower = ClockFollower(1)
    stamper, given = Stamper([0], follower), []
    for device_ns, host_ns in stamps:
        given.append(stamper.stamp_ns(stamped(device_ns, host_ns)))
        follower.catch_up()
    return stamper, given


def test_no_packet_is_stamped_later_than_it_came_even_right_after_its_clock_was_put_forward() -> None:
    late_ns = np.random.default_rng(3).exponential(MS, 2000).astype(int).tolist()
    arrivals = [
        (index * 10 * MS + (3 * S if index >= 1000 else 0), NOW_NS + index * 10 * MS + late)
        for index, late in enumerate(late_ns)
    ]
    _, given = stamper_of(arrivals)
    assert all(stamp_ns <= host_ns for stamp_ns, (_, host_ns) in zip(given, arrivals, strict=True))


def test_of_a_clock_that_stands_still_packets_bear_their_arrival_until_it_goes_on() -> None:
    late_ns = np.random.default_rng(4).exponential(MS, 1600).astype(int).tolist()
    shown = [*range(500), *[500] * 600, *range(1100, 1600)]
    arrivals = [
        (at * 10 * MS, NOW_NS + index * 10 * MS + late)
        for index, (at, late) in enumerate(zip(shown, late_ns, strict=True))
    ]
    stamper, given = stamper_of(arrivals)
    truth = [NOW_NS + index * 10 * MS for index in range(1600)]
    off_ms = [abs(stamp_ns - true_ns) / MS for stamp_ns, true_ns in zip(given, truth, strict=True)]
    assert max(off_ms[300:500]) < 1
    assert max(off_ms[605:1100]) < 20  # the transport's jitter, instead of seconds
    assert max(off_ms[1102:]) < 1
    assert stamper.clock(0).stopped == pytest.approx(500, abs=3)
    assert not stamper.clock(0).stands_still


WEEK_S, WRAP_S = 604_800.0, 2**32 / 1e6


@pytest.mark.parametrize(
    "jump_s",
    [-7200.0, 7200.0, -5.0, 5.0, -0.05, 0.05, -WRAP_S, -3600.0, -1024 * WEEK_S],
    ids=["hours-back", "hours-on", "5-s-back", "5-s-on", "50-ms-back", "50-ms-on", "32-bits-of-us", "an-hour", "weeks"],
)
def test_whatever_a_sensor_s_clock_is_set_to_stamps_are_right_again_within_a_second_and_never_far_off(
    jump_s: float,
) -> None:
    late_ns = np.random.default_rng(6).exponential(MS / 3, 3000).astype(int).tolist()
    truth = [NOW_NS + index * 10 * MS for index in range(3000)]
    jump_ns = [round(jump_s * S) if index >= 1500 else 0 for index in range(3000)]
    arrivals = [(true_ns + jump, true_ns + late) for true_ns, jump, late in zip(truth, jump_ns, late_ns, strict=True)]
    stamper, given = stamper_of(arrivals)
    off_ms = [abs(stamp_ns - true_ns) / MS for stamp_ns, true_ns in zip(given, truth, strict=True)]
    assert stamper.clock(0).restarts == 1
    assert max(off_ms[1000:1500]) < 0.1
    assert max(off_ms[1600:]) < 0.1
    assert max(off_ms[1500:1600]) < 10_000


def test_through_a_machine_s_sleep_its_sensors_clocks_go_on() -> None:
    """CLOCK_BOOTTIME runs through a sleep, as the sensors do."""
    late_ns = np.random.default_rng(7).exponential(MS / 3, 4000).astype(int).tolist()
    truth = [NOW_NS + index * 10 * MS + (3600 * S if index >= 2000 else 0) for index in range(4000)]
    stamper, given = stamper_of((true_ns - 7 * S, true_ns + late) for true_ns, late in zip(truth, late_ns, strict=True))
    assert stamper.clock(0).restarts == 0
    assert max(abs(stamp_ns - true_ns) for stamp_ns, true_ns in zip(given[1000:], truth[1000:], strict=True)) < MS // 2


def test_a_machine_s_clock_that_is_slewed_as_fast_as_ntp_does_moves_stamps_by_a_millisecond_at_the_most() -> None:
    late_ns = np.random.default_rng(8).exponential(MS / 3, 16_000).astype(int).tolist()
    slewed_ns = [min(max(index - 3000, 0), 4000) * 5000 for index in range(16_000)]  # 500 ppm for 40 s
    truth = [NOW_NS + index * 10 * MS + slewed for index, slewed in enumerate(slewed_ns)]
    _, given = stamper_of(
        (index * 10 * MS, true_ns + late) for index, (true_ns, late) in enumerate(zip(truth, late_ns, strict=True))
    )
    assert max(abs(stamp_ns - true_ns) for stamp_ns, true_ns in zip(given[1000:], truth[1000:], strict=True)) < MS
