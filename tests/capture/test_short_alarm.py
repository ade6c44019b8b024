"""What the crew's page makes of the recorder's alarms."""

from __future__ import annotations

from capture.dashboard.short_alarm import in_short
from capture.recorder_state import StreamState

WHY = "camera/depth: /dev/video{} is gone; opening it anew fails: [Errno 19] No such device, {} times; plug it in again"


def streams(failure: str) -> list[StreamState]:
    """A camera of two streams that fell out together, and a lidar that is well."""
    names = ("camera/color", "camera/depth")
    return [*(StreamState(name, "jpeg", failure=failure) for name in names), StreamState("lidar/points", "xyzi.f32")]


def test_a_sensor_that_is_gone_with_all_its_streams_is_told_once_by_its_own_name() -> None:
    (alarm,) = in_short([WHY.format(2, 1)], streams(WHY.format(2, 1)))
    assert (alarm.what, alarm.remedy, alarm.text) == ("camera is gone", "plug it in again", WHY.format(2, 1))


def test_a_sensor_stays_gone_by_one_alarm_whatever_the_next_try_says() -> None:
    (first,), (second,) = (in_short([why], streams(why)) for why in (WHY.format(2, 1), WHY.format("/by-id", 9)))
    assert first.key == second.key


def test_other_alarms_keep_what_was_said_and_are_one_whatever_their_figures() -> None:
    first, second = in_short(
        ["the disk is full in 7 min at this rate; free some space", "the writer failed"], streams("")
    )
    assert (first.what, first.remedy) == ("the disk is full in 7 min at this rate", "free some space")
    assert (second.what, second.remedy) == ("the writer failed", "")
    (later,) = in_short(["the disk is full in 6 min at this rate; free some space"], streams(""))
    assert (later.key == first.key, later.key == second.key) == (True, False)
