"""Keeping the newest files of a recording: one old file that is gone or not well stops nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from capture import retention
from capture.recording_info import SegmentInfo, load_info
from capture.retention import Retention
from capture.workspace import Workspace
from tests.capture.recordings import write_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_recording(Workspace(tmp_path), segments=5)


def segments_of(folder: Path) -> tuple[SegmentInfo, ...]:
    return load_info(folder).segments


def newest_bytes(folder: Path, count: int) -> int:
    return sum(segment.size_bytes for segment in segments_of(folder)[-count:])


def deleted(segments: Sequence[SegmentInfo]) -> list[bool]:
    return [segment.deleted for segment in segments]


def test_the_oldest_files_go_until_the_rest_is_within_the_limit(folder: Path) -> None:
    keeping = Retention(folder, newest_bytes(folder, 2))
    segments = keeping.without_oldest(segments_of(folder))
    assert deleted(segments) == [True, True, True, False, False]
    assert list(keeping.doubts) == []


def test_the_newest_file_stays_whatever_the_limit(folder: Path) -> None:
    assert deleted(Retention(folder, 1).without_oldest(segments_of(folder))) == [True, True, True, True, False]


def test_a_file_that_somebody_removed_is_gone_and_ends_nothing(folder: Path) -> None:
    (folder / segments_of(folder)[0].name).unlink()
    keeping = Retention(folder, newest_bytes(folder, 2))
    segments = keeping.without_oldest(segments_of(folder))
    assert deleted(segments) == [True, True, True, False, False]
    assert list(keeping.doubts) == []


def test_a_file_that_somebody_removed_takes_no_room(folder: Path) -> None:
    (folder / segments_of(folder)[3].name).unlink()
    segments = Retention(folder, newest_bytes(folder, 3)).without_oldest(segments_of(folder))
    assert deleted(segments) == [True, False, False, False, False], "three files of five lie on the disk then"


def test_an_unreadable_file_is_passed_over_and_told(folder: Path) -> None:
    path = folder / segments_of(folder)[0].name
    path.unlink()
    path.mkdir()
    keeping = Retention(folder, newest_bytes(folder, 2))
    assert deleted(keeping.without_oldest(segments_of(folder))) == [False, True, True, False, False]
    (doubt,) = keeping.doubts
    assert f"cannot read {path}" in doubt


def test_a_damaged_file_is_told_and_read_once_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / segments_of(folder)[0].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    read, check = list[str](), retention.damage_in

    def noted(path: Path, sha256: str) -> list[str]:
        read.append(path.name)
        return check(path, sha256)

    monkeypatch.setattr(retention, "damage_in", noted)
    keeping = Retention(folder, 1)
    once = keeping.without_oldest(segments_of(folder))
    assert deleted(once) == deleted(keeping.without_oldest(once)) == [False, True, True, True, False]
    assert read == [segment.name for segment in once[:-1]]
    (doubt,) = keeping.doubts
    assert f"{path.name} is not the file that was recorded" in doubt


def test_damaged_files_take_no_room_from_good_ones(folder: Path) -> None:
    segments = segments_of(folder)
    for segment in segments[:2]:
        (folder / segment.name).write_bytes(bytes(segment.size_bytes))
    keeping = Retention(folder, newest_bytes(folder, 2))
    once = keeping.without_oldest(segments)
    assert deleted(once) == deleted(keeping.without_oldest(once)) == [False, False, True, False, False]
    assert len(keeping.doubts) == 2


def test_one_file_that_cannot_be_deleted_keeps_no_other(folder: Path) -> None:
    keeping = Retention(folder, newest_bytes(folder, 2))
    segments = keeping.without_oldest(segments_of(folder))
    path = folder / segments[0].name
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=path.name):
        keeping.delete()
    assert [segment.name for segment in segments if (folder / segment.name).is_file()] == [
        segment.name for segment in segments[-2:]
    ]


def test_a_file_that_was_taken_away_and_is_put_back_is_not_deleted_unread(folder: Path, tmp_path: Path) -> None:
    keeping, segments = Retention(folder, newest_bytes(folder, 2)), segments_of(folder)
    oldest = folder / segments[0].name
    oldest.rename(tmp_path / "aside.mcap")
    segments = keeping.without_oldest(segments)
    keeping.delete()
    (tmp_path / "aside.mcap").rename(oldest)
    keeping.without_oldest(segments)
    keeping.delete()
    assert deleted(segments) == [True, True, True, False, False]
    assert [(folder / segment.name).exists() for segment in segments] == [True, False, False, True, True]
