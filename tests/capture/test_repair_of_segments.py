"""Repair of recordings of several files: what was closed is left alone, what was torn is made whole, damage in between breaks nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from capture.bag.hash_beside import HashBeside
from capture.bag.mcap_file import messages_in
from capture.bag.mcap_index import rare_messages
from capture.bag.rosbag import HEALTH_TOPIC
from capture.checksums import NAME, sha256_of
from capture.kept import given_up_in_words
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.repair import repair
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.recordings import write_recording


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """Of four files."""
    return torn_recording(tmp_path, 4)


def torn_recording(workspace: Path, segments: int) -> Path:
    """As a killed recorder leaves it: the last file is torn and unknown to recording.json."""
    folder = write_recording(Workspace(workspace), segments=segments, padding=300)
    info = load_info(folder)
    changes = {"state": "recording", "segments": info.segments[:-1], "counts": {}, "verdict": None, "ended_ns": None}
    info.model_copy(update=changes).save(folder)
    for name in (NAME, "metadata.yaml"):
        (folder / name).unlink()
    last = folder / f"{folder.name}_{segments - 1}.mcap"
    os.truncate(last, last.stat().st_size * 2 // 3)
    return folder


def test_all_files_together_hold_every_message_up_to_the_tear(torn: Path) -> None:
    assert repair(torn).done
    recording = open_recording(torn)
    for name, count in recording.counts.items():
        assert [each.sequence for each in recording.packets([name])] == list(range(count))
        assert 190 < count < 240
    assert verify(torn).damage == []
    with AnyReader([torn]) as reader:
        assert sum(1 for _ in reader.messages()) == reader.message_count
    assert [segment.sha256 for segment in recording.info.segments] == [sha256_of(path) for path in recording.files]


def test_files_that_were_closed_are_neither_read_nor_hashed_again(torn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown by a byte that turned in one of them: a repair that read it would take its new hash for good."""
    first = torn / f"{torn.name}_0.mcap"
    stated = load_info(torn).segments[0].sha256
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    hashed: list[str] = []
    monkeypatch.setattr("capture.checksums.sha256_of", lambda path: hashed.append(path.name) or sha256_of(path))
    repair(torn)
    assert sorted(hashed) == ["metadata.yaml", "recording.json"]
    assert load_info(torn).segments[0].sha256 == stated
    assert any("_0.mcap is not the file that was recorded" in line for line in verify(torn).damage)


def test_a_file_that_is_missing_keeps_its_place_among_the_others(tmp_path: Path) -> None:
    folder = torn_recording(tmp_path, 11)
    info = load_info(folder)
    first, *others = info.segments
    info.model_copy(update={"segments": (first.model_copy(update={"deleted": True}), *others)}).save(folder)
    (folder / info.segments[2].name).unlink()
    repair(folder)
    repaired = load_info(folder)
    assert [segment.name for segment in repaired.segments] == [f"{folder.name}_{n}.mcap" for n in range(11)]
    assert given_up_in_words(repaired) == "1 file (0.6 s, 120 messages) given up by --keep"


@pytest.mark.parametrize("number", [0, 2])
def test_a_chunk_that_rotted_in_the_midst_does_not_hinder_the_repair_of_the_rest(torn: Path, number: int) -> None:
    path = torn / f"{torn.name}_{number}.mcap"
    data = bytearray(path.read_bytes())
    data[3000:20_000] = os.urandom(17_000)
    path.write_bytes(data)
    repair(torn)
    assert load_info(torn).state == "repaired"
    assert verify(torn).damage


@pytest.mark.parametrize("newest_first", [False, True])
def test_rare_messages_are_those_that_a_whole_reading_finds(tmp_path: Path, newest_first: bool) -> None:
    folder = write_recording(Workspace(tmp_path), segments=1)
    (path,) = folder.glob("*.mcap")
    for topic in (HEALTH_TOPIC, "/robot/state"):
        found = list(rare_messages(path, topic, newest_first=newest_first))
        assert sorted(found) == sorted(messages_in(path, [topic]))
        assert found == sorted(found, key=lambda each: each.log_ns, reverse=newest_first)
    assert list(rare_messages(path, "/none")) == []
    os.truncate(path, path.stat().st_size - 1)
    assert list(rare_messages(path, HEALTH_TOPIC)) == []


@pytest.mark.parametrize("size", [0, 100, 4 << 20, (4 << 20) + 1, 13_000_000])
@pytest.mark.parametrize("kept", [0, 1000, 1 << 40])
def test_a_hash_begun_beside_is_that_of_the_file_as_it_is_in_the_end(tmp_path: Path, size: int, kept: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    beside = HashBeside(path)
    beside._thread.join()
    with path.open("r+b") as file:
        file.truncate(max(0, size - 300))
        file.seek(0, os.SEEK_END)
        if kept < size:
            file.seek(kept)
        file.write(b"another end" * 99)
    assert beside.sha256(kept) == hashlib.sha256(path.read_bytes()).hexdigest()
