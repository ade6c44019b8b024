"""What the crew says while recording: marks of any kind but an episode's, and episodes by their own commands."""

from __future__ import annotations

import json

import pytest

from capture.errors import CaptureError
from capture.operator_desk import OperatorDesk


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


def test_a_kind_and_a_task_are_one_line_and_a_note_may_have_several() -> None:
    desk = OperatorDesk()
    with pytest.raises(CaptureError, match=r"^a mark's kind: 'two\\nlines' has several lines; say it in one$"):
        desk.mark("two\nlines", "")
    with pytest.raises(CaptureError, match=r"^an episode's task: 'two\\nlines' has several lines; say it in one$"):
        desk.episode_start("two\nlines")
    desk.mark("note", "two\nlines")
    assert taken_down(desk) == [("note", "two\nlines")]
    assert desk.episodes == ()
