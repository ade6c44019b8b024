"""Moving recordings: whatever the destination does, what is there is whole or known not to be, and nothing is deleted too early."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner, Result

import fieldrig
from capture.catalog.catalog import search_catalog
from capture.catalog.search import Search
from capture.checksums import NAME, bytes_in, read_sums, sha256_of, write_lines
from capture.errors import CaptureError
from capture.lock import FolderLock, hold
from capture.offload.ledger import read_entry
from capture.offload.offload import offload
from capture.offload.progress import OffloadProgress
from capture.offload.removal import finish_removals
from capture.orders.done import DoneEpisodes
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.recordings import wait_for, write_recording

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(Workspace(tmp_path_factory.mktemp("recorded")), packets=150, padding=400)


@pytest.fixture
def source(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "here" / "recordings" / recorded.name)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def messages(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    found = []
    for path in sorted(folder.glob("*.mcap")):
        with path.open("rb") as file:
            for _, channel, message in make_reader(file, validate_crcs=True).iter_messages():
                found.append((channel.topic, message.sequence, message.log_time, message.publish_time, message.data))
    return found


def test_a_copy_is_the_same_bytes_and_passes_sha256sum_and_verify(source: Path, disk: Path) -> None:
    done = offload(source, str(disk))
    assert contents(disk / source.name) == contents(source)
    assert (done.files, done.sent, done.deleted) == (6, 6, False)
    size = sum(path.stat().st_size for path in source.iterdir())
    assert (done.sent_bytes, done.stored_bytes) == (size, size)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=disk / source.name, check=True)
    assert verify(disk / source.name).verdict == "good"


def test_a_second_run_sends_nothing(source: Path, disk: Path) -> None:
    offload(source, str(disk))
    before = {path: path.stat().st_mtime_ns for path in (disk / source.name).iterdir()}
    assert offload(source, str(disk)).sent == 0
    assert {path: path.stat().st_mtime_ns for path in (disk / source.name).iterdir()} == before


def test_progress_reaches_its_end_and_never_goes_back(source: Path, disk: Path) -> None:
    told: list[OffloadProgress] = []
    offload(source, str(disk), progress=told.append)
    assert [each.done_bytes for each in told] == sorted(each.done_bytes for each in told)
    assert told[-1].done_bytes == told[-1].total_bytes == 2 * sum(
        path.stat().st_size for path in source.iterdir() if path.name not in {NAME, "recording.json"}
    )  # fmt: skip


def test_deleting_leaves_the_whole_recording_at_its_destination_only(source: Path, disk: Path) -> None:
    before = contents(source)
    assert offload(source, str(disk), delete=True, same_disk=True).deleted
    assert not source.exists()
    assert list(source.parent.iterdir()) == []
    assert contents(disk / source.name) == before


def listed(place: Workspace) -> list[dict[str, object]]:
    return [each.values for each in search_catalog(place).found]


def test_a_recording_deleted_here_is_listed_with_where_it_went_and_counts_for_its_order_once(
    source: Path, disk: Path
) -> None:
    place = Workspace(source.parent.parent)
    write_orders(place)
    described(source, task="wipe", order="kitchen")
    done = DoneEpisodes(place)
    (before,) = listed(place)
    offload(source, str(disk), delete=True, same_disk=True)
    assert [each.task for each in done.look()] == ["wipe"]
    assert done.unreadable == []
    (after,) = listed(place)
    assert after["offloaded_to"] == str(disk / source.name)
    assert after["deleted_ns"]
    assert {key: before[key] for key in before if key not in ("offloaded_to", "deleted_ns")} == {
        key: after[key] for key in after if key not in ("offloaded_to", "deleted_ns")
    }
    (place.root / "catalog.db").unlink()
    assert listed(place) == [after], "the catalog is made anew from the ledger, too"
    words = ("list", "--workspace", str(place.root))
    said = CliRunner().invoke(fieldrig.command_line(words), words).output
    assert said.endswith(f", 0 kB here; 1 deleted here were {int(str(after['size_bytes'])) / 1e6:.1f} MB\n")
    assert re.search(
        rf"{source.name}  offloaded to {disk / source.name} on \d{{4}}-\d\d-\d\d, deleted here$", said, re.MULTILINE
    )
    with pytest.raises(
        CaptureError, match=rf"^{source.name} was offloaded and deleted here; .* fieldrig list {source.name}$"
    ):
        place.recording(Path(source.name))
    assert [each.folder for each in search_catalog(place, Search(words=(source.name,))).found] == [source.name]
    words = ("order", "status", "kitchen", "--workspace", str(place.root))
    assert "order kitchen: complete" in CliRunner().invoke(fieldrig.command_line(words), words).output
    shutil.copytree(disk / source.name, source)
    assert [each.task for each in done.look()] == ["wipe"], "it is there again, and counts once"
    assert listed(place) == [before]
    shutil.rmtree(source)
    assert listed(place) == [after]


def test_a_recording_of_a_sensor_whose_driver_is_not_installed_here_is_moved_and_deleted_like_any_other(
    source: Path, disk: Path
) -> None:
    rig = load_info(source).rig
    sensors = {name: sensor.model_copy(update={"driver": "not_here"}) for name, sensor in rig.sensors.items()}
    described(source, rig=rig.model_copy(update={"sensors": sensors}))
    done = offload(source, str(disk), delete=True, same_disk=True)
    assert done.deleted
    assert read_entry(source.parent.parent / "offloaded" / f"{source.name}.json").where == str(disk / source.name)
    assert load_info(disk / source.name).rig.sensors == sensors


def test_where_the_ledger_cannot_be_written_nothing_is_deleted(source: Path, disk: Path) -> None:
    before = contents(source)
    (source.parent.parent / "offloaded").write_text("a file")
    with pytest.raises(
        CaptureError, match=r"^[^\n]*offloaded/[^\n]*cannot be written: File exists; nothing was deleted$"
    ):
        offload(source, str(disk), delete=True, same_disk=True)
    assert contents(source) == before


def filled(source: Path, disk: Path) -> tuple[Path, Path]:
    """The recording on a disk that it fills to the last byte, and all that the disk held before it."""
    recording = shutil.copytree(source, disk / "recordings" / source.name)
    described(recording, task="wipe")
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    return recording, disk / "filler"


def test_a_disk_that_is_full_to_the_last_block_can_be_emptied(
    source: Path, disk: Path, small_disk: Callable[[int], Path]
) -> None:
    recording, _ = filled(source, small_disk(10))
    place, before, size = Workspace(recording.parent.parent), contents(recording), bytes_in(recording)
    assert offload(recording, str(disk), delete=True).deleted
    assert list(place.recordings.iterdir()) == []
    assert contents(disk / source.name) == before
    (entry,) = place.offloaded.iterdir()
    said = read_entry(entry)
    assert (said.where, said.size_bytes) == (str(disk / source.name), size)
    assert [each.task for each in DoneEpisodes(place).look()] == ["wipe"]


KILLED_WHILE_MAKING_ROOM = """
import os, sys
from pathlib import Path
from capture.offload import ledger, offload

