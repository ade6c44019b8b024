"""Recorders that are killed, files that are cut off, disks that are full: what reached the disk can be read again, all of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcap.opcode import Opcode
from mcap.reader import make_reader

from capture.attend import record
from capture.bag.mcap_file import FileSummary
from capture.bag.packing import Packing
from capture.bag.rebuild import made_whole
from capture.bag.salvage import finish_file
from capture.bag.torn_file import UnwalkableError
from capture.bag.writer import BagWriter
from capture.errors import CaptureError
from capture.offload.rechunk import rechunk
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.repair import repair
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import Stream
from devices.samples import Packet, Stamps
from tests.capture.chunks import chunks_of
from tests.capture.killed import ROOT, Killed, read_strictly, recorders
from tests.capture.recordings import write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig, write_rig

STREAMS = [Stream("a/data", "raw"), Stream("b/data", "raw")]


def test_twenty_recorders_killed_at_random_lose_a_quarter_second_and_nothing_older(tmp_path: Path) -> None:
    """On a machine that is busy with other tests a few may lose more; benchmarks/recovery.py holds the bound for each of 200."""
    chance, missing_ms, lost_total = random.Random(20), list[float](), 0
    for killed in recorders(tmp_path, 20, chance):
        killed_ns = killed.kill(chance.uniform(0.15, 1.0))
        with pytest.raises(CaptureError, match="run: fieldrig repair"):
            open_recording(killed.folder)
        done = repair(killed.folder)
        assert done.done
        assert read_strictly(killed.folder) == done.messages
        recording = open_recording(killed.folder)
        assert recording.info.state == "repaired"
        missing = killed.missing(recording, killed_ns)
        missing_ms.append(missing.worst_ms)
        lost_total += missing.packets
        assert set(recording.clocks) == {name for name, count in recording.counts.items() if count}
        assert verify(killed.folder).damage == []
        assert not repair(killed.folder).done
    print(  # noqa: T201
        f"\n20 kills: at most {max(missing_ms):.0f} ms of the newest data missing, {lost_total} packets in all, nothing older"
    )
    assert sorted(missing_ms)[15] <= 250
    assert max(missing_ms) <= 1500


def test_six_power_cuts_lose_at_most_two_seconds_and_nothing_older(tmp_path: Path) -> None:
    """A power cut leaves at least what was synced: files are cut back to that, in recordings of several files, too."""
    chance, worst_ms, taken, files = random.Random(21), 0.0, 0, 0
    for killed in recorders(tmp_path, 6, chance, sizes=[400_000]):
        killed_ns = killed.kill(chance.uniform(0.4, 2.0))
        taken += killed.cut_power()
        done = repair(killed.folder)
        assert read_strictly(killed.folder) == done.messages
        files += len(list(killed.folder.glob("*.mcap")))
        assert {path.suffix for path in killed.folder.iterdir()} == {"", ".json", ".mcap", ".yaml"}
        worst_ms = max(worst_ms, killed.missing(open_recording(killed.folder), killed_ns).worst_ms)
        assert verify(killed.folder).damage == []
    assert taken > 0, "nothing was cut"
    assert files > 6, "no recording was of several files"
    assert worst_ms <= 2000


def test_a_recording_in_progress_is_not_repaired(tmp_path: Path) -> None:
    running = Killed(tmp_path, rate_hz=50, padding=0)
    running.wait_until_open()
    for look in (repair, verify):
        with pytest.raises(CaptureError, match="still being recorded"):
            look(running.folder)
    running.kill(0.3)
    assert repair(running.folder).done


def test_interrupting_a_recorder_ends_it_cleanly(tmp_path: Path) -> None:
    state, action = free_ports(2)
    rig = write_rig(tmp_path / "rig.toml", state, action)
    with Sender({"state": state, "action": action}, 100):
        process = subprocess.Popen(
            [sys.executable, "-m", "fieldrig", "record", rig, "--workspace", tmp_path, "--site", "yard"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("recordings/*/*.mcap")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    (folder,) = (tmp_path / "recordings").iterdir()
    info = load_info(folder)
    assert (info.state, info.verdict, info.site) == ("finished", "good", "yard")
    assert min(info.counts["robot/state"], info.counts["robot/action"]) > 60
    assert "verdict: good" in out


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that its writer left behind: 200 packets of 7 kB in chunks of 20, and the last 5 in no chunk."""
    folder = tmp_path_factory.mktemp("unfinished")
    bag = BagWriter(folder / "x_0.mcap", STREAMS)
    bag.add_health(1, [])
    bag.close_chunk()
    for number in range(205):
        bag._closed_at = time.monotonic()  # the chunk's age shall not close it
        bag.add(number % 2, number // 2, packet(number), 0)
        if number % 20 == 19:
            bag.close_chunk()
    os.close(bag._file.descriptor)
    bag._hash.stop()
    bag._syncer._stop.set()
    return folder / "x_0.mcap"


def packet(number: int) -> Packet:
    return Packet(STREAMS[number % 2].name, Stamps(10**18 + number * 10**6, 5 + number), bytes([number + 1]) * 7000)


def chunk_ends(path: Path) -> list[int]:
    return [end for _, end in chunks_of(path)]


def numbers_in(path: Path) -> list[int]:
    with path.open("rb") as file:
        messages = make_reader(file, validate_crcs=True).iter_messages()
        return [message.publish_time - 5 for _, channel, message in messages if channel.topic != "/fieldrig/health"]


def cuts(path: Path) -> Iterator[int]:
    chance = random.Random(3)
    yield from (0, 1, 7, 8, 9, 20, 40, 60)
    size = path.stat().st_size
    for end in chunk_ends(path)[:3]:
        yield from (end - 1, end, end + 1, end + 10, end + 60)
    yield from (chance.randrange(size) for _ in range(150))


def test_a_file_cut_anywhere_keeps_every_whole_chunk_and_every_whole_message(unfinished: Path, tmp_path: Path) -> None:
    ends = chunk_ends(unfinished)
    data = unfinished.read_bytes()
    whole_messages = [data.index(bytes([number + 1]) * 7000) + 7000 for number in range(200)]
    for cut in cuts(unfinished):
        path = tmp_path / "x_0.mcap"
        path.write_bytes(data[:cut])
        summary = finish_file(path)
        found = numbers_in(path)
        assert found == list(range(len(found)))
        assert len(found) >= 20 * max(0, sum(end <= cut for end in ends) - 1)
        if ends[0] <= cut:  # all schemas and channels stand in the first chunk
            assert len(found) == sum(end <= cut for end in whole_messages)
        assert sum(count for topic, count in summary.counts.items() if topic != "/fieldrig/health") == len(found)
        assert finish_file(path).intact
        assert [each.name for each in tmp_path.iterdir()] == ["x_0.mcap"]


def test_a_cut_summary_is_written_again_without_touching_the_data(unfinished: Path, tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    shutil.copy(unfinished, path)
    finish_file(path)
    whole = path.read_bytes()
    for cut in (1, 8, 20, 37, 100, 500):
        path.write_bytes(whole[:-cut])
        assert not finish_file(path).intact
        assert path.read_bytes() == whole


def test_a_repair_that_is_itself_killed_is_taken_up_again(
    unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x_0.mcap"
    ends = chunk_ends(unfinished)
    path.write_bytes(unfinished.read_bytes()[: ends[3] - 10_000])
    monkeypatch.setattr("capture.bag.salvage._end", lambda *_: b"")  # nothing of it has reached the disk
    monkeypatch.setattr("capture.bag.salvage.discard_torn", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        finish_file(path)
    monkeypatch.undo()
    assert [each.suffix.startswith(".torn-") for each in tmp_path.iterdir()].count(True) == 1
    assert finish_file(path).rescued == 18
    assert numbers_in(path) == list(range(58))
    assert list(tmp_path.iterdir()) == [path]


def test_blocks_that_never_reached_the_disk_are_noticed_and_set_aside(unfinished: Path, tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    ends = chunk_ends(unfinished)
    data = bytearray(unfinished.read_bytes()[: ends[-1]])
    data[-8192:-4096] = bytes(4096)  # as after a power cut: the length is there, the content is not
    path.write_bytes(data)
    finish_file(path)
    assert numbers_in(path) == list(range(180))
    assert len(list(tmp_path.glob("x_0.mcap.damaged-*"))) == 1


def torn(unfinished: Path, path: Path) -> tuple[bytearray, list[int]]:
    """A file that ends 10 kB before its fourth chunk would, with 18 whole messages of it; and where those begin."""
    data = bytearray(unfinished.read_bytes()[: chunk_ends(unfinished)[3] - 10_000])
    starts, at = list[int](), chunk_ends(unfinished)[2]
    while data[at] != Opcode.CHUNK:
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    at += 9 + 40
    while at + 9 + int.from_bytes(data[at + 1 : at + 9], "little") <= len(data):
        starts.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    path.write_bytes(data)
    return data, starts


NOT_AS_WRITTEN: dict[str, tuple[int, bytes]] = {  # offset in the message's record -> what stands there
    "a length of 12": (1, (12).to_bytes(8, "little")),
    "a length beyond the chunk": (1, (1 << 20).to_bytes(8, "little")),
    "no opcode": (0, b"\0"),
    "an opcode that is in no chunk": (0, b"\x0c"),
    "a channel that nothing states": (9, b"\x63\0"),
    "a sequence number that was there before": (11, bytes(4)),
    "a time outside of the chunk's": (15, bytes(8)),
    "a payload's length that does not fit": (9 + 22 + len(Packing(STREAMS[1]).head(0, 0, 0, 0)) - 4, b"\xff"),
}


@pytest.mark.parametrize("what", NOT_AS_WRITTEN)
def test_a_torn_chunk_is_read_up_to_what_does_not_fit_and_the_rest_is_set_aside(
    unfinished: Path, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "x_0.mcap"
    data, starts = torn(unfinished, path)
    at, changed = NOT_AS_WRITTEN[what]
    data[starts[11] + at : starts[11] + at + len(changed)] = changed
    path.write_bytes(data)
    summary = made_whole(path, STREAMS)
    assert numbers_in(path) == list(range(50)), "what does not fit may have begun in the message in front of it"
    assert summary.rescued == 10
    (aside,) = tmp_path.glob("x_0.mcap.damaged-*")
    assert data.endswith(aside.read_bytes())
    assert len(aside.read_bytes()) >= len(data) - starts[11]


def test_a_page_of_a_torn_chunk_that_never_reached_the_disk_ends_what_is_taken_of_it(
    unfinished: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x_0.mcap"
    data, starts = torn(unfinished, path)
    page = -(-starts[11] // 4096) * 4096  # within that message's payload
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    assert made_whole(path, STREAMS).rescued == 11
    assert numbers_in(path) == list(range(51))
    assert len(list(tmp_path.glob("x_0.mcap.damaged-*"))) == 1


def test_garbage_in_the_midst_of_a_file_costs_no_message_but_those_it_hit(unfinished: Path, tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    data, (start, end) = bytearray(unfinished.read_bytes()), chunks_of(unfinished)[4]
    data[start + 100 : end + 30] = b"\xee" * (end + 30 - start - 100)
    path.write_bytes(data)
    with pytest.raises(UnwalkableError, match="whole chunks lie behind byte"):
        finish_file(path)
    assert path.read_bytes() == data
    made_whole(path, STREAMS)
    assert numbers_in(path) == [number for number in range(200) if not 60 <= number < 80]
    assert (tmp_path / "x_0.mcap.damaged-0").read_bytes() == data
    assert finish_file(path).intact


@pytest.mark.parametrize("length", [1 << 40, 3])
def test_a_chunk_whose_length_was_damaged_costs_no_message_behind_it(
    unfinished: Path, tmp_path: Path, length: int
) -> None:
    path = tmp_path / "x_0.mcap"
    data, (start, _) = bytearray(unfinished.read_bytes()), chunks_of(unfinished)[4]
    data[start + 1 : start + 9] = length.to_bytes(8, "little")
    path.write_bytes(data)
    made_whole(path, STREAMS)
    assert numbers_in(path) == [number for number in range(200) if not 60 <= number < 80]
    assert (tmp_path / "x_0.mcap.damaged-0").read_bytes() == data


def test_without_its_first_chunk_a_file_is_read_by_what_recording_json_says_of_its_streams(
    unfinished: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x_0.mcap"
    data, (start, end) = bytearray(unfinished.read_bytes()), chunks_of(unfinished)[0]
    data[start + 60 : end] = os.urandom(end - start - 60)
    data = data[: chunk_ends(unfinished)[-1] - 30_000]  # and its end is torn, as a kill leaves it
    path.write_bytes(data)
    summary = made_whole(path, STREAMS)
    assert numbers_in(path) == list(range(len(numbers_in(path))))
    assert 180 <= len(numbers_in(path)) < 200
    assert summary.rescued == len(numbers_in(path)) - 180
    assert sum(summary.counts.values()) == len(numbers_in(path))


def test_a_file_whose_chunks_are_compressed_is_finished_too(tmp_path: Path) -> None:
    folder = write_recording(Workspace(tmp_path), segments=1)
    path, packed = next(folder.glob("*.mcap")), tmp_path / "x_0.mcap"
    with packed.open("wb") as file:
        rechunk(path, file.write)
    os.truncate(packed, packed.stat().st_size - 40)
    before = packed.read_bytes()
    assert made_whole(packed, STREAMS).messages == FileSummary(counts=load_info(folder).segments[0].counts).messages  # fmt: skip
    assert (tmp_path / "x_0.mcap.damaged-0").read_bytes() == before


def test_a_whole_recording_that_only_lacks_its_hashes_gets_them_and_stays_as_it_was(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "SHA256SUMS").unlink()
    (folder / "metadata.yaml").unlink()
    assert repair(folder).done
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    path.write_bytes(b"SQLite format 3\0" * 10)
    with pytest.raises(CaptureError, match="is not an MCAP file: it begins with 53 51"):
        finish_file(path)
    assert path.read_bytes() == b"SQLite format 3\0" * 10


def test_a_truncated_recording_names_its_repair_and_is_whole_after_it(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 300, padding=50):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=1.2)
    before = open_recording(folder).counts
    bag = next(folder.glob("*.mcap"))
    os.truncate(bag, bag.stat().st_size * 2 // 3)
    with pytest.raises(CaptureError, match=f"is cut short; run: fieldrig repair {folder}"):
        open_recording(folder)
    assert repair(folder).done
    recording = open_recording(folder)
    lacking = sum(before.values()) - sum(recording.counts.values())
    reason = recording.info.reasons[0]
    assert reason.startswith(f"{bag.name} was damaged after it was recorded: ")
    assert int(reason.split()[-7]) >= lacking, "health and clocks are counted, too"
    assert set(recording.clocks) == {"robot/state", "robot/action"}
    assert 0.3 < recording.counts["robot/state"] / before["robot/state"] < 0.7
    assert read_strictly(folder) > 0
    assert verify(folder).damage == []
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_repair_of_many_small_packets_does_not_walk_them(tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    bag = BagWriter(path, STREAMS)
    bag.add_health(1, [])
    bag.close_chunk()
    for number in range(100_000):
        bag.add(number % 2, number // 2, Packet("a/data", Stamps(10**18 + number, number), b"tiny"), 0)
    bag.close_chunk()
    bag._hash.stop()
    bag._syncer.stop()
    bag._file.close()
    started = time.process_time()
    summary = finish_file(path)
    repaired_s = time.process_time() - started
    started = time.process_time()
    assert len(numbers_in(path)) == 100_000
    assert summary.messages == 100_001
    assert repaired_s < (time.process_time() - started) / 5


def test_no_flipped_byte_goes_unnoticed_and_none_breaks_the_reader(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    bag = next(folder.glob("*.mcap"))
    whole, chance = bag.read_bytes(), random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        bag.write_bytes(data)
        try:
            verdict = verify(folder).verdict
        except CaptureError:
            verdict = "bad"  # it cannot even be opened
        assert verdict == "bad"


def test_a_file_damaged_at_its_beginning_is_left_as_it_is(unfinished: Path, tmp_path: Path) -> None:
    path = tmp_path / "x_0.mcap"
    data = bytearray(unfinished.read_bytes())
    data[8:17] = bytes(9)
    path.write_bytes(data)
    with pytest.raises(CaptureError, match="damaged at its very beginning; nothing of it was changed"):
        finish_file(path)
    assert path.read_bytes() == data
