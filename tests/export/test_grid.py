"""Rows at a constant rate out of streams that keep their own time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.recording import Recorded, Span
from devices.samples import NamedVector
from export.grid import PATIENCE_NS, GridRow, on_grid, time_on_grid

SECOND_NS = 1_000_000_000


def sample(stream: str, t_ns: int) -> Recorded:
    vector = NamedVector(stream.partition("/")[0], t_ns, "state", ("x",), np.array([t_ns / SECOND_NS]))
    return Recorded(vector, Span("r", stream, 0, 0, t_ns, t_ns, ""))


def stream(name: str, times_ns: list[int]) -> list[Recorded]:
    return [sample(name, t_ns) for t_ns in times_ns]


def rows(samples: list[Recorded], rate_hz: int = 10, start_ns: int = 0, stop_ns: int = 10**12) -> list[GridRow]:
    ordered = sorted(samples, key=lambda recorded: recorded.sample.t_ns)
    names = sorted({recorded.span.stream for recorded in ordered})
    return list(on_grid(ordered, "cam/image", names, rate_hz, start_ns, stop_ns))


@given(
    rate_hz=st.integers(1, 120),
    offset_ns=st.integers(0, 10**7),
    jitter=st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=60),
)
def test_with_every_picture_in_its_place_each_row_takes_its_own(
    rate_hz: int, offset_ns: int, jitter: list[float]
) -> None:
    period = SECOND_NS / rate_hz
    jitter[0] = jitter[-1] = 0.0  # the first picture places the grid, the last one ends it
    times = [round(offset_ns + (i + shift) * period) for i, shift in enumerate(jitter)]
    found = rows(stream("cam/image", times), rate_hz)
    assert [row.samples["cam/image"].sample.t_ns for row in found] == times
    assert [row.t_ns for row in found] == [time_on_grid(times[0], i, rate_hz) for i in range(len(times))]


@given(st.integers(1, 240), st.integers(0, 10**6))
def test_the_grid_is_within_half_a_nanosecond_of_the_exact_time_however_long_it_is(rate_hz: int, index: int) -> None:
    assert abs(time_on_grid(0, index, rate_hz) * rate_hz - index * SECOND_NS) * 2 <= rate_hz


def test_each_row_takes_the_nearest_sample_of_every_stream() -> None:
    times = list(range(0, SECOND_NS, 20_000_000))
    found = rows(
        stream("cam/image", [0, 100_000_000, 200_000_000]) + stream("robot/state", [t + 9_000_000 for t in times])
    )
    assert [row.samples["robot/state"].sample.t_ns - row.t_ns for row in found] == [9_000_000] * 3


def test_a_lost_picture_is_replaced_by_its_nearest_neighbour_and_the_rows_after_it_stay_in_place() -> None:
    times = [0, 100_000_000, 300_000_000, 400_000_000]
    found = rows(stream("cam/image", times))
    assert [row.samples["cam/image"].sample.t_ns for row in found] == [
        0,
        100_000_000,
        300_000_000,
        300_000_000,
        400_000_000,
    ]


def test_rows_begin_and_end_with_the_reference_stream_inside_the_episode() -> None:
    times = list(range(0, 3 * SECOND_NS, 100_000_000))
    found = rows(stream("cam/image", times), start_ns=SECOND_NS + 1, stop_ns=2 * SECOND_NS)
    assert (found[0].t_ns, found[-1].t_ns) == (1_100_000_000, 1_900_000_000)


def test_a_sample_that_was_overtaken_on_its_way_does_not_turn_the_rows_times_back() -> None:
    state = stream("robot/state", [0, 20_000_000, 110_000_000, 90_000_000, 190_000_000, 230_000_000])
    samples = [*stream("cam/image", [0, 100_000_000]), *state, *stream("cam/image", [200_000_000])]
    found = list(on_grid(samples, "cam/image", ["cam/image", "robot/state"], 10, 0, SECOND_NS))
    assert [row.samples["robot/state"].sample.t_ns for row in found] == [0, 110_000_000, 190_000_000]


def test_a_stream_that_never_spoke_is_absent_and_the_others_go_on() -> None:
    samples = stream("cam/image", [0, 100_000_000])
    found = list(on_grid(samples, "cam/image", ["cam/image", "robot/state"], 10, 0, SECOND_NS))
    assert [set(row.samples) for row in found] == [{"cam/image"}] * 2


def test_a_fast_stream_is_held_until_the_pictures_that_come_late_have_come() -> None:
    late_ns = 400_000_000
    samples = [
        *stream("cam/image", list(range(0, SECOND_NS, 100_000_000))),
        *stream("robot/state", list(range(0, 2 * SECOND_NS, 1_000_000))),
    ]
    samples.sort(key=lambda each: each.sample.t_ns + (late_ns if each.span.stream == "cam/image" else 0))
    found = list(on_grid(samples, "cam/image", ["cam/image", "robot/state"], 10, 0, SECOND_NS))
    assert [row.samples["robot/state"].sample.t_ns for row in found] == [row.t_ns for row in found]


@pytest.mark.parametrize("silent", ["robot/state", "cam/image"])
def test_a_stream_that_falls_silent_holds_up_rows_for_no_longer_than_the_patience(silent: str) -> None:
    taken = 0

    def feed() -> Iterator[Recorded]:
        nonlocal taken
        for index in range(2000):
            taken = index
            for name in ("cam/image", "robot/state"):
                if name != silent or index < 20:
                    yield sample(name, index * 100_000_000)

    found = on_grid(feed(), "cam/image", ["cam/image", "robot/state"], 10, 0, 10**15)
    lag = [taken - row.t_ns // 100_000_000 for row in found]
    if silent == "cam/image":
        assert len(lag) == 20  # the grid ends with its reference
    else:
        assert len(lag) == 2000
        assert max(lag) <= PATIENCE_NS // 100_000_000 + 1
