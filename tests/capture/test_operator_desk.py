"""What the crew says while recording: marks of any kind but an episode's, and episodes by their own commands."""

from __future__ import annotations

import json
import time

import pytest

from capture.errors import CaptureError
from capture.operator_desk import OperatorDesk
from devices.host_clock import HOST_CLOCK


def taken_down(desk: OperatorDesk) -> list[tuple[str, str]]:
    said = [json.loads(packet.data) for packet in desk.read(0)]
    return [(each["kind"], each["text"]) for each in said]


@pytest.mark.parametrize("kind", ["episode_start", "episode_stop", " episode_start\n"])
def test_an_episode_that_recording_json_would_not_know_cannot_be_marked(kind: str) -> None:
    desk = OperatorDesk()
    with pytest.raises(CaptureError, match=r"^[^\n]*fieldrig episode$"):
        desk.mark(kind, "sneaky")
    assert (taken_down(desk), desk.marks, desk.episodes) == ([], (), ())
    desk.episode_start("fold")
    desk.episode_stop("success")
    assert taken_down(desk) == [("episode_start", "fold"), ("episode_stop", "fold")]
    assert [each.outcome for each in desk.episodes] == ["success"]


def test_a_mark_is_of_the_instant_that_is_meant_unless_that_is_to_come_long_ago_or_before_what_was_marked_last() -> (
    None
):
    desk = OperatorDesk()
    time.sleep(0.2)
    now_ns, second_ns = HOST_CLOCK.now_ns(), 10**9
    boot_ns = now_ns - HOST_CLOCK.of_boot(0)
    assert desk.mark("mark", "pressed", boot_ns - second_ns // 10) == now_ns - second_ns // 10
    for wrong_ns in (60 * second_ns, -6 * second_ns, -boot_ns):
        before_ns = HOST_CLOCK.now_ns()
        assert before_ns <= desk.mark("mark", "now", boot_ns + wrong_ns) <= HOST_CLOCK.now_ns()
    last_ns = desk.mark("mark", "now")
    assert desk.mark("mark", "slow to start", boot_ns) == last_ns
    desk.begin()
    begun_ns = desk.mark("mark", "pressed before the recording began", boot_ns)
    assert begun_ns > last_ns
    desk.episode_start("fold", boot_ns)
    desk.episode_stop("success", boot_ns)
    assert [(each.start_ns, each.stop_ns) for each in desk.episodes] == [(begun_ns, begun_ns)]
    said = [(packet.stamps.host_ns, json.loads(packet.data)["t_ns"]) for packet in desk.read(0)]
    assert all(host_ns >= t_ns for host_ns, t_ns in said)
    assert said[0][0] - said[0][1] >= second_ns // 10, "its arrival is not that of the press"


def test_a_kind_and_a_task_are_one_line_and_a_note_may_have_several() -> None:
    desk = OperatorDesk()
    with pytest.raises(CaptureError, match=r"^a mark's kind: 'two\\nlines' has several lines; say it in one$"):
        desk.mark("two\nlines", "")
    with pytest.raises(CaptureError, match=r"^an episode's task: 'two\\nlines' has several lines; say it in one$"):
        desk.episode_start("two\nlines")
    desk.mark("note", "two\nlines")
    assert taken_down(desk) == [("note", "two\nlines")]
    assert desk.episodes == ()
