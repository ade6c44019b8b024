"""Everything that may happen to a recording on a disk: what verify says, what repair does, and what verify says then.

The two tell one story: repair does what verify sends people to it for; what it cannot bring back, both say in the same words. No damaged
byte is thrown away, nothing that was whole is touched, and a second repair finds nothing to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from capture.attend import record
from capture.bag.segments import Split
from capture.checksums import sha256_of, write_sums
from capture.errors import CaptureError
from capture.importers.kitti import import_kitti
from capture.limits import Limits
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.repair import repair
from capture.segment_files import UNDER_WAY
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.chunks import chunks_of
from tests.capture.recordings import write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig
from tests.devices.test_kitti import a_drive

NOBODY = 65534
NOISE = bytes(range(7, 256, 3))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished recording of several files."""
    state, action = free_ports(2)
    limits = Limits(split=Split(bytes_max=150_000))
    workspace = Workspace(tmp_path_factory.mktemp("recorded"))
    with Sender({"state": state, "action": action}, 200, padding=60):
        folder = record(robot_rig(state, action), workspace, duration_s=2.0, limits=limits)
    assert len(load_info(folder).segments) >= 3
    assert (verify(folder).verdict, verify(folder).doubts) == ("good", [])
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / recorded.name)


def segment(folder: Path, number: int = 1) -> Path:
    return folder / f"{folder.name}_{number}.mcap"


def overwrite(path: Path, offset: int, data: bytes = NOISE) -> None:
    whole = bytearray(path.read_bytes())
    offset %= len(whole)
    whole[offset : offset + len(data)] = data[: len(whole) - offset]
    path.write_bytes(whole)


