"""One clock, and what belongs to one instant: figures that can be worked out by hand."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from calibration.left_out import LeftOut
from calibration.sync import on_one_clock, synced_frames
from capture.clock.filter import ClockFit
from devices.samples import Image, Sample
from tests.calibration.builders import black_image, empty_sweep, known_calibration, made_up

MS = 1_000_000


def _two_sensors(count: int = 10, camera_late_ns: int = 13 * MS) -> Iterator[tuple[str, int, Sample]]:
    """Sweeps of 100 ms from 0; pictures at 50 ms + camera_late; everything arrives 20 ms after its newest instant."""
    events = []
    for number in range(count):
        start = number * 100 * MS
        events.append((start + 120 * MS, "lidar/what", empty_sweep(start)))
        events.append(
            (
                start + 50 * MS + camera_late_ns + 20 * MS,
                "camera_left/what",
                black_image(start + 50 * MS + camera_late_ns),
            )
        )
    for host_ns, stream, sample in sorted(events, key=lambda event: event[0]):
        yield stream, host_ns, sample


def test_a_sensors_clock_and_least_latency_are_taken_off_its_stamps() -> None:
    clock = ClockFit(reference_device_ns=0, host_minus_device_ns=43 * MS, skew_ppm=10.0, sigma_ns=1000, samples=100)
    recording = made_up(
        lambda: iter([("camera_left/what", 1_044 * MS, black_image(1_000_000_000))]), ["camera_left"], 21 * MS
    )
    recording.clocks = {"camera_left/what": [clock]}
    assert [each.sample.t_ns for each in on_one_clock(recording, None)] == [1_000_000_000 + 43 * MS + 10_000 - 21 * MS]
    calibration = known_calibration(latencies_ns={"camera_left": 20 * MS})
    assert [each.sample.t_ns for each in on_one_clock(recording, calibration)] == [
        1_000_000_000 + 43 * MS + 10_000 - 20 * MS
    ]


def test_every_sweep_gets_the_picture_nearest_to_its_middle_with_the_exact_residual() -> None:
    frames = list(synced_frames(made_up(_two_sensors, ["lidar", "camera_left"]), None))
    assert [frame.t_ns for frame in frames] == [50 * MS + number * 100 * MS for number in range(10)]
    assert [frame.residual_ns["camera_left"] for frame in frames] == [13 * MS] * 10
    for frame in frames:
        assert frame.images["camera_left"].sample.t_ns - frame.t_ns == 13 * MS


def test_a_picture_after_the_middle_is_preferred_when_it_is_nearer() -> None:
    """Pictures 70 ms late: the one of the sweep before is 30 ms early and so the nearer."""
    frames = list(synced_frames(made_up(lambda: _two_sensors(camera_late_ns=70 * MS), ["lidar", "camera_left"]), None))
    assert [frame.residual_ns.get("camera_left") for frame in frames] == [None] + [-30 * MS] * 9


def test_pictures_beyond_the_tolerance_are_left_out() -> None:
    recording = made_up(_two_sensors, ["lidar", "camera_left"])
    assert all(not frame.images for frame in synced_frames(recording, None, tolerance_ns=12 * MS))
    assert all(frame.images for frame in synced_frames(recording, None, tolerance_ns=13 * MS))


@pytest.mark.parametrize(("every_ms", "expected"), [(500, 6), (200, 15), (250, 10), (100, 30)])
def test_keyframes_lie_on_a_grid_that_does_not_drift(every_ms: int, expected: int) -> None:
    recording = made_up(lambda: _two_sensors(30), ["lidar", "camera_left"])
    times = [frame.t_ns for frame in synced_frames(recording, None, every_ns=every_ms * MS)]
    assert len(times) == expected or every_ms == 250
    ticks = 50 * MS + np.arange(len(times)) * every_ms * MS
    assert abs(np.array(times) - ticks).max() <= 50 * MS


def test_a_camera_that_falls_silent_holds_nothing_up() -> None:
    def silent_from_the_third() -> Iterator[tuple[str, int, Sample]]:
        return (event for event in _two_sensors(40) if not isinstance(event[2], Image) or event[2].t_ns < 250 * MS)

    frames = list(synced_frames(made_up(silent_from_the_third, ["lidar", "camera_left"]), None))
    assert len(frames) == 40
    assert [bool(frame.images) for frame in frames] == [True] * 2 + [False] * 38


def test_without_a_lidar_the_first_cameras_pictures_set_the_instants() -> None:
    recording = made_up(lambda: (event for event in _two_sensors() if event[0] == "camera_left/what"), ["camera_left"])
    frames = list(synced_frames(recording, None))
    assert [frame.t_ns for frame in frames] == [63 * MS + number * 100 * MS for number in range(10)]
    assert all(frame.sweep is None and frame.residual_ns == {"camera_left": 0} for frame in frames)


def test_a_long_recording_is_read_in_the_memory_of_a_second() -> None:
    """600 s of pictures of 300 kB are 1.8 GB; no more than some thirty are held at once."""

    def long() -> Iterator[tuple[str, int, Sample]]:
        for stream, host_ns, sample in _two_sensors(6000):
            if isinstance(sample, Image):
                yield stream, host_ns, Image(sample.sensor, sample.t_ns, np.zeros((250, 400, 3), np.uint8))
            else:
                yield stream, host_ns, sample

    list(_two_sensors(6000))  # what the test itself needs
    tracemalloc.start()
    taken = sum(1 for _ in synced_frames(made_up(long, ["lidar", "camera_left"]), None, every_ns=1000 * MS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken == 600
    assert peak < 60e6


def _pictures(arrivals: list[tuple[int, int]]) -> Iterator[tuple[str, int, Sample]]:
    """(arrival, the sensor's own time) of one camera."""
    for host_ns, t_ns in arrivals:
        yield "camera_left/what", host_ns, black_image(t_ns)


def _stretches() -> list[ClockFit]:
    """The camera's clock stood at arrival less 5 s, and from arrival 10 s on at arrival plus an hour."""
    return [
        ClockFit(0, 5_000 * MS, 0.0, 1000, 100, from_host_ns=0, stretch=0),
        ClockFit(0, -3_600_000 * MS, 0.0, 1000, 100, from_host_ns=10_000 * MS, stretch=1),
    ]


def test_every_sample_is_translated_by_the_stretch_in_which_it_arrived() -> None:
    before = [(at * MS, (at - 5_000) * MS) for at in range(6_000, 10_000, 100)]
    behind = [(at * MS, (at + 3_600_000) * MS) for at in range(10_000, 14_000, 100)]
    recording = made_up(lambda: _pictures([*before, *behind]), ["camera_left"])
    recording.clocks = {"camera_left/what": _stretches()}
    translated = [each.sample.t_ns for each in on_one_clock(recording, None)]
    assert translated == [at * MS for at in range(6_000, 14_000, 100)]


def test_a_packet_on_the_wrong_side_of_a_step_is_translated_by_the_neighbouring_stretch() -> None:
    """By which packet a clock was set is known to one or two of them only."""
    recording = made_up(lambda: _pictures([(10_050 * MS, 5_050 * MS), (9_950 * MS, 3_609_950 * MS)]), ["camera_left"])
    recording.clocks = {"camera_left/what": _stretches()}
    assert [each.sample.t_ns for each in on_one_clock(recording, None)] == [10_050 * MS, 9_950 * MS]


def test_stamps_that_no_fit_explains_are_left_out_and_counted() -> None:
    arrivals = [(at * MS, (at - 5_000) * MS) for at in range(6_000, 8_000, 100)]
    for index, wrong_ms in ((3, 300), (7, 10**9), (11, -20_000), (15, 2**40)):
        arrivals[index] = (arrivals[index][0], arrivals[index][1] + wrong_ms * MS)
    recording = made_up(lambda: _pictures(arrivals), ["camera_left"])
    recording.clocks = {"camera_left/what": _stretches()[:1]}
    left_out = LeftOut()
    assert len(list(on_one_clock(recording, None, left_out=left_out))) == 16
    assert left_out.mistimed == {"camera_left/what": 4}


def test_one_picture_from_the_future_starves_no_frame_of_its_pictures() -> None:
    def events() -> Iterator[tuple[str, int, Sample]]:
        for stream, host_ns, sample in _two_sensors(40):
            yield stream, host_ns, sample
            if stream == "camera_left/what" and 1_000 * MS < host_ns < 1_100 * MS:
                yield stream, host_ns + 1, black_image(86_400_000 * MS)

    clocks = {name: [ClockFit(0, 0, 0.0, 1000, 100)] for name in ("lidar/what", "camera_left/what")}
    recording = made_up(events, ["lidar", "camera_left"], clocks=clocks)
    left_out = LeftOut()
    frames = list(synced_frames(recording, None, left_out=left_out))
    assert [frame.residual_ns for frame in frames] == [{"camera_left": 13 * MS}] * 40
    assert left_out.mistimed == {"camera_left/what": 1}


def test_a_sweep_may_begin_well_before_its_first_packet_came() -> None:
    recording = made_up(lambda: iter([("lidar/what", 9_000 * MS, empty_sweep(1_000 * MS))]), ["lidar"])
    recording.clocks = {"lidar/what": [ClockFit(0, 0, 0.0, 1000, 100)]}
    assert len(list(on_one_clock(recording, None))) == 1
