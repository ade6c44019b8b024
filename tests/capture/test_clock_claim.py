"""What sensors claim of their clocks, held against what their packets show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capture.clock.claim import judge_claim
from capture.clock.filter import ClockFit
from devices.device import ClockSource

NOW_NS = 1_790_000_000_000_000_000
S = 1_000_000_000
MS = 1_000_000


def fit(offset_ns: int, skew_ppm: float = 0.2, skew_sigma_ppm: float | None = 0.1, stretch: int = 0) -> ClockFit:
    """Of the last minute."""
    middle_ns = NOW_NS - 32 * S - offset_ns
    return ClockFit(middle_ns, offset_ns, skew_ppm, 1e4, 10_000, NOW_NS - 64 * S, stretch, skew_sigma_ppm)


@pytest.mark.parametrize("claim", [ClockSource.PTP, ClockSource.PPS, ClockSource.GNSS])
@pytest.mark.parametrize(("ahead_s", "scale"), [(0, "UTC"), (37, "TAI"), (18, "GPS time")])
def test_a_clock_near_this_machine_s_at_its_rate_is_alive_on_its_scale(
    claim: ClockSource, ahead_s: int, scale: str
) -> None:
    found = judge_claim("lidar/points", claim, [fit(3 * MS - ahead_s * S)], NOW_NS)
    assert found.liveness == "alive"
    assert f"{scale}, 3.0 ms before its arrival here, rate +0.20 ± 1.57 ppm" in found.words


def test_a_clock_that_counts_since_power_up_is_told_with_what_to_do() -> None:
    found = judge_claim("lidar/points", ClockSource.PTP, [fit(NOW_NS - 53 * S)], NOW_NS)
    assert found.liveness == "dead"
    assert found.words == (
        "lidar/points claims PTP, but its clock is 1970-01-01 + 53 s: it counts since power-up; start a PTP master on its network "
        "(ptp4l with phc2sys), or set the sensor to its own oscillator"
    )


@pytest.mark.parametrize(
    ("offset_ns", "words"),
    [
        (90 * S, "90.0 s behind this"),
        (-11 * 3600 * S, "11.0 h ahead of this"),
        (400 * 86_400 * S, "400 days behind this"),
    ],
)
def test_a_clock_far_from_every_scale_is_dead_and_its_distance_said(offset_ns: int, words: str) -> None:
    found = judge_claim("lidar/points", ClockSource.GNSS, [fit(offset_ns)], NOW_NS)
    assert found.liveness == "dead"
    assert words in found.words


def test_a_clock_that_drifts_like_a_free_crystal_is_not_steered() -> None:
    drifting = judge_claim("lidar/points", ClockSource.PTP, [fit(2 * MS, skew_ppm=-32.0)], NOW_NS)
    assert drifting.liveness == "dead"
    assert "-32.0 ± 1.6 ppm" in drifting.words
    assert judge_claim("lidar/points", ClockSource.PTP, [fit(2 * MS, 32.0, 12.0)], NOW_NS).liveness == "unknown"
    assert judge_claim("lidar/points", ClockSource.PTP, [fit(2 * MS, 4.9)], NOW_NS).liveness == "alive"


def test_a_machine_that_grows_busy_within_seconds_makes_no_drift() -> None:
    """A tenth of a millisecond in three seconds is 33 ppm, however well the line fits."""
    young = replace(fit(2 * MS, skew_ppm=33.0), reference_device_ns=NOW_NS - 2 * MS - 3 * S // 2)
    assert judge_claim("lidar/points", ClockSource.PTP, [young], NOW_NS).liveness == "unknown"


@pytest.mark.parametrize("followed", [ClockSource.PTP, ClockSource.PPS, ClockSource.RTCP])
def test_a_sensor_that_ceases_to_follow_what_it_followed_is_dead_whatever_its_clock_shows(
    followed: ClockSource,
) -> None:
    found = judge_claim("lidar/points", ClockSource.FREE, [fit(3 * MS)], NOW_NS, followed)
    assert found.liveness == "dead"
    assert found.words.startswith("lidar/points followed ")
    assert judge_claim("lidar/points", followed, [fit(3 * MS)], NOW_NS, followed).liveness == "alive"
    assert judge_claim("lidar/points", ClockSource.FREE, [fit(3 * MS)], NOW_NS).liveness == "unknown"


def test_a_receiver_under_a_bridge_is_no_dead_clock() -> None:
    assert judge_claim("gnss/fix", ClockSource.FREE, [fit(3 * MS)], NOW_NS, ClockSource.GNSS).liveness == "unknown"


def test_a_clock_that_was_set_meanwhile_is_not_believed() -> None:
    found = judge_claim("lidar/points", ClockSource.PPS, [fit(90 * S), fit(2 * MS, stretch=1)], NOW_NS)
    assert found.liveness == "dead"
    assert "was set 1 times" in found.words


def test_tai_is_nothing_that_this_machine_or_a_camera_keeps() -> None:
    for claim in (ClockSource.HOST, ClockSource.RTCP):
        assert judge_claim("camera/image", claim, [fit(-37 * S)], NOW_NS).liveness == "dead"
        assert judge_claim("camera/image", claim, [fit(40 * MS)], NOW_NS).liveness == "alive"
    assert judge_claim("camera/image", ClockSource.RTCP, [fit(900 * MS)], NOW_NS).liveness == "alive"
    assert judge_claim("camera/image", ClockSource.HOST, [fit(900 * MS)], NOW_NS).liveness == "dead"


@pytest.mark.parametrize("claim", list(ClockSource))
def test_whatever_is_claimed_the_verdict_is_one_line_that_names_the_stream(claim: ClockSource) -> None:
    for fits in ([], [fit(0, skew_sigma_ppm=None)], [fit(2**61)], [fit(-(2**61))]):
        found = judge_claim("lidar/points", claim, fits, NOW_NS)
        assert found.words.startswith("lidar/points")
        assert "\n" not in found.words
        assert found.liveness == "unknown" or fits