def in_chunk(number: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        start, end = chunks_of(segment(folder))[number]
        overwrite(segment(folder), (start + end) // 2)

    return damage


def at(offset: int, data: bytes = NOISE) -> Callable[[Path], None]:
    return lambda folder: overwrite(segment(folder), offset, data)


def cut(where: Callable[[Path], int]) -> Callable[[Path], None]:
    return lambda folder: os.truncate(segment(folder), where(segment(folder)))


def change_info(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "recording.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2))

    return damage


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def remove_all(folder: Path) -> None:
    for path in folder.glob("*.mcap"):
        path.unlink()


def both(*damages: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for each in damages:
            each(folder)

    return damage


def make_folder(folder: Path) -> None:
    segment(folder).unlink()
    segment(folder).mkdir()


def make_dangling(folder: Path) -> None:
    segment(folder).unlink()
    segment(folder).symlink_to(folder / "nowhere")


def swap_first_two(folder: Path) -> None:
    kept = segment(folder, 0).read_bytes()
    segment(folder, 0).write_bytes(segment(folder, 1).read_bytes())
    segment(folder, 1).write_bytes(kept)


def flip_in_info(place: bytes, at: int = 1) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "recording.json"
        data = bytearray(path.read_bytes())
        data[data.index(place) + at] ^= 4
        path.write_bytes(data)

    return damage


def other_payload(folder: Path) -> None:
    """A file as whole as the one that was recorded, of which one message says something else."""
    path = segment(folder)
    data, (start, end) = bytearray(path.read_bytes()), chunks_of(path)[2]
    data[end - 3] ^= 1
    data[start + 33 : start + 37] = zlib.crc32(data[start + 49 : end]).to_bytes(4, "little")
    path.write_bytes(data)


def change_sums(change: Callable[[str, str], str]) -> Callable[[Path], None]:
    """change: of the digest and the name in the line of the second file."""

    def damage(folder: Path) -> None:
        path, name = folder / "SHA256SUMS", segment(folder).name
        lines = (line.split("  ") for line in path.read_text().splitlines())
        path.write_text("".join(change(*line) if line[1] == name else f"{line[0]}  {line[1]}\n" for line in lines))

    return damage


def hash_anew(folder: Path) -> None:
    change_sums(lambda _, name: f"{sha256_of(segment(folder))}  {name}\n")(folder)


@dataclass(frozen=True)
class Case:
    """verified, repaired, then: patterns of what verify says, what repair says (done, then what is left), and what verify says after it."""

    name: str
    damage: Callable[[Path], object]
    verified: str
    repaired: str
    then: str


GOOD = r"^good$"
AGAIN = r"^_1.mcap is the file again that was recorded$"
LOST = r"_1.mcap was damaged after it was recorded: \d+ of its \d+ messages are missing"
NO_LINE = r"SHA256SUMS: not a line of sha256sum: .*; run: fieldrig repair"
CASES = [
    Case("the magic at its beginning is garbage", at(0, NOISE[:8]), r"does not begin like", AGAIN, GOOD),
    Case("its header is garbage", at(8, NOISE[:8]), r"no whole record", AGAIN, GOOD),
    Case("the first chunk is garbage", in_chunk(0), r"_1.mcap: the chunk at byte .* CRC differs.*; _1.mcap: \d+ records hold messages of streams that nothing", LOST, r"^doubtful: " + LOST),
    Case("a chunk in the midst is garbage", in_chunk(2), r"_1.mcap: the chunk at byte .* CRC differs", LOST, r"^doubtful: " + LOST),
    Case("the last chunk is garbage", in_chunk(-1), r"CRC differs", LOST, r"^doubtful: " + LOST),
    Case("the summary is garbage", at(-600), r"cut short; run: fieldrig repair", AGAIN, GOOD),
    Case("the footer is garbage", at(-30), r"cut short; run: fieldrig repair", AGAIN, GOOD),
    Case("the magic at its end is garbage", at(-4), r"cut short; run: fieldrig repair", AGAIN, GOOD),
    Case("first chunk and footer are garbage", both(in_chunk(0), at(-30)), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("a chunk and the footer are garbage", both(in_chunk(2), at(-30)), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is cut in its summary", cut(lambda path: path.stat().st_size - 50), r"cut short; run", AGAIN, GOOD),
    Case("it is cut in a chunk", cut(lambda path: chunks_of(path)[2][0] + 2000), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is cut in its first chunk", cut(lambda path: chunks_of(path)[0][0] + 90), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is cut in its magic", cut(lambda _: 5), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is empty", cut(lambda _: 0), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is somebody else's file", lambda folder: write(segment(folder).name, b"SQLite format 3\0" * 900)(folder), r"cut short; run", LOST, r"^doubtful: " + LOST),
    Case("it is missing", lambda folder: segment(folder).unlink(), r"_1.mcap is missing, and with it \d+ messages", r"^\| .*_1.mcap is missing, and with it \d+ messages", r"_1.mcap is missing, and with it \d+ messages"),
    Case("all are missing", remove_all, r"_0.mcap is missing, .*_1.mcap is missing", r"_0.mcap is missing, .*_1.mcap is missing", r"_0.mcap is missing, .*_1.mcap is missing"),
    Case("two have changed places", swap_first_two, r"SHA-256 differs", r"^\| .*SHA-256 differs", r"SHA-256 differs"),
    Case("a folder stands in its place", make_folder, r"_1.mcap is no file, but a folder", r"_1.mcap is no file, but a folder", r"_1.mcap is no file, but a folder"),
    Case("a link that leads nowhere stands in its place", make_dangling, r"_1.mcap is no file", r"_1.mcap is no file", r"_1.mcap is no file"),
    Case("a foreign file lies beside it", write("notes.txt", b"rain"), r"^doubtful: notes.txt stands in no line", r"^whole$", r"^doubtful: notes.txt stands in no line"),
    Case("a copy of it lies beside it", lambda folder: shutil.copy(segment(folder), folder / f"{folder.name}_1 (copy).mcap"), r"^doubtful: _1 .copy..mcap stands in no line", r"^whole$", r"^doubtful: _1 .copy..mcap stands in no line"),
    Case("recording.json is missing", remove("recording.json"), r"holds no recording.json; put it back from a copy", r"holds no recording.json; put it back from a copy", r"holds no recording.json; put it back from a copy"),
    Case("recording.json is empty", write("recording.json", b""), r"recording.json: Invalid JSON.*; put it back from a copy", r"recording.json: Invalid JSON.*; put it back from a copy", r"recording.json: Invalid JSON.*; put it back from a copy"),
    Case("recording.json is no JSON", write("recording.json", NOISE), r"recording.json is no text; put it", r"recording.json is no text; put it", r"recording.json is no text; put it"),
    Case("recording.json is of a later version", change_info(format="fieldrig.recording/3"), r"recording.json: format: this fieldrig does not know 'fieldrig.recording/3'; use the one that recorded it", r"recording.json: format: this fieldrig does not know 'fieldrig.recording/3'; use the one that recorded it", r"recording.json: format: this fieldrig does not know 'fieldrig.recording/3'; use the one that recorded it"),
    Case("a bit of recording.json has flipped", flip_in_info(b'"state"'), r"recording.json is damaged, but can be made whole; run: fieldrig repair", r"^recording.json is the file again that was recorded$", GOOD),
    Case("a bit of recording.json has flipped that it can be read without", flip_in_info(b'"python": "', 11), r"recording.json is not the file.*; run: fieldrig repair", r"^recording.json is the file again that was recorded$", GOOD),
    Case("a bit of recording.json has flipped, and a chunk is garbage", both(flip_in_info(b'"rig"'), in_chunk(2)), r"recording.json is damaged, but can be made whole; run: fieldrig repair", r"^recording.json is the file again that was recorded; .*" + LOST, r"^doubtful: " + LOST),
    Case("its counts were altered", change_info(counts={"robot/state": 7, "robot/action": 7}), r"recording.json is not the file that was recorded.*recording.json says 7", r"^\| .*recording.json says 7", r"recording.json is not the file that was recorded.*recording.json says 7"),
    Case("a word of recording.json was altered", change_info(site="moon"), r"recording.json is not the file that was recorded", r"^\| recording.json is not", r"recording.json is not the file that was recorded"),
    Case("recording.json was altered and a chunk is garbage", both(change_info(site="moon"), in_chunk(2)), r"recording.json is not the file.*CRC differs|CRC differs.*recording.json is not the file", LOST + ".*recording.json had been altered", r"^doubtful: .*" + LOST + ".*recording.json had been altered"),
    Case("SHA256SUMS is missing", remove("SHA256SUMS"), r"has no SHA256SUMS; run: fieldrig repair", r"^SHA256SUMS was missing, and was made anew; nothing tells whether these are as they were recorded: recording.json$", GOOD),
    Case("SHA256SUMS is garbage", write("SHA256SUMS", NOISE), NO_LINE, r"^SHA256SUMS was damaged, and was made anew; nothing tells .*: recording.json$", GOOD),
    Case("a line of SHA256SUMS is garbage", lambda folder: (folder / "SHA256SUMS").write_bytes((folder / "SHA256SUMS").read_bytes() + NOISE) and None, NO_LINE, r"^SHA256SUMS was damaged, and was made anew$", GOOD),
    Case("SHA256SUMS is garbage and a chunk is, too", both(write("SHA256SUMS", NOISE), in_chunk(2)), NO_LINE, r"^SHA256SUMS was damaged, and was made anew; .*recording.json; " + LOST, r"^doubtful: " + LOST),
    Case("SHA256SUMS names a file that is absent", lambda folder: (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text() + "0" * 64 + "  gone.bin\n"), r"gone.bin is missing", r"^\| gone.bin is missing$", r"gone.bin is missing"),
    Case("SHA256SUMS is empty", write("SHA256SUMS", b""), r"SHA256SUMS has no line for .*_1.mcap.*recording.json; run: fieldrig repair", r"^SHA256SUMS was damaged; made anew: lines for _0.mcap, .*metadata.yaml, recording.json; nothing tells whether these are as they were recorded: metadata.yaml, recording.json$", GOOD),
    Case("its line in SHA256SUMS is gone", change_sums(lambda *_: ""), r"SHA256SUMS has no line for _1.mcap; run: fieldrig repair", r"^SHA256SUMS was damaged; made anew: lines for _1.mcap$", GOOD),
    Case("a digit in its line of SHA256SUMS is wrong", change_sums(lambda digest, name: f"{digest[1:]}{(int(digest[0], 16) + 1) % 16:x}  {name}\n"), r"SHA256SUMS states another SHA-256 of _1.mcap than recording.json does, and than it has; run: fieldrig repair", r"^SHA256SUMS was damaged; made anew: lines for _1.mcap$", GOOD),
    Case("it was made anew with another payload, and hashed", both(other_payload, hash_anew), r" is damaged: _1.mcap is not the file that was recorded: its SHA-256 differs from the one in recording.json$", r"^\| _1.mcap is not the file", r"_1.mcap is not the file"),
    Case("it was made anew with another payload, and its line is gone", both(other_payload, change_sums(lambda *_: "")), r"SHA256SUMS has no line for _1.mcap; _1.mcap is not the file that was recorded: its SHA-256 differs from the one in recording.json; run", r"^SHA256SUMS was damaged; made anew: lines for _1.mcap \| _1.mcap is not the file", r"_1.mcap is not the file"),
    Case("metadata.yaml is missing", remove("metadata.yaml"), r"metadata.yaml is missing; run: fieldrig repair", r"^metadata.yaml was missing or damaged, and was made anew$", GOOD),
    Case("metadata.yaml is garbage", write("metadata.yaml", NOISE), r"metadata.yaml is not the file that was recorded.*; run: fieldrig repair", r"^metadata.yaml was missing or damaged, and was made anew$", GOOD),
    Case("metadata.yaml and a file are missing", both(remove("metadata.yaml"), lambda folder: segment(folder).unlink()), r"metadata.yaml is missing; .*_1.mcap is missing", r"^metadata.yaml was missing or damaged, and was made anew \| .*_1.mcap is missing", r"_1.mcap is missing"),
]  # fmt: skip


def verify_says(folder: Path, *, decode: bool = True) -> str:
    try:
        found = verify(folder, decode=decode)
    except CaptureError as error:
        return said(folder, str(error))
    if found.damage:
        return said(folder, found.damaged_in_words)
    return said(folder, ": ".join([found.verdict, *(["; ".join(found.doubts)] if found.doubts else [])]))


def repair_says(folder: Path) -> str:
    try:
        done = repair(folder, thorough=True)
    except CaptureError as error:
        return said(folder, str(error))
    if not done.mended and not done.left:
        assert not done.done
        return "whole"
    return said(folder, " ".join([*(["; ".join(done.mended)] if done.mended else []), *(["| " + "; ".join(done.left)] if done.left else [])]))  # fmt: skip


def said(folder: Path, words: str) -> str:
    assert "\n" not in words
    return words.replace(f"{folder}/", "").replace(folder.name, "")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def is_kept(damaged: bytes, name: str, after: dict[str, bytes]) -> bool:
    """Whether the bytes are still there: as they were, or in what was set aside; but for a chunk that was cut off."""
    if damaged in after.values():
        return True
    asides = [data for other, data in after.items() if other.startswith(f"{name}.damaged-")]
    made = after[name]
    for aside in asides:
        front = damaged[: len(damaged) - len(aside)]
        if damaged.endswith(aside) and any(other.startswith(front) for other in (made, *asides)):
            return True
    ends = [end for _, end in chunks_of(damaged)]
    return any(other.startswith(damaged[: ends[-1] if ends else 0]) for other in (made, *asides))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verify_and_repair_tell_one_story(folder: Path, case: Case) -> None:
    case.damage(folder)
    before = content(folder)
    assert re.search(case.verified, verify_says(folder))
    repaired = repair_says(folder)
    assert re.search(case.repaired, repaired)
    then = verify_says(folder)
    assert re.search(case.then, then)
    after = content(folder)
    print(f"\n| {case.name} | {repaired} | {then} |")  # noqa: T201
    for name, data in before.items():
        assert is_kept(data, name, after), f"{name}: bytes of it are gone"
    assert "fieldrig repair" not in then, "repair has done all that it can"
    if " | " in f" {repaired}":
        assert repaired.partition("| ")[2] in then, "what is left is told in the same words"
    assert repair_says(folder) in {"whole", f"| {repaired.partition('| ')[2]}", repaired}
    assert content(folder) == after, "a second repair changes nothing"
    if then.startswith(("good", "doubtful")):
        recording = open_recording(folder)
        counts = {name: sum(1 for _ in recording.packets([name])) for name in recording.streams}
        assert counts == recording.counts
        with AnyReader([folder]) as reader:
            assert sum(1 for _ in reader.messages()) == reader.message_count


@pytest.fixture
def cut_off(folder: Path) -> Path:
    """As a killed recorder leaves it: two files closed, the last one torn, and nothing said of it."""
    info = load_info(folder)
    for path in folder.glob("*.mcap"):
        if path.name not in {segment(folder, number).name for number in range(3)}:
            path.unlink()
    for name in ("SHA256SUMS", "metadata.yaml"):
        (folder / name).unlink()
    path = segment(folder, 2)
    os.truncate(path, chunks_of(path)[-1][1] - 500)
    changes: dict[str, object] = {
        "state": "recording",
        "segments": info.segments[:2],
        "counts": {},
        "verdict": None,
        "ended_ns": None,
        "clocks": {},
    }
    info.model_copy(update=changes).save(folder)
    return folder


FORCE = r"ended by force"
KILLED = [
    Case("nothing else", lambda _: None, "", FORCE, r"^doubtful: "),
    Case("a closed file is missing", lambda folder: segment(folder).unlink(), "", r"_1.mcap is missing, and with it \d+ messages when it was repaired \| _1.mcap is missing", r"_1.mcap is missing, and with it \d+ messages$"),
    Case("a closed file is empty", cut(lambda _: 0), "", LOST, r"^doubtful: .*" + LOST),
    Case("a closed file is cut", cut(lambda path: chunks_of(path)[2][0] + 2000), "", LOST, r"^doubtful: .*" + LOST),
    Case("a closed file's first chunk and footer are garbage", both(in_chunk(0), at(-30)), "", LOST, r"^doubtful: .*" + LOST),
    Case("the first chunk of the last is garbage", lambda folder: overwrite(segment(folder, 2), 700), "", r"_2.mcap.damaged-0 holds bytes that could not be read", r"^doubtful: .*_2.mcap.damaged-0 holds"),
    Case("a chunk of the last has no head", lambda folder: overwrite(segment(folder, 2), chunks_of(segment(folder, 2))[1][0]), "", r"_2.mcap.damaged-\d+ holds bytes that could not be read", r"^doubtful: .*_2.mcap.damaged-\d+ holds"),
    Case("the last is empty", lambda folder: os.truncate(segment(folder, 2), 0), "", r"_2.mcap holds no message", r"^doubtful: .*_2.mcap holds no message"),
    Case("the last is somebody else's file", lambda folder: write(segment(folder, 2).name, b"SQLite format 3\0" * 900)(folder), "", r"_2.mcap holds no message; _2.mcap.damaged-0", r"^doubtful: .*_2.mcap holds no message"),
]  # fmt: skip


@pytest.mark.parametrize("other", ["robot/actiom", "2obot/action"])
def test_messages_of_a_stream_that_recording_json_does_not_name_are_told(cut_off: Path, other: str) -> None:
    path = cut_off / "recording.json"
    path.write_text(path.read_text().replace('"robot/action":', f'"{other}":', 1))
    told = r"/robot/action: \d+ messages of a stream that recording.json does not name"
    assert re.search(told + r".* \| .*" + told, repair_says(cut_off))
    assert re.search(" is damaged: .*" + told, verify_says(cut_off))
    assert any(re.search(told, reason) for reason in load_info(cut_off).reasons)


@pytest.mark.parametrize("case", KILLED, ids=lambda case: case.name)
def test_of_a_recording_that_was_cut_off_too(cut_off: Path, case: Case) -> None:
    case.damage(cut_off)
    before = content(cut_off)
    assert "was not finished by its recorder; run: fieldrig repair" in verify_says(cut_off)
    repaired = repair_says(cut_off)
    assert re.search(case.repaired, repaired)
    then = verify_says(cut_off)
    print(f"\n| {case.name} | {repaired} | {then} |")  # noqa: T201
    assert re.search(case.then, then)
    after = content(cut_off)
    for name, data in before.items():
        assert name == "recording.json" or is_kept(data, name, after), f"{name}: bytes of it are gone"
    assert "fieldrig repair" not in then
    assert repair_says(cut_off) in {"whole", f"| {repaired.partition('| ')[2]}"}
    assert content(cut_off) == after, "a second repair changes nothing"
    recording = open_recording(cut_off)
    assert {name: sum(1 for _ in recording.packets([name])) for name in recording.streams} == recording.counts


def test_a_file_that_is_found_again_and_put_back_makes_a_repaired_recording_whole(cut_off: Path) -> None:
    kept = segment(cut_off).read_bytes()
    segment(cut_off).unlink()
    repair(cut_off)
    assert verify(cut_off).verdict == "bad"
    segment(cut_off).write_bytes(kept)
    found = verify(cut_off)
    assert (found.verdict, found.damage) == ("doubtful", [])
    assert repair_says(cut_off) == "whole"


def test_a_repaired_file_that_is_lost_is_made_again_from_what_its_last_repair_had_set_aside(folder: Path) -> None:
    for damage in (in_chunk(2), in_chunk(0)):
        damage(folder)
        repair(folder)
    before, told = content(folder), verify_says(folder)
    assert sum(".damaged-0" in name for name in before) == 2
    segment(folder).unlink()
    repair(folder)
    assert content(folder) == before
    assert verify_says(folder) == told


def test_of_files_set_aside_a_repair_that_was_killed_in_between_puts_back_the_one_it_was_at_work_on(
    folder: Path,
) -> None:
    path = segment(folder)
    for number in range(10):
        aside = f"{path.name}.damaged-0{f'.{number + 1}' if number else ''}"
        write(aside, b"older")(folder)
    (folder / UNDER_WAY).write_text(f"{path.name}\n")
    path.rename(folder / f"{path.name}.damaged-0.11")
    assert repair_says(folder).startswith("_1.mcap is the file again that was recorded")
    assert verify(folder).damage == []


def test_sums_made_anew_by_a_repair_that_takes_up_another_do_not_name_what_it_clears_away(folder: Path) -> None:
    (folder / UNDER_WAY).write_text(f"{segment(folder).name}\n")
    (folder / "SHA256SUMS").unlink()
    repair(folder)
    assert verify_says(folder) == "good"


@pytest.mark.parametrize("seed", range(30))
def test_any_noise_in_any_file_is_mended_or_told_by_both(
    recorded: Path, cut_off: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    folder = cut_off if seed % 2 else shutil.copytree(recorded, tmp_path / "copy" / recorded.name)
    for _ in range(chance.choice((1, 1, 2))):
        path = chance.choice([path for path in sorted(folder.iterdir()) if path.is_file()])
        offset = chance.choice((0, chance.randrange(2000), chance.randrange(10**6), -chance.randrange(1, 3000)))
        overwrite(path, offset, chance.choice((b"\0", bytes(9), b"\x7f", chance.randbytes(40), chance.randbytes(4000))))
    before, told = content(folder), verify_says(folder)
    repaired = repair_says(folder)
    then, after = verify_says(folder), content(folder)
    assert repair_says(folder) in {"whole", f"| {repaired.partition('| ')[2]}", repaired}
    assert content(folder) == after, "a second repair changes nothing"
    if then == told:
        assert (then == "good") == (repaired == "whole") or then.startswith("doubtful")
    for name, data in before.items():
        if not (seed % 2 and name == "recording.json"):
            assert is_kept(data, name, after), f"{name}: bytes of it are gone"
    if then.startswith(("good", "doubtful")):
        recording = open_recording(folder)
        assert {name: sum(1 for _ in recording.packets([name])) for name in recording.streams} == recording.counts


TWICE = [
    both(in_chunk(0), at(-30)),
    both(write("SHA256SUMS", NOISE), in_chunk(2), change_info(site="moon")),
    cut(lambda path: chunks_of(path)[2][0] + 2000),
    None,
]


@pytest.mark.parametrize("damage", TWICE, ids=range(len(TWICE)))
def test_a_repair_that_is_killed_anywhere_is_taken_up_by_the_next(
    recorded: Path, cut_off: Path, tmp_path: Path, damage: Callable[[Path], object] | None
) -> None:
    """Killed in front of each of the calls that change what is on the disk; the end is the same as that of a repair in peace."""
    source = tmp_path / "damaged" / recorded.name
    shutil.copytree(recorded if damage else cut_off, source)
    if damage:
        damage(source)
    peaceful = shutil.copytree(source, tmp_path / "peaceful" / source.name)
    repair(peaceful)
    wanted, story = content(peaceful), verify_says(peaceful, decode=False)
    for step in range(1000):
        folder = shutil.copytree(source, tmp_path / str(step) / source.name)
        was_killed = repaired_until(step, folder)
        if was_killed:
            assert verify_says(folder, decode=False) != "good" or story == "good"
            repair(folder)
        assert verify_says(folder, decode=False) == story, f"killed at step {step}"
        after = content(folder)
        for name in wanted:
            assert name in {"recording.json", "SHA256SUMS"} or after[name] == wanted[name], f"step {step}: {name}"
        assert not [name for name in after if name.endswith(".tmp") or ".torn-" in name]
        if not was_killed:
            return
    pytest.fail("it never came to its end")


def repaired_until(step: int, folder: Path) -> bool:
    """A repair in a process of its own, killed in front of its step-th change; whether it was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    left = [step]

    def killing(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return function(*arguments, **options)

        return call

    for owner, names in ((os, ("fsync", "replace", "rename", "unlink")), (Path, ("touch",))):
        for name in names:
            setattr(owner, name, killing(getattr(owner, name)))
    with contextlib.suppress(BaseException):
        repair(folder)
        os._exit(0)
    os._exit(1)


@pytest.mark.parametrize("name", ["recording.json", "SHA256SUMS", "metadata.yaml", "_1.mcap"])
def test_what_may_not_be_read_is_one_line(strangers: Path, name: str) -> None:
    path = segment(strangers) if name == "_1.mcap" else strangers / name
    path.chmod(0)
    with without_rights():
        words = [verify_says(strangers), repair_says(strangers)]
    assert all(re.search(rf"cannot re(ad|pair).*{name}|{name} cannot be read", each) for each in words), words
    assert all("Permission denied" in each for each in words)


def test_a_whole_recording_in_a_folder_that_may_not_be_written_is_whole(strangers: Path) -> None:
    strangers.chmod(0o555)
    with without_rights():
        assert (verify_says(strangers), repair_says(strangers)) == ("good", "whole")


def test_what_cannot_be_repaired_for_lack_of_rights_stays_as_it_was(strangers: Path) -> None:
    at(-30)(strangers)
    before = content(strangers)
    strangers.chmod(0o555)
    segment(strangers).chmod(0o444)
    with without_rights():
        assert re.search(r"cut short; run: fieldrig repair", verify_says(strangers))
        says = repair_says(strangers)
    assert re.search(r"cannot repair .*: Permission denied; see whether you may write there", says)
    assert content(strangers) == before


@pytest.fixture
def strangers(recorded: Path) -> Iterator[Path]:
    """A recording that belongs to somebody who has no rights beside, where he can reach it."""
    with tempfile.TemporaryDirectory(prefix="fieldrig-strangers-") as place:
        Path(place).chmod(0o755)
        folder = shutil.copytree(recorded, Path(place) / recorded.name)
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        yield folder
        folder.chmod(0o755)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_disk_too_full_for_a_repair_loses_nothing_and_is_one_line(small_disk: Callable[[int], Path]) -> None:
    place = small_disk(30)
    source = write_recording(Workspace(place.parent / "elsewhere"), segments=1, packets=250, padding=900)
    folder = shutil.copytree(source, place / source.name)
    path = next(folder.glob("*.mcap"))
    (place / "filling").write_bytes(bytes(max(0, shutil.disk_usage(place).free - path.stat().st_size // 2)))
    overwrite(path, path.stat().st_size // 2)
    damaged = path.read_bytes()
    assert re.search(r"CRC differs.*; run: fieldrig repair", verify_says(folder))
    assert re.search(
        r"^cannot repair .*: No space left on device; free as much as its largest file takes", repair_says(folder)
    )
    assert path.read_bytes() == damaged
    assert not list(folder.glob("*.tmp"))
    (place / "filling").unlink()
    assert re.search(
        r"_0.mcap was damaged after it was recorded: \d+ of its \d+ messages are missing", repair_says(folder)
    )
    assert verify_says(folder).startswith("doubtful: _0.mcap was damaged")


def test_a_recording_whose_recording_json_names_no_files_is_mended_too(tmp_path: Path) -> None:
    """As imports were once: SHA256SUMS alone says what they were."""
    folder = import_kitti(a_drive(tmp_path / "drive"), Workspace(tmp_path))
    load_info(folder).model_copy(update={"segments": ()}).save(folder)
    write_sums(folder)
    whole = shutil.copytree(folder, tmp_path / "copy" / folder.name)
    os.truncate(segment(whole, 0), segment(whole, 0).stat().st_size - 30)
    assert repair_says(whole) == "_0.mcap is the file again that was recorded"
    assert verify_says(whole) == "good"
    overwrite(segment(folder, 0), sum(chunks_of(segment(folder, 0))[-1]) // 2)
    assert re.search(r"CRC differs.*run: fieldrig repair", verify_says(folder))
    assert re.search(
        r"_0.mcap was damaged after it was recorded: \d of its 6 messages are missing", repair_says(folder)
    )
    assert verify_says(folder).startswith("bad: _0.mcap was damaged"), "its one chunk was all that there was"
    assert repair_says(folder) == "whole"