def counting(path, content, write=ledger.write_whole, tries=[]):
    tries.append(path)
    if len(tries) > 2:  # the first file is gone
        os._exit(9)
    write(path, content)

ledger.write_whole = counting
offload.offload(Path(sys.argv[1]), sys.argv[2], delete=True)
"""


def test_a_run_killed_while_it_makes_room_for_the_entry_is_finished_by_the_next(
    source: Path, disk: Path, small_disk: Callable[[int], Path]
) -> None:
    recording, filler = filled(source, small_disk(10))
    place, before, size = Workspace(recording.parent.parent), contents(recording), bytes_in(recording)
    assert subprocess.run([sys.executable, "-c", KILLED_WHILE_MAKING_ROOM, recording, disk], cwd=ROOT).returncode == 9
    (aside,) = place.recordings.iterdir()
    assert 0 < bytes_in(aside) < size
    assert contents(disk / source.name) == before
    with filler.open("ab", buffering=0) as file, suppress(OSError):  # a recorder goes on beside it
        while True:
            file.write(bytes(4096))
    finish_removals(place.recordings)
    assert list(place.recordings.iterdir()) == []
    (entry,) = place.offloaded.iterdir()
    said = read_entry(entry)
    assert (said.where, said.size_bytes) == (str(disk / source.name), size)
    assert [each.task for each in DoneEpisodes(place).look()] == ["wipe"]


@pytest.mark.parametrize("way", ["other", "elsewhere"])
def test_a_recording_given_through_a_link_is_in_the_ledger_too(
    source: Path, disk: Path, tmp_path: Path, way: str
) -> None:
    place = Workspace(source.parent.parent)
    if way == "elsewhere":
        place.recordings.rename(tmp_path / "recordings")
        place.recordings.symlink_to(tmp_path / "recordings")
        given = source
    else:
        (tmp_path / "link").symlink_to(place.recordings)
        given = tmp_path / "link" / source.name
    offload(given, str(disk), delete=True, same_disk=True)
    assert [path.stem for path in place.offloaded.iterdir()] == [source.name]


def test_the_command_knows_a_recording_of_its_workspace_under_the_path_that_recordings_links_to(
    source: Path, disk: Path, tmp_path: Path
) -> None:
    place = Workspace(source.parent.parent)
    place.recordings.rename(tmp_path / "drives")
    place.recordings.symlink_to(tmp_path / "drives")
    given = tmp_path / "drives" / source.name
    words = ("offload", str(given), str(disk), "--delete", "--same-disk", "--workspace", str(place.root))
    assert CliRunner().invoke(fieldrig.command_line(words), words).exit_code == 0
    assert not given.exists()
    assert [path.stem for path in place.offloaded.iterdir()] == [source.name]


def test_an_entry_of_the_ledger_that_is_broken_is_told_and_hides_no_other(source: Path, disk: Path) -> None:
    place = Workspace(source.parent.parent)
    described(source, task="wipe")
    offload(source, str(disk), delete=True, same_disk=True)
    (place.offloaded / "broken.json").write_text("{")
    done, listing = DoneEpisodes(place), search_catalog(place)
    assert [each.task for each in done.look()] == ["wipe"]
    assert [each.folder for each in listing.found] == [source.name]
    for lines in (done.unreadable, listing.unreadable):
        assert ["broken.json" in line and "put it back from a copy" in line for line in lines] == [True]


def described(folder: Path, **details: object) -> None:
    load_info(folder).model_copy(update=details).save(folder)
    sums = {name: sha256 for name, sha256 in read_sums(folder).items() if name != "recording.json"}
    write_lines(folder, sums | {"recording.json": sha256_of(folder / "recording.json")})


def write_orders(place: Workspace) -> None:
    place.orders.mkdir(parents=True)
    (place.orders / "kitchen.toml").write_text('episodes = 1\n[tasks.wipe]\ninstruction = "Wipe the table"\n')


def test_compressed_chunks_hold_the_same_messages_in_fewer_bytes(source: Path, disk: Path) -> None:
    done = offload(source, str(disk), zstd=True)
    there = disk / source.name
    assert messages(there) == messages(source)
    assert done.stored_bytes < sum(path.stat().st_size for path in source.glob("*.mcap")) / 3
    assert verify(there).verdict == "good"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=there, check=True)
    info, original = load_info(there), load_info(source)
    assert info.rechunked_from == {segment.name: segment.sha256 for segment in original.segments}
    assert [segment.sha256 for segment in info.segments] == [read_sums(there)[each.name] for each in info.segments]
    with AnyReader([there]) as reader:
        assert reader.message_count == len(messages(source))
    for ours, theirs in zip(open_recording(source).samples(), open_recording(there).samples(), strict=True):
        assert ours.span == theirs.span, "a label's way back to its bytes is the same"


def test_compressing_again_and_copying_the_compressed_change_nothing(source: Path, disk: Path, tmp_path: Path) -> None:
    offload(source, str(disk), zstd=True)
    assert offload(source, str(disk), zstd=True).sent == 0
    second = tmp_path / "second"
    second.mkdir()
    offload(disk / source.name, str(second), zstd=True)
    assert contents(second / source.name) == contents(disk / source.name)


@pytest.mark.parametrize("there", ["compressed", "uncompressed"])
def test_what_is_there_in_the_other_form_is_kept_and_said_until_it_is_to_be_replaced(
    there: Literal["compressed", "uncompressed"], source: Path, disk: Path
) -> None:
    is_compressed = there == "compressed"
    offload(source, str(disk), zstd=is_compressed)
    before = contents(disk / source.name)
    done = offload(source, str(disk), zstd=not is_compressed)
    assert (done.sent, done.kept) == (0, there)
    assert contents(disk / source.name) == before
    replaced = offload(source, str(disk), zstd=not is_compressed, replace=True)
    assert (replaced.sent, replaced.kept) == (5, "")
    assert (contents(disk / source.name) == contents(source)) == is_compressed
    assert verify(disk / source.name).verdict == "good"


def test_a_copy_whose_files_are_being_replaced_does_not_look_complete_when_it_is_broken_off(
    source: Path, disk: Path
) -> None:
    offload(source, str(disk), zstd=True)
    begun: list[str] = []

    def break_off(now: OffloadProgress) -> None:
        begun.extend({now.name} - set(begun))
        if len(begun) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offload(source, str(disk), replace=True, progress=break_off)
    assert (disk / source.name / begun[0]).read_bytes() == (source / begun[0]).read_bytes()
    assert not (disk / source.name / NAME).exists()
    assert offload(source, str(disk), replace=True).sent > 0
    assert contents(disk / source.name) == contents(source)


def test_a_recording_json_that_differs_is_not_replaced_under_the_old_sums(source: Path, disk: Path) -> None:
    offload(source, str(disk))
    described(source, task="wipe", order="kitchen")
    there = disk / source.name
    (there / "recording.json.part").mkdir()  # so that it cannot be replaced
    with pytest.raises(CaptureError):
        offload(source, str(disk))
    assert not (there / NAME).exists()
    (there / "recording.json.part").rmdir()
    offload(source, str(disk))
    assert contents(there) == contents(source)


def test_what_was_compressed_replaces_the_recording_that_it_was_made_from_only_when_told(
    source: Path, disk: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    offload(source, str(second), zstd=True)
    offload(source, str(disk))
    before = contents(disk / source.name)
    with pytest.raises(CaptureError, match=r"holds this recording already, uncompressed[^\n]*; --replace replaces it"):
        offload(second / source.name, str(disk))
    assert contents(disk / source.name) == before
    offload(second / source.name, str(disk), replace=True)
    assert contents(disk / source.name) == contents(second / source.name)


def test_a_compressed_copy_lets_the_recording_go_when_each_of_its_messages_is_there(source: Path, disk: Path) -> None:
    offload(source, str(disk), zstd=True)
    before = messages(source)
    copy = next((disk / source.name).glob("*.mcap"))
    whole = copy.read_bytes()
    copy.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    with pytest.raises(CaptureError, match="nothing was deleted"):
        offload(source, str(disk), delete=True, same_disk=True)
    assert messages(source) == before
    copy.write_bytes(whole)
    assert offload(source, str(disk), delete=True, same_disk=True).kept == "compressed"
    assert not source.exists()
    assert messages(disk / source.name) == before


def test_a_file_that_is_new_is_brought_beside_those_that_are_kept_compressed(source: Path, disk: Path) -> None:
    offload(source, str(disk), zstd=True)
    (source / "origin.sha256").write_text("new\n")
    done = offload(source, str(disk))
    assert (done.sent, done.kept) == (2, "compressed"), "the new file, and SHA256SUMS"
    assert messages(disk / source.name) == messages(source)
    assert load_info(disk / source.name).rechunked_from
    assert verify(disk / source.name).verdict == "good"


def test_the_command_says_in_which_form_a_recording_is_there(source: Path, disk: Path) -> None:
    def said(*options: str) -> str:
        words = [sys.executable, "-m", "fieldrig", "offload", str(source), str(disk), *options]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "kept" not in said("--zstd")
    line = said()
    assert "nothing left to send" in line
    assert line.endswith("MB there; it was there compressed, and was kept so: --replace replaces it\n")
    assert "kept" not in said("--replace")
    assert said("--zstd").endswith("; it was there uncompressed, and was kept so: --replace replaces it\n")


def test_a_rechunked_file_in_which_one_message_is_another_is_refused(
    source: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capture.offload import rechunk

    join = rechunk._join

    def forging(group: rechunk._Group, content: bytes, path: Path, at: int) -> None:
        join(group, content, path, at)
        group.data[-1:] = bytes([group.data[-1] ^ 1])  # valid CRCs, valid indexes, one other byte

    monkeypatch.setattr(rechunk, "_join", forging)
    with pytest.raises(CaptureError, match="came back with other bytes"):
        offload(source, str(disk), zstd=True, delete=True, same_disk=True)
    assert source.exists()
    assert not (disk / source.name / NAME).exists()


SMALL_MB = 4  # one of the recording's three files fits


def test_a_disk_that_is_too_small_is_told_before_anything_is_copied(
    source: Path, small_disk: Callable[[int], Path]
) -> None:
    before, disk = contents(source), small_disk(SMALL_MB)
    with pytest.raises(CaptureError, match=r"7 MB are to be copied, 4 MB are free"):
        offload(source, str(disk), delete=True)
    assert contents(source) == before


def test_a_disk_that_fills_on_the_way_keeps_what_arrived_and_goes_on_when_there_is_room(
    source: Path, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, disk = contents(source), small_disk(SMALL_MB)
    monkeypatch.setattr("capture.offload.folder.FolderDestination.free_bytes", lambda _: None)
    with pytest.raises(CaptureError, match="No space left on device; run the same command again"):
        offload(source, str(disk), delete=True)
    assert contents(source) == before
    with pytest.raises(CaptureError, match="no recording at"):
        open_recording(disk / source.name)
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    assert offload(source, str(disk), delete=True).sent == 5
    assert contents(disk / source.name) == before
    assert not source.exists()


def test_a_disk_pulled_out_on_the_way_is_one_line_and_nothing_lands_on_its_mount_point(
    source: Path, small_disk: Callable[[int], Path]
) -> None:
    before, disk = contents(source), small_disk(SMALL_MB)
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)

    def pull(now: OffloadProgress) -> None:
        if now.doing == "reading back" and disk.is_mount():
            subprocess.run(["umount", "--lazy", disk], check=True)

    with pytest.raises(CaptureError, match="is its disk still there") as error:
        offload(source, str(disk), delete=True, progress=pull)
    assert "\n" not in str(error.value)
    assert contents(source) == before
    assert list(disk.iterdir()) == []
    with pytest.raises(CaptureError, match="would be its only copy; mount the other disk"):
        offload(source, str(disk), delete=True)
    assert contents(source) == before


def test_a_folder_that_is_not_there_or_takes_nothing_is_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="mount its disk"):
        offload(source, str(tmp_path / "none"))
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="no folder"):
        offload(source, str(tmp_path / "file"))
    with pytest.raises(CaptureError, match=r"cannot reach|needs"):
        offload(source, "nosuchscheme://somewhere")


def test_a_folder_that_refuses_is_one_line(source: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("capture.offload.folder.os.fsync", refuse)
    with pytest.raises(CaptureError, match="Permission denied; run the same command again"):
        offload(source, str(disk), delete=True, same_disk=True)
    assert open_recording(source)


@pytest.mark.parametrize("times", [1, 2])
def test_a_disk_that_turns_a_byte_is_found_out_by_reading_back(
    source: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Once: it is sent again. Always: it is refused."""
    fsync, left, before = os.fsync, [times], contents(source)

    def turning(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.endswith("_1.mcap.part") and left[0]:
            left[0] -= 1
            os.pwrite(descriptor, bytes([path.read_bytes()[5000] ^ 4]), 5000)
        fsync(descriptor)

    monkeypatch.setattr("capture.offload.folder.os.fsync", turning)
    if times == 1:
        offload(source, str(disk), delete=True, same_disk=True)
        assert contents(disk / source.name) == before
        return
    with pytest.raises(CaptureError, match="came back with other bytes than were sent, 2 times"):
        offload(source, str(disk), delete=True, same_disk=True)
    assert contents(source) == before
    assert not list((disk / source.name).glob("*_1.mcap*"))
    assert offload(source, str(disk)).sent == 5, "the file before it is there already"
    assert contents(disk / source.name) == before


def test_a_copy_that_rots_after_it_arrived_stops_the_deletion(source: Path, disk: Path) -> None:
    offload(source, str(disk))
    copy = disk / source.name / f"{source.name}_1.mcap"
    data = bytearray(copy.read_bytes())
    data[9000] ^= 1
    copy.write_bytes(data)
    with pytest.raises(CaptureError, match=r"_1.mcap is no longer what arrived; nothing was deleted"):
        offload(source, str(disk), delete=True, same_disk=True)
    assert verify(source).verdict == "good"
    copy.unlink()
    assert offload(source, str(disk), delete=True, same_disk=True).sent == 1
    assert verify(disk / source.name).verdict == "good"


def test_a_damaged_recording_is_not_moved_on_as_if_it_were_whole(source: Path, disk: Path) -> None:
    bag = source / f"{source.name}_2.mcap"
    data = bytearray(bag.read_bytes())
    data[30_000] ^= 1
    bag.write_bytes(data)
    for zstd in (False, True):
        with pytest.raises(CaptureError, match=r"not the file that was recorded|is damaged"):
            offload(source, str(disk), delete=True, same_disk=True, zstd=zstd)
    assert bag.exists()
    with pytest.raises(CaptureError, match="no recording at"):
        open_recording(disk / source.name)
    bag.unlink()
    with pytest.raises(CaptureError, match=r"_2.mcap is missing"):
        offload(source, str(disk))


def test_a_recording_in_progress_is_not_moved(source: Path, disk: Path) -> None:
    load_info(source).model_copy(update={"state": "recording"}).save(source)
    with pytest.raises(CaptureError, match="run: fieldrig repair"):
        offload(source, str(disk))
    assert list(disk.iterdir()) == []


def test_a_recording_that_is_a_link_is_not_deleted_through_it(source: Path, disk: Path, tmp_path: Path) -> None:
    real = source.rename(tmp_path / "elsewhere")
    source.symlink_to(real)
    with pytest.raises(CaptureError, match=rf"^{source} is a link to {real}, .*give {real}"):
        offload(source, str(disk), delete=True, same_disk=True)
    assert list(disk.iterdir()) == []
    assert source.is_symlink()
    assert not (source.parent.parent / "offloaded").exists()
    offload(source, str(disk))
    assert contents(disk / source.name) == contents(real)


def test_where_nothing_can_be_deleted_each_recording_is_copied_and_that_is_said(
    source: Path, disk: Path, small_disk: Callable[[int], Path]
) -> None:
    place = Workspace(small_disk(10))
    ids = {write_recording(place, segments=1, packets=5).name for _ in range(2)}
    subprocess.run(["mount", "-o", "remount,ro", place.root], check=True)
    ended = commanded(place, "offload", "--all", str(disk), "--delete")
    assert ended.exit_code == 1
    assert str(ended.exception) == (
        f"not offloaded (2 of 2 recordings): {place.recordings}/ID is whole at {disk}/ID, but cannot be deleted here: "
        f"Read-only file system (2 recordings: {', '.join(sorted(ids))})"
    )
    assert all(verify(disk / id_).verdict == "good" for id_ in ids)


def test_what_keeps_many_recordings_from_moving_is_said_once(source: Path, disk: Path) -> None:
    place = Workspace(source.parent.parent)
    for _ in range(5):
        write_recording(place, segments=1, packets=5)
    (source / "recording.json").write_text("{}")
    said = str(commanded(place, "offload", "--all", str(disk / "nowhere")).exception)
    assert said.count("mount its disk") == 1
    assert "(5 recordings: " in said
    assert " and 2 more)" in said
    assert f"{source}/recording.json: id: Field required" in said


def test_the_recording_itself_is_no_destination_under_any_name(source: Path, tmp_path: Path) -> None:
    before = contents(source)
    with pytest.raises(CaptureError, match="is the recording itself"):
        offload(source, str(source.parent), delete=True, same_disk=True)
    link = tmp_path / "link"
    link.symlink_to(source.parent)
    with pytest.raises(CaptureError, match="is the recording itself"):
        offload(source, str(link), delete=True, same_disk=True)
    assert contents(source) == before


def test_a_segment_that_no_sum_proves_is_not_moved_nor_deleted(source: Path, disk: Path) -> None:
    segment = source / load_info(source).segments[0].name
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    for sums in ("", f"{sha256_of(segment)}  {segment.name}\n"):
        (source / NAME).write_text(sums)
        with pytest.raises(CaptureError, match=r"does not state the hash of .* that recording.json does"):
            offload(source, str(disk), delete=True, same_disk=True)
        assert segment.exists()
        assert list(disk.iterdir()) == []


def test_a_file_that_stands_in_no_sum_is_moved_too(source: Path, disk: Path) -> None:
    (source / "notes").mkdir()
    (source / "notes" / "sketch.txt").write_text("gate sticks")
    offload(source, str(disk), delete=True, same_disk=True)
    assert (disk / source.name / "notes" / "sketch.txt").read_text() == "gate sticks"
    assert "notes/sketch.txt" in read_sums(disk / source.name)


@pytest.mark.parametrize("in_the_sums", [False, True])
def test_what_an_earlier_move_left_in_the_recording_itself_is_not_moved_on(
    source: Path, disk: Path, in_the_sums: bool
) -> None:
    before = contents(source)
    (source / "offload.partial.json").write_text("{}")
    if in_the_sums:  # as `sha256sum *` by hand has it
        write_lines(source, {name: sha256_of(source / name) for name in contents(source) if name != NAME})
    assert offload(source, str(disk), delete=True, same_disk=True).deleted
    assert contents(disk / source.name) == before
    assert verify(disk / source.name).verdict == "good"


def test_what_is_changed_while_it_is_moved_is_not_deleted(source: Path, disk: Path) -> None:
    def change(now: OffloadProgress) -> None:
        if now.doing == "reading back":
            (source / "late.txt").write_text("one more thing")

    with pytest.raises(CaptureError, match="was changed meanwhile; nothing was deleted"):
        offload(source, str(disk), delete=True, same_disk=True, progress=change)
    assert (source / "late.txt").exists()


def test_an_interrupted_run_goes_on_within_the_file(source: Path, disk: Path) -> None:
    part = disk / source.name / f"{source.name}_0.mcap.part"
    part.parent.mkdir()
    whole = (source / f"{source.name}_0.mcap").read_bytes()
    part.write_bytes(whole[:500_000])
    offload(source, str(disk))
    assert contents(disk / source.name) == contents(source)
    part.write_bytes(b"another file that was longer" * 100_000)  # its end would stay behind the true one
    (disk / source.name / f"{source.name}_0.mcap").unlink()
    offload(source, str(disk))
    assert contents(disk / source.name) == contents(source)


def test_a_journal_that_makes_no_sense_is_passed_over(source: Path, disk: Path) -> None:
    for nonsense in (b"", b"[1, 2]", b'{"a": 3}', b'{"a": {"b": 3}}', os.urandom(300)):
        folder = disk / source.name
        folder.mkdir(exist_ok=True)
        (folder / "offload.partial.json").write_bytes(nonsense)
        (folder / NAME).write_bytes(nonsense)
        offload(source, str(disk))
        assert contents(folder) == contents(source)


KILLED_WHILE_DELETING = """
import os, sys
from pathlib import Path
from capture.offload import offload
from capture.offload import removal

def killed(*_, **__):
    (next(Path(sys.argv[1]).parent.glob(".*")) / "killed here").touch()
    os._exit(9)

setattr(offload.Move if sys.argv[3] == "is_complete" else removal.shutil, sys.argv[3], killed)
offload.offload(Path(sys.argv[1]), sys.argv[2], delete=True, same_disk=True)
"""


@pytest.mark.parametrize("moment", ["is_complete", "rmtree"])
def test_a_run_killed_while_it_deletes_is_finished_by_the_next(source: Path, disk: Path, moment: str) -> None:
    """Before the last look at the destination the recording is put back; behind it, it goes."""
    before = contents(source)
    assert subprocess.run([sys.executable, "-c", KILLED_WHILE_DELETING, source, disk, moment], cwd=ROOT).returncode == 9
    assert not source.exists()
    finish_removals(source.parent)
    assert contents(disk / source.name) == before
    if moment == "rmtree":
        assert list(source.parent.iterdir()) == []
    else:
        assert (source / "killed here").exists()
        assert offload(source, str(disk), delete=True, same_disk=True).deleted


@pytest.mark.parametrize("command", ["list", "verify", "repair", "info", "order status"])
def test_a_recording_whose_removal_was_killed_is_there_for_every_command(
    source: Path, disk: Path, command: str
) -> None:
    killed = [sys.executable, "-c", KILLED_WHILE_DELETING, source, disk, "is_complete"]
    assert subprocess.run(killed, cwd=ROOT).returncode == 9
    place = Workspace(source.parent.parent)
    write_orders(place)
    with (next(place.recordings.iterdir()) / NAME).open("rb") as file:  # as long as its process lives
        hold(file.fileno(), source)
        assert commanded(place, "list").output == f"no recordings in {place.recordings}\n"
    about = [source.name] if command in {"verify", "repair", "info"} else []
    ended = commanded(place, *command.split(), *about)
    assert (ended.exit_code, "no recording" in ended.output) == (0, False)
    assert [path.name for path in place.recordings.iterdir()] == [source.name]


def commanded(place: Workspace, *words: str) -> Result:
    words = (*words, "--workspace", str(place.root))
    return CliRunner().invoke(fieldrig.command_line(words), words)


def test_several_runs_at_once_move_everything_and_each_says_what_it_did_not(tmp_path: Path, disk: Path) -> None:
    place = Workspace(tmp_path / "here")
    ids = {write_recording(place, segments=4, packets=5, padding=4).name for _ in range(12)}
    words = (
        sys.executable,
        "-m",
        "fieldrig",
        "offload",
        "--workspace",
        place.root,
        "--all",
        disk,
        "--delete",
        "--same-disk",
    )
    runs = [
        subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [run.communicate(timeout=60) for run in runs]
    assert list(place.recordings.iterdir()) == []
    assert {path.name for path in disk.iterdir()} == ids
    assert all(verify(path).verdict == "good" for path in disk.iterdir())
    for run, (out, err) in zip(runs, said, strict=True):
        assert run.returncode == (1 if err else 0)
        if err:
            failed = re.search(r"not offloaded \((\d+) of (\d+) recordings\): (.*)$", err)
            assert failed is not None, err
            assert out.count("is whole at") + int(failed[1]) == int(failed[2])
            assert all("by another process" in reason for reason in failed[3].split("; "))


@pytest.mark.parametrize("zstd", [False, True])
def test_a_run_killed_anywhere_is_taken_up_again_and_never_leaves_half_a_file_under_a_whole_one_s_name(
    source: Path, disk: Path, zstd: bool
) -> None:
    chance, before, there = random.Random(4), contents(source), disk / source.name
    program = (
        "import sys, time; from pathlib import Path; from capture.offload.offload import offload\n"
        "offload(Path(sys.argv[1]), sys.argv[2], zstd=sys.argv[3] == 'True', delete=True, same_disk=True,"
        " progress=lambda now: (print(now.done_bytes, flush=True), time.sleep(0.01)))"
    )
    good = {hashlib.sha256(data).hexdigest() for data in before.values()}
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", program, source, disk, str(zstd)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if not source.exists():
            break
        assert contents(source) == before
        for path in there.glob("*.mcap"):
            if zstd:
                with path.open("rb") as file:
                    assert sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages()) == 302
            else:
                assert hashlib.sha256(path.read_bytes()).hexdigest() in good
        if (there / NAME).exists():
            assert verify(there).damage == []
    if source.exists():
        offload(source, str(disk), zstd=zstd, delete=True, same_disk=True)
    wait_for(lambda: not source.exists())
    assert verify(there).verdict == "good"
    assert not [path for path in there.iterdir() if path.suffix in {".part", ".tmp"} or "partial" in path.name]


def test_the_command_moves_several_and_says_which_did_not_move(source: Path, disk: Path) -> None:
    workspace = source.parent.parent
    second = write_recording(Workspace(workspace), segments=1)
    unfinished = write_recording(Workspace(workspace), segments=1)
    load_info(unfinished).model_copy(update={"state": "recording"}).save(unfinished)
    words = [sys.executable, "-m", "fieldrig", "offload", "--workspace", workspace]
    ended = subprocess.run(
        [*words, second.name, unfinished.name, source, disk], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "not offloaded (1 of 3 recordings)" in line
    assert f"run: fieldrig repair {unfinished}" in line
    assert ended.stdout.count("is whole at") == 2
    assert ended.stdout.count("6 of 6 files sent") == 1, "every file that lies there"
    assert verify(disk / second.name).verdict == "good"
    ended = subprocess.run(
        [*words, "--all", "--delete", "--same-disk", disk], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stdout.count("deleted here") == 2
    assert f"{unfinished} was not finished by its recorder; run: fieldrig repair {unfinished}" in ended.stderr
    assert [path.name for path in (workspace / "recordings").iterdir()] == [unfinished.name]
    ended = subprocess.run([*words, second.name], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "fieldrig offload RECORDING... DEST" in ended.stderr


def test_offloading_all_never_leaves_a_recording_out_without_a_word(source: Path, disk: Path) -> None:
    def said(code: int) -> str:
        words = ["offload", "--workspace", str(source.parent.parent), "--all", str(disk / "nowhere")]
        ended = CliRunner().invoke(fieldrig.command_line(words), words)
        assert ended.exit_code == code
        return " ".join([*ended.output.split(), str(ended.exception or "")])

    load_info(source).model_copy(update={"state": "recording"}).save(source)
    assert f"run: fieldrig repair {source}" in said(1)
    with FolderLock(source):
        assert f"{source} is still being recorded" in said(1)
    (source / "recording.json").unlink()
    assert f"no recording at {source}" in said(1)
    shutil.rmtree(source)
    assert f"no recordings in {source.parent}" in said(0)
