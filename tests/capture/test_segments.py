"""A bag of several files: the next one is there before it is needed, and none is left over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from capture.bag import blank_file
from capture.bag.appended_file import AppendedFile
from capture.bag.segments import ClosedSegment, SegmentedBag, Split
from devices.device import Stream
from devices.samples import Packet, Stamps
from tests.capture.recordings import wait_for

STREAMS = [Stream("a/data", "raw")]
FILE_BYTES, FILES = 200_000, 4


def add(bag: SegmentedBag, number: int) -> float:
    """Returns how many seconds it took."""
    started = time.perf_counter()
    bag.add(0, number, Packet("a/data", Stamps(10**18 + number), bytes(10_000)), 0)
    bag.close_chunk()
    return time.perf_counter() - started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "take").mkdir()
    return tmp_path / "take"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_disk_that_is_slow_to_make_files_holds_no_packet_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(path: Path) -> AppendedFile:
        time.sleep(4.0)
        return AppendedFile(path)

    monkeypatch.setattr(blank_file, "AppendedFile", slowly)
    closed: list[ClosedSegment] = []
    bag = SegmentedBag(folder, STREAMS, Split(bytes_max=FILE_BYTES), closed.append)
    number, longest_s = 0, 0.0
    while bag.number < FILES - 1:
        wait_for((folder / f"take_{bag.number + 1}.mcap.reserve").exists)
        time.sleep(0.1)
        before = bag.number
        while bag.number == before:
            longest_s, number = max(longest_s, add(bag, number)), number + 1
    bag.finish()
    assert longest_s < 3.5
    assert [each.info.name for each in closed] == names(folder) == [f"take_{n}.mcap" for n in range(FILES)]
    assert sum(each.info.counts["/a/data"] for each in closed) == number


def test_files_that_fill_faster_than_they_are_made_ahead_are_made_by_the_writer(folder: Path) -> None:
    closed: list[ClosedSegment] = []
    bag = SegmentedBag(folder, STREAMS, Split(bytes_max=1), closed.append)
    for number in range(30):
        add(bag, number)
    bag.finish()
    assert bag.unclosed is None
    assert sorted(each.info.name for each in closed) == names(folder)
    assert sum(each.info.counts["/a/data"] for each in closed) == 30
    assert len(closed) == bag.number + 1 >= 30


def test_what_was_made_ahead_and_is_not_needed_is_removed(folder: Path) -> None:
    bag = SegmentedBag(folder, STREAMS, Split(), lambda _: None)
    add(bag, 0)
    wait_for(lambda: len(names(folder)) == 4)
    assert names(folder) == ["take_0.mcap", "take_0.reserve", "take_1.mcap.reserve", "take_1.mcap.tmp"]
    bag.finish()
    assert names(folder) == ["take_0.mcap"]
