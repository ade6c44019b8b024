"""Verification through all files of a recording: what is missing, doubled, cut, swapped or turned is told, and nothing else is."""

from __future__ import annotations

import os
import random
import shutil
import struct
import time
from pathlib import Path

import pytest
from mcap.writer import CompressionType, Writer

from capture.bag.file_pass import FilePass
from capture.bag.segment_check import damage_in
from capture.checksums import write_sums
from capture.errors import CaptureError
from capture.recording_info import Losses, load_info
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.recordings import write_recording


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(Workspace(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / whole.name)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mcap"))


def test_a_recording_of_three_files_is_followed_through_all_of_them(whole: Path) -> None:
    found = verify(whole)
    assert (found.verdict, found.damage, found.doubts) == ("good", [], [])
    for check in found.streams:
        assert (check.messages, check.missing, check.last_sequence) == (180, 0, 179)
        assert check.longest_gap_ns == 10_000_000, "the borders between files are no gaps"
    assert found.read_bytes == sum(path.stat().st_size for path in whole.iterdir() if path.name != "SHA256SUMS")


def test_progress_counts_every_byte_once(whole: Path) -> None:
    told: list[tuple[int, int]] = []
    found = verify(whole, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {found.read_bytes}
    assert sum(path.stat().st_size for path in files_of(whole)) == told[-1][0]


@pytest.mark.parametrize("lost", [59, 60, 119])
def test_a_message_missing_at_the_border_of_two_files_is_noticed(tmp_path: Path, lost: int) -> None:
    folder = write_recording(Workspace(tmp_path), keep=lambda stream, sequence: (stream, sequence) != (0, lost))
    assert verify(folder).damage == [
        "robot/state: 1 messages are missing between others, only 0 are accounted for"
    ]  # fmt: skip


def test_messages_that_the_queue_dropped_are_no_damage(tmp_path: Path) -> None:
    folder = write_recording(
        Workspace(tmp_path),
        keep=lambda stream, sequence: (stream, sequence) not in {(0, 59), (0, 60)},
        losses={"robot/state": Losses(queue=2), "robot/action": Losses()},
    )
    assert verify(folder).damage == []


def test_a_file_in_the_midst_that_is_gone_is_missed(copied: Path) -> None:
    files_of(copied)[1].unlink()
    missed = [f"{copied.name}_1.mcap is missing, and with it 122 messages"]
    assert verify(copied).damage == missed
    write_sums(copied)  # as if somebody had tidied up behind himself
    assert verify(copied).damage == missed


def test_older_files_that_were_given_up_are_not_missed(copied: Path) -> None:
    info = load_info(copied)
    files_of(copied)[0].unlink()
    first, *others = info.segments
    counts = {name: count - 60 for name, count in info.counts.items()}
    given_up = (first.model_copy(update={"deleted": True}), *others)
    info.model_copy(update={"segments": given_up, "counts": counts}).save(copied)
    write_sums(copied)
    found = verify(copied)
    assert (found.verdict, found.damage) == ("good", [])


def test_two_files_that_changed_places_are_told(copied: Path) -> None:
    first, second, _ = files_of(copied)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert sum("SHA-256 differs" in line for line in verify(copied).damage) == 2
    write_sums(copied)
    assert any("bear a sequence number that was there before" in line for line in verify(copied).damage)


def test_any_flipped_byte_of_a_closed_file_is_noticed_without_its_hash(whole: Path, tmp_path: Path) -> None:
    """Only the parts that nothing else covers need the hash: record lengths aside, those are the library's name and the indexes' spare fields."""
    path, chance = files_of(whole)[1], random.Random(1)
    data, unnoticed = path.read_bytes(), 0
    target = tmp_path / path.name
    for _ in range(200):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        target.write_bytes(changed)
        assert damage_in(target, load_info(whole).segments[1].sha256), "the hash notices all"
        with target.open("rb") as file:
            read = FilePass(file, len(data))
            for _ in read:
                pass
        unnoticed += not read.damage
    assert unnoticed <= 2, "chunks, indexes and summary are covered by themselves"


def test_one_closed_file_is_checked_while_the_next_is_being_written(whole: Path) -> None:
    for segment in load_info(whole).segments:
        assert damage_in(whole / segment.name, segment.sha256) == []
    assert "SHA-256 differs" in damage_in(whole / segment.name, "0" * 64)[0]
    with pytest.raises(CaptureError, match="cannot read"):
        damage_in(whole / "none.mcap", "0" * 64)


@pytest.mark.parametrize("cut", [0, 5, 100, 3000, -1, -30, -300])
def test_a_file_that_was_cut_is_damaged_wherever_the_cut_is(whole: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.mcap"
    path.write_bytes(files_of(whole)[0].read_bytes()[:cut])
    assert len(damage_in(path, "0" * 64)) > 1, "its hash is not all that tells it"


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD, CompressionType.LZ4])
def test_files_of_a_foreign_writer_are_read_in_any_compression(tmp_path: Path, compression: CompressionType) -> None:
    path = tmp_path / "foreign.mcap"
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=20_000, compression=compression)
        writer.start()
        channel = writer.register_channel("/a", "raw", writer.register_schema("x", "raw", b""))
        writer.add_metadata("made by", {"hand": "left"})
        for number in range(100):
            writer.add_message(channel, 10**9 + number, bytes([number]) * 1000, number, number)
        writer.add_attachment(1, 1, "notes", "text/plain", b"many" * 1000)
        writer.finish()
    with path.open("rb") as file:
        read = FilePass(file, path.stat().st_size)
        assert [message.data for message in read] == [bytes([number]) * 1000 for number in range(100)]
    assert (read.damage, read.counts) == ([], {"/a": 100})


