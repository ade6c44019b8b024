"""Episodes from marks."""

from __future__ import annotations

import pytest

from capture.episodes import UNLABELLED, Episode, marked_episodes
from devices.samples import Mark


def mark(t_ns: int, kind: str, text: str = "") -> Mark:
    return Mark("operator", t_ns, kind, text)


def test_a_start_and_a_stop_make_an_episode_of_the_task_that_the_start_names() -> None:
    found, odd = marked_episodes("r", [mark(5, "episode_start", "fetch"), mark(9, "episode_stop")], 0, 20, "patrol")
    assert (found, odd) == ([Episode("r", "fetch", 5, 9)], [])


def test_a_drive_without_marks_is_one_episode_of_the_recordings_task() -> None:
    assert marked_episodes("r", [], 0, 20, "patrol")[0] == [Episode("r", "patrol", 0, 20)]
    assert marked_episodes("r", [mark(3, "note", "a dog")], 0, 20, "")[0] == [Episode("r", UNLABELLED, 0, 20)]


def test_a_start_without_a_stop_ends_with_the_next_start_or_with_the_drive_and_is_reported() -> None:
    marks = [mark(1, "episode_start", "a"), mark(4, "episode_start", "b")]
    found, odd = marked_episodes("r", marks, 0, 20, "")
    assert found == [Episode("r", "a", 1, 4), Episode("r", "b", 4, 20)]
    assert len(odd) == 2
    assert "'a' has no stop" in odd[0]


def test_a_stop_without_a_start_makes_no_episode_and_is_reported() -> None:
    found, odd = marked_episodes("r", [mark(2, "episode_stop")], 0, 20, "patrol")
    assert found == []
    assert "has no start" in odd[0]


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ({}, "success"),
        ({"outcome": "failure"}, "failure"),
        ({"outcome": "discard"}, "discard"),
        ({"outcome": "so-so"}, "success"),
    ],
)
def test_an_episode_ends_as_the_mark_of_its_end_says(data: dict[str, str], outcome: str) -> None:
    stop = Mark("operator", 9, "episode_stop", "", data)
    found, _ = marked_episodes("r", [mark(5, "episode_start", "fetch"), stop], 0, 20, "")
    assert found == [Episode("r", "fetch", 5, 9, outcome)]  # type: ignore[arg-type]


def test_the_outcome_of_a_start_is_not_the_outcome_of_the_episode_that_it_ends() -> None:
    again = Mark("operator", 7, "episode_start", "b", {"outcome": "discard"})
    found, _ = marked_episodes("r", [mark(5, "episode_start", "a"), again, mark(9, "episode_stop")], 0, 20, "")
    assert [(each.task, each.outcome) for each in found] == [("a", "success"), ("b", "success")]
