"""The catalog: it finds what is there, as it is now, and may be lost, broken or somebody else's at any time."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capture import recording_info
from capture.catalog.catalog import Listing, search_catalog
from capture.catalog.index import Value
from capture.catalog.search import Search, moment_ns
from capture.catalog.update import INFO_NAME
from capture.errors import CaptureError
from capture.lock import FolderLock
from capture.recording_info import EpisodeInfo, Losses, MarkInfo, RecordingInfo, StreamInfo
from capture.workspace import Workspace
from devices.rig import rig_from_dict

ROOT = Path(__file__).parent.parent.parent
HOUR_NS = 3_600 * 10**9
START_NS = 1_767_225_600 * 10**9  # 2026-01-01
SITES = ("Nordhof", "Gärtnerei", "yard behind the hall")


def describe(workspace: Workspace, number: int, **changes: object) -> Path:
    """A folder with a recording.json, as far as the catalog looks."""
    rig = rig_from_dict(
        {
            "name": ("van", "cart")[number % 2],
            "sensors": {
                "lidar": {"driver": "velodyne", "model": "VLP-16"},
                "robot": {"driver": "named_vector", "ports": {"state": 9001}},
            },
        }
    )
    folder = workspace.recordings / f"r{number:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, object] = {
        "id": folder.name, "rig": rig, "site": SITES[number % 3], "task": f"task {number % 7}", "operator": "Ann",
        "started_ns": START_NS + number * HOUR_NS, "ended_ns": START_NS + number * HOUR_NS + 90 * 10**9,
        "streams": {"lidar/points": StreamInfo(encoding="velodyne")}, "counts": {"lidar/points": 100}, "state": "finished",
        "verdict": ("good", "doubtful")[number % 5 == 0], "losses": {"lidar/points": Losses(queue=number)},
    }  # fmt: skip
    RecordingInfo(**(fields | changes)).save(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path)
    for number in range(30):
        describe(place, number)
    return place


def folders(listing: Listing) -> list[str]:
    return [each.folder for each in listing.found]


def numbers(workspace: Workspace, **search: object) -> list[int]:
    return [int(folder[1:]) for folder in folders(search_catalog(workspace, Search(**search)))]  # type: ignore[arg-type]


def test_every_filter_finds_what_a_walk_over_the_files_finds(workspace: Workspace) -> None:
    assert numbers(workspace) == list(range(30))
    assert numbers(workspace, site="nordhof") == list(range(0, 30, 3))
    assert numbers(workspace, site="GÄRTNER") == list(range(1, 30, 3))
    assert numbers(workspace, rig="cart", verdict="doubtful") == [5, 15, 25]
    assert numbers(workspace, task="task 3", limit=2) == [17, 24]
    assert numbers(workspace, since_ns=START_NS + 27 * HOUR_NS) == [27, 28, 29]
    assert numbers(workspace, until_ns=START_NS + 2 * HOUR_NS) == [0, 1]
    assert numbers(workspace, sensor="velo") == list(range(30))
    assert numbers(workspace, sensor="camera") == []
    assert numbers(workspace, words=("hall", "task 2")) == [2, 23]
    assert numbers(workspace, operator="bo") == []


def test_what_a_crew_noted_and_marked_and_the_tasks_of_its_episodes_are_found(workspace: Workspace) -> None:
    cups = [EpisodeInfo(task="pick up the cup", start_ns=n, stop_ns=n + 1, outcome="success") for n in range(2)]
    marks = (MarkInfo(t_ns=5, kind="pothole"), MarkInfo(t_ns=6, kind="note", text="it has begun to\nrain"))
    describe(workspace, 40, episodes=cups, marks=marks)
    assert numbers(workspace, words=("rain",)) == numbers(workspace, words=("POTHOLE",)) == [40]
    assert numbers(workspace, task="pick") == numbers(workspace, task="task 5", words=("cup",)) == [40]
    (found,) = search_catalog(workspace, Search(task="the cup")).found
    assert found.tables["tasks"] == [{"task": "pick up the cup", "episodes": 2}]


def test_values_are_those_of_the_recording(workspace: Workspace) -> None:
    episodes = (EpisodeInfo(task="open the gate", start_ns=1, stop_ns=2, outcome="success"),)
    folder = describe(workspace, 40, order="lab-7", consent_ids=("c1", "c2"), episodes=episodes, notes=("rain",))
    (folder / "r00040_0.mcap").write_bytes(bytes(5_000))
    for search in (Search(order="LAB"), Search(consent="c2"), Search(words=("rain", "gate"))):
        (found,) = search_catalog(workspace, search).found
        assert found.values["size_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
        assert [found.values[name] for name in ("kept_s", "messages", "lost", "episodes")] == [90.0, 100, 40, 1]
        assert found.tables["consents"] == [{"consent": "c1"}, {"consent": "c2"}]
        assert [row["sensor"] for row in found.tables["sensors"]] == ["lidar", "robot"]
    assert not search_catalog(workspace, Search(consent="c")).found


def test_it_follows_what_is_added_changed_and_removed(workspace: Workspace) -> None:
    assert len(numbers(workspace)) == 30
    describe(workspace, 31, site="elsewhere")
    describe(workspace, 3, site="elsewhere")
    shutil.rmtree(workspace.recordings / "r00007")
    assert numbers(workspace, site="elsewhere") == [3, 31]
    assert numbers(workspace) == [number for number in range(30) if number != 7] + [31]
    (workspace.root / "catalog.db").unlink()
    assert numbers(workspace, site="elsewhere") == [3, 31]


def test_a_recordings_size_is_that_of_the_files_that_lie_there_now(workspace: Workspace) -> None:
    def size() -> Value:
        return search_catalog(workspace, Search(limit=1)).found[0].values["size_bytes"]

    before, added = size(), workspace.recordings / "r00029" / "notes.txt"
    added.write_bytes(bytes(1000))
    assert size() == int(before or 0) + 1000
    added.unlink()
    assert size() == before


def test_only_what_has_changed_is_read_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = recording_info.load_info
    monkeypatch.setattr("capture.recording_info.load_info", lambda folder: read.append(folder.name) or load(folder))
    search_catalog(workspace)
    assert len(read) == 30
    search_catalog(workspace)
    assert len(read) == 30
    describe(workspace, 4, site="elsewhere")
    search_catalog(workspace)
    assert read[30:] == ["r00004"]


def test_a_broken_recording_json_is_told_and_the_others_are_listed(workspace: Workspace) -> None:
    (workspace.recordings / "r00002" / INFO_NAME).write_text('{"format": "someone else\'s"}')
    (workspace.recordings / "r00003" / INFO_NAME).write_bytes(b"\xff\xfe\x00")
    listing = search_catalog(workspace)
    assert len(listing.found) == 28
    assert [line[:7] for line in listing.unreadable] == ["r00002:", "r00003:"]
    describe(workspace, 2)
    assert len(search_catalog(workspace).unreadable) == 1


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at" * 100, b"SQLite format 3\0" + bytes(4000)]
)
def test_a_broken_catalog_is_set_aside_and_made_anew_with_one_line(workspace: Workspace, content: bytes) -> None:
    path, said = workspace.root / "catalog.db", list[str]()
    path.write_bytes(content)
    assert len(search_catalog(workspace, say=said.append).found) == 30
    assert len(said) == 1
    assert "set aside as catalog.db.set-aside-1" in said[0]
    assert (workspace.root / "catalog.db.set-aside-1").read_bytes() == content
    assert len(search_catalog(workspace, say=said.append).found) == 30
    assert len(said) == 1


def test_another_program_s_database_is_set_aside_and_never_written_to(workspace: Workspace) -> None:
    path, said = workspace.root / "catalog.db", list[str]()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE files (a, b)")
        other.execute("INSERT INTO files VALUES (1, 2)")
    other.close()
    before = path.read_bytes()
    assert len(search_catalog(workspace, say=said.append).found) == 30
    assert (workspace.root / "catalog.db.set-aside-1").read_bytes() == before
    assert "another program's" in said[0]


def test_any_byte_of_it_may_turn_and_the_recordings_are_listed_or_the_catalog_is_made_anew(
    workspace: Workspace,
) -> None:
    before = search_catalog(workspace)
    path, chance = workspace.root / "catalog.db", random.Random(8)
    whole = path.read_bytes()
    for number in range(120):
        data = bytearray(whole)
        start = chance.randrange(len(data))
        at = slice(start, start + chance.choice((1, 30, 200)))
        data[at] = chance.randbytes(len(data[at])) if number % 2 else bytes(byte ^ 0xFF for byte in data[at])
        path.write_bytes(data)
        assert search_catalog(workspace) == before, "each once, no other, and as it is"
        path.unlink()
        for aside in workspace.root.glob("*.set-aside-*"):
            aside.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    assert len(search_catalog(workspace).found) == 30


def test_a_catalog_that_cannot_be_kept_costs_only_time(workspace: Workspace) -> None:
    (workspace.root / "catalog.db").mkdir()
    said: list[str] = []
    assert len(search_catalog(workspace, say=said.append).found) == 30
    assert "cannot be kept" in said[0]


def test_a_workspace_without_recordings_lists_none(tmp_path: Path) -> None:
    assert search_catalog(Workspace(tmp_path)).found == ()


class Labels:
    """What another stage might add: it changes without any recording.json changing."""

    table = "labels"
    columns = ("category TEXT", "count INTEGER")

    def __init__(self, count: int) -> None:
        self.count = count

    def version(self, _workspace: Workspace) -> str:
        return str(self.count)

    def rows(self, folder: Path, info: RecordingInfo) -> Iterable[Sequence[Value]]:
        return [("car", self.count)] if info.id.endswith("7") else []


def test_another_stage_s_table_is_kept_and_made_anew_when_that_stage_says_so(workspace: Workspace) -> None:
    for count in (1, 1, 2):
        listing = search_catalog(workspace, indexers=[Labels(count)])
        tables = {each.folder: each.tables["labels"] for each in listing.found}
        assert tables["r00017"] == [{"category": "car", "count": count}]
        assert tables["r00018"] == []
    shutil.rmtree(workspace.recordings / "r00017")
    assert len(search_catalog(workspace, indexers=[Labels(3)]).found) == 29
    assert "labels" not in search_catalog(workspace).found[0].tables, "without it the table is gone"


def test_several_at_once_do_not_disturb_each_other(workspace: Workspace) -> None:
    program = (
        "import sys; from pathlib import Path; from capture.catalog.catalog import search_catalog; from capture.workspace import Workspace\n"
        "print(len(search_catalog(Workspace(Path(sys.argv[1])), say=print).found))"
    )
    words = [sys.executable, "-c", program, workspace.root]
    for _ in range(2):  # the first time all three make it
        three = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        assert [process.communicate(timeout=60)[0].split() for process in three] == [["30"]] * 3


def test_ten_thousand_recordings_are_listed_in_half_a_second_of_work(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    text = (describe(workspace, 0) / INFO_NAME).read_text()
    for number in range(1, 10_000):
        folder = workspace.recordings / f"r{number:05d}"
        folder.mkdir()
        (folder / INFO_NAME).write_text(text.replace("r00000", folder.name))
    search_catalog(workspace)
    best = 10.0
    for _ in range(3):
        started = time.process_time()
        assert len(search_catalog(workspace).found) == 10_000
        best = min(best, time.process_time() - started)
    print(f"\n10,000 recordings: {best:.2f} s CPU warm")  # noqa: T201
    assert best < 0.5


@pytest.mark.parametrize(
    ("text", "is_end", "expected"),
    [
        ("2026-01-31", False, datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", True, datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-31T10:15", True, datetime(2026, 1, 31, 10, 15, tzinfo=UTC)),
        ("2026-01-31T10:15+02:00", False, datetime(2026, 1, 31, 8, 15, tzinfo=UTC)),
        ("today", False, datetime(2026, 3, 4, tzinfo=UTC)),
        ("yesterday", True, datetime(2026, 3, 4, tzinfo=UTC)),
        ("7d", False, datetime(2026, 2, 25, 5, 6, tzinfo=UTC)),
        ("12h", False, datetime(2026, 3, 3, 17, 6, tzinfo=UTC)),
    ],
)
def test_dates_are_read(text: str, is_end: bool, expected: datetime) -> None:
    now = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    assert moment_ns(text, is_end=is_end, now=now) == int(expected.timestamp()) * 10**9


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "d", "99999999999d", "31.1.2026"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(CaptureError, match="write it like 2026-01-31"):
        moment_ns(text)


def test_a_verdict_that_there_is_not_is_refused() -> None:
    with pytest.raises(CaptureError, match="they are: good, doubtful, bad, none"):
        Search(verdict="fine")


def run(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldrig", "list", *words, "--workspace", workspace.root],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip


def test_the_command_prints_a_table_or_json(workspace: Workspace) -> None:
    describe(workspace, 50, state="recording", verdict=None, ended_ns=None)
    (workspace.recordings / "r00002" / INFO_NAME).write_text("{}")
    ended = run(workspace, "--site", "yard", "--since", "2026-01-02")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["began", "(UTC)", "rig", "site", "task", "length", "size", "verdict", "recording"]
    assert [line.split()[-1] for line in lines[1:-1]] == ["r00026", "r00029", "r00050"]
    assert "(unfinished)" in lines[-2]
    assert lines[-1].startswith("3 of 30 recordings, 3 min")
    assert ended.stderr.startswith("passed over r00002: ")
    listed = json.loads(run(workspace, "--json", "--verdict", "doubtful", "--rig", "cart").stdout)
    assert [each["folder"] for each in listed] == ["r00005", "r00015", "r00025"]
    assert listed[0]["sensors"][0] == {"sensor": "lidar", "driver": "velodyne"}
    assert "none of 30 recordings" in run(workspace, "--site", "moon").stdout
    ended = run(workspace, "--verdict", "fine")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)


def test_what_a_killed_recorder_left_is_not_called_being_recorded(workspace: Workspace) -> None:
    folder = describe(workspace, 50, state="recording", verdict=None, ended_ns=None)
    assert "(unfinished)" in run(workspace).stdout.splitlines()[-2]
    with FolderLock(folder):
        assert "(recording)" in run(workspace).stdout.splitlines()[-2]


@pytest.mark.parametrize("option", ["--site", "--task", "--rig", "--operator", "--order", "--sensor", "--consent", ""])
def test_words_that_are_no_text_are_refused_in_one_line(workspace: Workspace, option: str) -> None:
    ended = run(workspace, *([option] if option else []), "a\udcff")
    assert ended.returncode == 1
    assert ended.stderr == "fieldrig: search: 'a\\udcff' is no text in UTF-8; check the terminal's encoding\n"


def test_a_folder_whose_name_is_no_text_hides_no_recording(workspace: Workspace) -> None:
    odd = workspace.recordings / os.fsdecode(b"odd\xff")
    shutil.copytree(workspace.recordings / "r00003", odd)
    listing = search_catalog(workspace)
    assert len(listing.found) == 30
    assert listing.unreadable == ("odd\\udcff: its name is no text in UTF-8; rename the folder to the recording's ID",)


def test_messages_without_their_recording_json_are_told(workspace: Workspace) -> None:
    (workspace.recordings / "r00003" / INFO_NAME).unlink()
    (workspace.recordings / "r00003" / "r00003_0.mcap").write_bytes(b"much")
    (workspace.recordings / "empty").mkdir()
    assert search_catalog(workspace).unreadable == ("r00003: it holds no recording.json",)


def test_a_workspace_that_may_not_be_written_to_is_listed(workspace: Workspace) -> None:
    program = (
        "import os, sys; from pathlib import Path; from capture.catalog.catalog import search_catalog; from capture.workspace import Workspace\n"
        "import capture.kept\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "print(len(search_catalog(Workspace(Path(sys.argv[1])), say=print).found))"
    )
    with tempfile.TemporaryDirectory(prefix="fieldrig-readonly-") as place:
        Path(place).chmod(0o755)
        root = shutil.copytree(workspace.root, Path(place) / "workspace")
        words = [sys.executable, "-c", program, root]
        for known in range(3):
            if known == 1:
                search_catalog(Workspace(root))
            if known == 2:
                describe(Workspace(root), 31)
            root.chmod(0o555)
            said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
            root.chmod(0o755)
            assert said[-1] == ("30", "30", "31")[known]
            assert all("cannot be kept" in line for line in said[:-1])
            assert len(said) == (2, 1, 2)[known], "a catalog that is up to date is used as it is"


def test_it_knows_a_recording_by_the_name_that_capture_gives_it() -> None:
    assert recording_info.NAME == INFO_NAME


def test_where_there_are_no_recordings_no_catalog_is_left(tmp_path: Path) -> None:
    assert search_catalog(Workspace(tmp_path)).recordings == 0
    assert list(tmp_path.iterdir()) == []