def test_nonsense_behind_a_good_beginning_is_damage_and_never_an_error(whole: Path, tmp_path: Path) -> None:
    good, chance = files_of(whole)[0].read_bytes(), random.Random(5)
    path = tmp_path / "nonsense.mcap"
    for _ in range(100):
        at = chance.randrange(len(good))
        noise = chance.randbytes(chance.choice((1, 9, 40, 3000)))
        path.write_bytes(good[:at] + noise + good[at + chance.choice((0, len(noise))) :])
        assert damage_in(path, "0" * 64)


def test_a_length_that_claims_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "long.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + struct.pack("<BQ", 6, 1 << 62) + bytes(1000))
    assert any("no whole record" in line for line in damage_in(path, ""))


def test_arrivals_that_run_backwards_are_doubted_and_no_clock_is_blamed(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), late_ns=lambda sequence: 50_000_000 if sequence in (20, 70) else 0)
    found = verify(folder)
    assert found.doubts == [f"{name}: arrivals run backwards 2 times" for name in ("robot/state", "robot/action")]
    assert found.verdict == "doubtful"


def test_losses_that_the_health_topic_knows_of_must_stand_in_recording_json(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), health_values={"lost_before_read": "7"})
    assert any("accounts for fewer losses (0)" in line for line in verify(folder).damage)


def test_hashing_and_reading_together_cost_no_more_than_one_after_the_other(tmp_path: Path) -> None:
    import hashlib

    folder = write_recording(Workspace(tmp_path), segments=1, packets=120, padding=15_000)
    path = files_of(folder)[0]

    def cpu_s(function: object) -> float:
        best = 1e9
        for _ in range(3):
            started = time.process_time()
            function()  # type: ignore[operator]
            best = min(best, time.process_time() - started)
        return best

    def read_apart() -> None:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        from mcap.reader import make_reader

        with path.open("rb") as file:
            for _ in make_reader(file, validate_crcs=True).iter_messages():
                pass

    assert os.path.getsize(path) > 20 << 20  # noqa: PTH202
    assert cpu_s(lambda: verify(folder, decode=False)) < 1.5 * cpu_s(read_apart)
