import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Rejections
from devices.lidars.succession import Succession

MS, S = 1_000_000, 1_000_000_000
START = 1_700_000_000 * S


def passed_on(times: list[int]) -> tuple[list[tuple[bool, int]], dict[str, int]]:
    rejections = Rejections()
    succession: Succession[int] = Succession(rejections)
    passed = [each for t_ns in times for each in succession.admit(START + t_ns, t_ns)]
    succession.settle()
    return passed, rejections.counts


def test_times_that_run_forwards_are_passed_on() -> None:
    assert passed_on([0, MS, 2 * MS, 900 * MS]) == ([(False, 0), (False, MS), (False, 2 * MS), (False, 900 * MS)], {})


@pytest.mark.parametrize(
    ("odd_ns", "reason"),
    [(MS, "duplicate packet"), (0, "late packet"), (30 * S, "a time out of step"), (-30 * S, "a time out of step")],
)
def test_one_odd_time_costs_one_packet(odd_ns: int, reason: str) -> None:
    passed, counts = passed_on([0, MS, odd_ns, 2 * MS, 3 * MS])
    assert passed == [(False, 0), (False, MS), (False, 2 * MS), (False, 3 * MS)]
    assert counts == {reason: 1}


@pytest.mark.parametrize("leap_ns", [-30 * S, -200 * MS, -5 * MS, 30 * S])
def test_a_clock_that_is_set_costs_no_packet_however_little_it_was_set(leap_ns: int) -> None:
    times = [0, 10 * MS, 10 * MS + leap_ns, 11 * MS + leap_ns, 12 * MS + leap_ns]
    passed, counts = passed_on(times)
    assert [t_ns for _, t_ns in passed] == times
    assert [leapt for leapt, _ in passed] == [False, False, True, False, False]
    assert counts == {}


@given(st.lists(st.integers(-3 * S, 3 * S), max_size=20))
def test_every_packet_is_passed_on_or_counted(times: list[int]) -> None:
    passed, counts = passed_on(times)
    assert len(passed) + sum(counts.values()) == len(times)
