"""What a crew marked as to be discarded is in no dataset."""

from __future__ import annotations

from pathlib import Path

from export.drive import Drive
from tests.export.builders import TASKS, Shape, record_drive


def test_a_discarded_episode_is_no_part_of_a_drive_and_a_failed_one_is(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2.0, outcomes=("discard", "failure")))
    episodes = Drive(made.recording, made.calibration).episodes
    assert [(episode.task, episode.outcome) for episode in episodes] == [(TASKS[1], "failure")]


def test_a_drive_of_which_everything_is_discarded_has_no_episode(tmp_path: Path) -> None:
    made = record_drive(tmp_path, Shape(seconds=2.0, outcomes=("discard", "discard")))
    assert Drive(made.recording, made.calibration).episodes == []
