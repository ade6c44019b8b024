"""What is left out of a recording is counted once, and told with the reason and what to do."""

from collections.abc import Iterator

from calibration.left_out import LeftOut
from calibration.sync import on_one_clock
from capture.clock.filter import ClockFit
from devices.samples import Sample
from tests.calibration.builders import MadeUpRecording, black_image, made_up

MS = 1_000_000


def _with_broken_stamps() -> MadeUpRecording:
    """Twenty pictures, three of which bear stamps of another day."""

    def pictures() -> Iterator[tuple[str, int, Sample]]:
        for number in range(20):
            t_ns = number * 100 * MS
            wrong_ns = 86_400_000 * MS if number in (3, 4, 11) else 0
            yield "camera_left/what", t_ns + 20 * MS, black_image(t_ns + wrong_ns)

    return made_up(pictures, ["camera_left"], clocks={"camera_left/what": [ClockFit(0, 0, 0.0, 1000, 100)]})


def test_a_sample_that_is_read_twice_is_left_out_once() -> None:
    recording, left_out = _with_broken_stamps(), LeftOut()
    for start_ns, end_ns in ((None, None), (0, 1_000 * MS), (500 * MS, None)):
        list(on_one_clock(recording, None, None, start_ns, end_ns, left_out=left_out))
    assert left_out.mistimed == {"camera_left/what": 3}
    other = LeftOut()
    list(on_one_clock(recording, None, None, 1_000 * MS, left_out=other))
    assert other.mistimed == {"camera_left/what": 1}
    other.take(left_out)
    assert other.mistimed == {"camera_left/what": 3}


def test_a_line_says_how_many_of_which_stream_why_and_what_to_do() -> None:
    recording, left_out = _with_broken_stamps(), LeftOut()
    list(on_one_clock(recording, None, left_out=left_out))
    (line,) = left_out.lines(recording)
    assert "3 samples of camera_left/what" in line
    assert "no fit of the sensor's clock" in line
    assert "fieldrig verify made-up" in line


def test_what_has_no_place_is_told_with_when_it_was() -> None:
    recording, left_out = _with_broken_stamps(), LeftOut()
    for t_ns in (5_000 * MS, 5_500 * MS, 5_500 * MS):
        left_out.add_unplaced("frames", t_ns)
    left_out.add_unplaced("pictures of camera_left", 5_600 * MS)
    (line,) = left_out.lines(recording)
    assert "2 frames, 1 pictures of camera_left, 5.0 s to 5.6 s after the recording's start" in line


def test_where_nothing_was_left_out_nothing_is_told() -> None:
    assert LeftOut().lines(_with_broken_stamps()) == []
