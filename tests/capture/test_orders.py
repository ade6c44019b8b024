"""Orders: what is wanted, what counts towards it, and what is still missing."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import fieldrig
from capture.details import Details
from capture.episodes import UNLABELLED, episodes_of
from capture.errors import CaptureError
from capture.limits import Limits
from capture.offload import ledger
from capture.orders.done import DoneEpisodes, done_in
from capture.orders.lines import OrderLines
from capture.orders.orders import Order, load_order, wanted_of
from capture.orders.status import DoneEpisode, OrderStatus, TaskStatus, missing, status
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import EpisodeInfo, Pause, load_info
from capture.workspace import Workspace
from tests.capture.recordings import write_recording
from tests.capture.rigs import Sender, free_ports, robot_rig, write_rig

KITCHEN = """
customer = "lab"
episodes = 4
sites = ["Kitchen", "Hall"]
operators = ["ann", "bo"]
objects = ["cup", "bowl"]
per_site = 2

[tasks.pick]
instruction = "Pick up the {object}."

[tasks.wipe]
instruction = "Wipe the table"
episodes = 3
per_site = 0
per_operator = 1
"""
DONE = DoneEpisode("r", "wipe the table", "success", "kitchen", "ann", "kitchen")


def written(workspace: Path, text: str = KITCHEN, name: str = "kitchen") -> Order:
    path = workspace / "orders" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return load_order(Workspace(workspace), name)


def of_task(found: OrderStatus, words: str) -> TaskStatus:
    return next(task for task in found.tasks if task.wanted.words == words)


# what an order says


def test_an_order_is_spelled_out_in_a_line_a_task_and_object(tmp_path: Path) -> None:
    assert [(each.words, each.episodes, each.per_site, each.per_operator) for each in wanted_of(written(tmp_path))] == [
        ("Pick up the cup.", 4, 2, 0), ("Pick up the bowl.", 4, 2, 0), ("Wipe the table", 3, 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tasks = ?", "not valid TOML: .*line 1"),
        ("", "no key 'tasks'; docs/FORMATS.md lists the keys"),
        ("episodes = 3\ntasks = {}", "'tasks': dictionary should have at least 1 item"),
        (KITCHEN.replace("episodes = 4", ""), "say how many episodes are wanted: 'episodes', or 'tasks.pick.episodes'"),
        (KITCHEN.replace("episodes = 4", "episodes = 0"), r"'episodes': .*greater than or equal to 1 \(it says 0\)"),
        (KITCHEN.replace("episodes = 4", "episodes = 3"), r"'Pick up the cup\.': 2 per_site, of 2 sites, are more than its 3"),
        (KITCHEN.replace("episodes = 4", 'episodes = "4"'), r"'episodes': give a number, without quotes \(it says '4'\)"),
        (KITCHEN.replace("customer", "client"), "unknown key 'client'; docs/FORMATS.md"),
        (KITCHEN.replace("instruction = \"Wipe", "words = \"Wipe"), "unknown key 'tasks.wipe.words', no key 'tasks.wipe.instruction'"),
        (KITCHEN.replace("Wipe the table", "  "), "'tasks.wipe.instruction': string should have at least 1 character"),
        (KITCHEN.replace("tasks.wipe", 'tasks."Wipe it"'), "use lower case letters, digits, dash and underscore"),
        (KITCHEN.replace('objects = ["cup", "bowl"]', ""), r"'tasks.pick.instruction' speaks of an \{object\}, and 'objects' names none"),
        (KITCHEN.replace("{object}", "thing"), r"'objects' are named, and no task's instruction speaks of an \{object\}"),
        (KITCHEN.replace('operators = ["ann", "bo"]', ""), "'per_operator' wants 1 each, and 'operators' names none"),
        (KITCHEN.replace("Wipe the table", "pick up  THE cup"), "two tasks are both called 'pick up the cup'"),
        (KITCHEN + 'name = "x"', "unknown key 'tasks.wipe.name'"),
        (KITCHEN.replace('"Hall"', '"kitchen "'), "'sites' names 'kitchen' twice"),
        (KITCHEN.replace('["ann", "bo"]', '"ann"'), r"'operators': input should be a valid tuple \(it says 'ann'\)"),
        ("tasks = 3", r"'tasks': input should be a valid dictionary \(it says 3\)"),
        ("tasks = { a = 3 }", "'tasks.a': input should be a valid dictionary"),
        ('name = "x"\n' + KITCHEN, "unknown key 'name'; an order is called as its file is"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line_with_file_key_and_value(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CaptureError, match=says) as raised:
        written(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "orders" / "kitchen.toml"))
    assert "\n" not in str(raised.value)


def test_the_mark_that_windows_editors_put_before_a_file_is_none_of_the_order(tmp_path: Path) -> None:
    order = written(tmp_path)
    (tmp_path / "orders" / "kitchen.toml").write_text(KITCHEN, encoding="utf-8-sig")
    assert load_order(Workspace(tmp_path), "kitchen") == order


def test_an_order_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no order .*hall\.toml; there is none yet; docs/FORMATS\.md shows how"):
        load_order(Workspace(tmp_path), "hall")
    written(tmp_path)
    for name in ("hall", "../orders/kitchen", ""):
        with pytest.raises(CaptureError, match="there are: kitchen"):
            load_order(Workspace(tmp_path), name)


def test_a_recording_counts_for_an_order_that_there_is_or_does_not_begin(tmp_path: Path) -> None:
    rig = write_rig(tmp_path / "rig.toml", *free_ports(2))
    words = ["record", str(rig), "--order", "kichen", "--for", "1s", "--no-page", "--workspace", str(tmp_path)]
    none_yet = CliRunner().invoke(fieldrig.command_line(words), words).exception
    assert str(none_yet) == (
        f"no order {tmp_path}/orders/kichen.toml; there is none yet; docs/FORMATS.md shows how to write one"
    )
    written(tmp_path)
    mistyped = CliRunner().invoke(fieldrig.command_line(words), words).exception
    assert str(mistyped) == f"no order {tmp_path}/orders/kichen.toml; there are: kitchen"
    assert not (tmp_path / "recordings").exists()


def test_an_order_that_there_is_not_is_refused_at_the_recorder_and_the_one_before_stays(tmp_path: Path) -> None:
    written(tmp_path)
    with Recorder(robot_rig(*free_ports(2)), Workspace(tmp_path)) as recorder:
        recorder.describe({"order": "kitchen", "site": "hall"})
        for command in (recorder.describe, recorder.start):
            with pytest.raises(CaptureError, match=r"^no order .*kichen\.toml; there are: kitchen$"):
                command({"order": "kichen", "site": "yard"})
        assert (recorder.state().mode, recorder.state().order, recorder.state().site) == ("standby", "kitchen", "hall")
        recorder.describe({"order": ""})
        assert recorder.state().order == ""


def test_an_order_whose_file_goes_while_it_is_recorded_keeps_no_take_from_beginning(tmp_path: Path) -> None:
    written(tmp_path)
    with Recorder(robot_rig(*free_ports(2)), Workspace(tmp_path)) as recorder:
        recorder.describe({"order": "kitchen"})
        (tmp_path / "orders" / "kitchen.toml").unlink()
        folder = recorder.start({"order": "kitchen", "site": "hall"})
        recorder.stop()
    assert load_info(folder).order == "kitchen"


def spoiled() -> st.SearchStrategy[str]:
    """The kitchen's order with some of it replaced by anything."""
    places, anything = st.integers(0, len(KITCHEN)), st.text(max_size=12)
    words = st.one_of(
        anything, st.sampled_from(["0", "-1", "1e9", "true", "[]", '""', "[[a]]", "\n[tasks.pick]\n", "{object}"])
    )
    return st.builds(lambda at, length, new: KITCHEN[:at] + new + KITCHEN[at + length :], places, st.integers(0, 20), words)  # fmt: skip


@given(st.one_of(st.text(max_size=80), spoiled()))
def test_any_text_is_an_order_that_adds_up_or_one_line_that_says_where_it_is_wrong(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            order = written(Path(folder), text)
        except CaptureError as error:
            said = str(error)
            assert str(Path(folder, "orders", "kitchen.toml")) in said
            assert said.isprintable(), "one line, and nothing that a terminal would obey"
            return
    wanted = wanted_of(order)
    names = [name for each in wanted for name in each.names]
    assert wanted
    assert len(set(names)) == len(names), "an episode counts for one task alone"
    for each in wanted:
        assert each.words.strip()
        assert each.episodes >= 1
        assert each.per_site * len(order.sites) <= each.episodes
        assert each.per_operator * len(order.operators) <= each.episodes


# what counts


@pytest.mark.parametrize(
    "task", ["Wipe the table", "wipe  the TABLE.", "wipe"], ids=["instruction", "capitals, blanks, full stop", "id"]
)
def test_an_episode_counts_by_what_its_task_says(tmp_path: Path, task: str) -> None:
    found = status(written(tmp_path), [replace(DONE, task=task)])
    assert (of_task(found, "Wipe the table").total.done, found.passed_over) == (1, {})


@pytest.mark.parametrize("task", ["pick up the bowl", "pick bowl", "pick/bowl"])
def test_an_object_is_told_apart(tmp_path: Path, task: str) -> None:
    found = status(written(tmp_path), [replace(DONE, task=task)])
    assert of_task(found, "Pick up the bowl.").total.done == 1
    assert of_task(found, "Pick up the cup.").total.done == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"outcome": "discard"}, "discarded"),
        ({"outcome": ""}, "never ended"),
        ({"outcome": "failure"}, "failures"),
        ({"verdict": "bad"}, "of recordings whose verdict is bad"),
        ({"verdict": None}, "of recordings that are not finished (fieldrig repair, if their recorder has died)"),
        ({"task": "dance"}, "of a task that the order does not name: 'dance'"),
        ({"task": UNLABELLED}, "of a task that the order does not name: (no task)"),
        ({"site": "garden"}, "at a site that the order does not name: 'garden'"),
        ({"is_recorded": False}, "in a pause: nothing of them was recorded"),
        ({"operator": ""}, "by an operator whom the order does not name: ''"),
    ],
)
def test_what_does_not_count_is_said_with_its_reason(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    found = status(written(tmp_path), [DONE, replace(DONE, **changes)])
    assert of_task(found, "Wipe the table").total.done == 1
    assert found.passed_over == {why: 1}


def test_failures_count_where_the_order_says_so(tmp_path: Path) -> None:
    order = written(tmp_path, "count_failures = true\n" + KITCHEN)
    found = status(order, [replace(DONE, outcome="failure"), replace(DONE, outcome="discard")])
    assert of_task(found, "Wipe the table").total.done == 1


def test_a_doubtful_recording_counts_and_is_said(tmp_path: Path) -> None:
    found = status(written(tmp_path), [DONE, replace(DONE, verdict="doubtful")])
    assert (of_task(found, "Wipe the table").total.done, found.doubtful) == (2, 1)


def test_recordings_for_another_order_are_none_of_this_ones_business(tmp_path: Path) -> None:
    found = status(written(tmp_path), [replace(DONE, order="hall"), replace(DONE, order="", task="calibration")])
    assert (found.missing, found.passed_over) == (11, {})


def test_recordings_that_name_no_order_count_by_their_task_and_are_said(tmp_path: Path) -> None:
    found = status(written(tmp_path), [replace(DONE, order=""), DONE])
    assert (of_task(found, "Wipe the table").total.done, found.unassigned) == (2, 1)


# what is missing


def test_what_one_site_lacks_cannot_be_made_up_for_at_another(tmp_path: Path) -> None:
    order = written(tmp_path)
    cups = [replace(DONE, task="pick cup", site="Kitchen")] * 4
    cup = of_task(status(order, cups), "Pick up the cup.")
    assert (cup.total.missing, cup.missing) == (0, 2)
    assert [(cell.at, cell.wanted, cell.done, cell.missing) for cell in cup.sites] == [
        ("Kitchen", 2, 4, 0),
        ("Hall", 2, 0, 2),
    ]


def test_the_lines_say_how_many_where_and_by_whom_until_the_order_is_complete(tmp_path: Path) -> None:
    order = written(tmp_path)
    assert missing(order, []) == (
        "Pick up the cup.: 4 of 4 still to do, of these Kitchen 2, Hall 2",
        "Pick up the bowl.: 4 of 4 still to do, of these Kitchen 2, Hall 2",
        "Wipe the table: 3 of 3 still to do, of these ann 1, bo 1",
    )
    cups = [replace(DONE, task="pick cup", site=site) for site in ("Kitchen", "Hall") for _ in range(2)]
    bowls = [replace(each, task="pick bowl") for each in cups]
    assert missing(order, [*cups, *bowls, DONE, DONE]) == ("Wipe the table: 1 of 3 still to do, of these bo 1",)
    assert missing(order, [*cups, *bowls, DONE, DONE, replace(DONE, operator="BO")]) == ("order kitchen: complete",)


# recordings


def recorded(workspace: Workspace, outcomes: dict[str, str], **details: str) -> Path:
    """A recording by the real recorder, with an episode for each task."""
    state, action = free_ports(2)
    with (
        Sender({"state": state, "action": action}, 50),
        Recorder(robot_rig(state, action), workspace, Limits()) as recorder,
    ):
        recorder.run()
        recorder.start(details)
        time.sleep(0.2)
        for task, outcome in outcomes.items():
            recorder.episode_start(task)
            time.sleep(0.02)
            recorder.episode_stop(outcome)  # type: ignore[arg-type]
        return recorder.stop()


def edited(folder: Path, **changes: Any) -> None:
    load_info(folder).model_copy(update=changes).save(folder)


def test_the_episodes_of_real_recordings_are_counted(tmp_path: Path) -> None:
    place, order = Workspace(tmp_path), written(tmp_path)
    folder = recorded(
        place,
        {"wipe": "success", "pick cup": "failure", "pick bowl": "discard"},
        order="kitchen",
        site="hall",
        operator="bo",
    )
    done = DoneEpisodes(place)
    found = status(order, done.look())
    assert of_task(found, "Wipe the table").total.done == 1
    assert found.passed_over == {"failures": 1, "discarded": 1}
    edited(folder, verdict="doubtful")
    assert status(order, done.look()).doubtful == 1, "a changed recording.json is read again"


def test_episodes_are_found_in_the_marks_where_recording_json_lists_none(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    folder = recorded(place, {"wipe": "success", "pick cup": "discard"}, task="anything", site="hall")
    from_info = done_in(folder)
    edited(folder, episodes=())
    assert done_in(folder) == from_info
    found = episodes_of(open_recording(folder))
    assert [(each.task, each.outcome) for each in found] == [("wipe", "success"), ("pick cup", "discard")]
    assert all(each.start_ns < each.stop_ns for each in found)


def test_a_recording_without_marks_is_one_episode_of_its_task(tmp_path: Path) -> None:
    folder = recorded(Workspace(tmp_path), {}, task="wipe", operator="ann")
    assert [(each.task, each.outcome, each.operator) for each in done_in(folder)] == [("wipe", "success", "ann")]


def test_an_episode_of_which_a_pause_left_nothing_does_not_count(tmp_path: Path) -> None:
    place, order = Workspace(tmp_path), written(tmp_path)
    folder = recorded(place, {"wipe": "success", "pick cup": "success"}, order="kitchen", site="hall", operator="bo")
    (wiped, picked), second_ns = load_info(folder).episodes, 10**9
    assert wiped.stop_ns is not None
    paused = Pause(from_ns=wiped.start_ns - second_ns, to_ns=wiped.stop_ns)
    half = Pause(from_ns=picked.start_ns + 1, to_ns=picked.stop_ns)
    edited(folder, pauses=(paused, half))
    found = status(order, DoneEpisodes(place).look())
    assert of_task(found, "Wipe the table").total.done == 0
    assert of_task(found, "Pick up the cup.").total.done == 1
    assert found.passed_over == {"in a pause: nothing of them was recorded": 1}


def test_a_recording_whose_removal_was_interrupted_counts_once(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    folder = write_recording(place, segments=1, task="wipe")
    ledger.enter(folder, ledger.entry_of(folder, load_info(folder), "/usb"))
    for state in ("offload-check", "offload-done"):
        aside = folder.rename(place.recordings / f".{folder.name}.{state}")
        assert [each.task for each in DoneEpisodes(place).look()] == ["wipe"], state
        assert (aside.exists(), folder.exists()) == (state == "offload-done", state == "offload-check")


def test_a_recording_that_lies_there_twice_counts_once_as_its_own_folder_has_it(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    folder = write_recording(place, segments=1, task="wipe")
    write_recording(place, segments=1, task="pick cup")
    copy = shutil.copytree(folder, place.recordings / "0 copy")
    edited(folder, verdict="doubtful")
    done = DoneEpisodes(place)
    assert sorted((each.task, each.verdict) for each in done.look()) == [("pick cup", "good"), ("wipe", "doubtful")]
    ledger.enter(folder, ledger.entry_of(folder, load_info(folder), "/usb"))
    shutil.rmtree(folder)
    assert sorted((each.task, each.verdict) for each in done.look()) == [("pick cup", "good"), ("wipe", "good")]
    shutil.rmtree(copy)
    assert sorted((each.task, each.verdict) for each in done.look()) == [("pick cup", "good"), ("wipe", "doubtful")]


def test_a_damaged_recording_is_said_and_hides_no_other(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    recorded(place, {"wipe": "success"})
    (place.recordings / "broken").mkdir()
    (place.recordings / "broken" / "recording.json").write_text("{")
    (place.recordings / ".recorder-bench.json").write_text("{}")
    done = DoneEpisodes(place)
    assert [each.task for each in done.look()] == ["wipe"]
    assert len(done.unreadable) == 1
    assert "broken" in done.unreadable[0]


def lines_of(shown: OrderLines, details: Details, under_way: tuple[EpisodeInfo, ...], until: str) -> list[str]:
    """As a recorder asks: again and again, until the lines say something."""
    give_up_s, longest_s = time.monotonic() + 60, 0.0
    while time.monotonic() < give_up_s:
        asked_s = time.monotonic()
        lines = list(shown(details, under_way))
        longest_s = max(longest_s, time.monotonic() - asked_s)
        if any(until in line for line in lines):
            assert longest_s < 5.0, "the recorder does not wait for it"
            return lines
        time.sleep(0.02)
    raise AssertionError(f"never said {until!r}: {lines}")


def test_a_recorder_is_told_what_is_missing_with_the_episodes_under_way_counted(tmp_path: Path) -> None:
    written(tmp_path)
    shown, details = OrderLines(Workspace(tmp_path)), Details(operator="ann", site="hall", order="kitchen")
    assert shown(Details()) == ()
    assert "Wipe the table: 3 of 3 still to do, of these ann 1, bo 1" in lines_of(shown, details, (), "3 of 3")
    one = EpisodeInfo(task="wipe", start_ns=0, stop_ns=1, outcome="success")
    open_one = EpisodeInfo(task="wipe", start_ns=2, stop_ns=None)
    lines = lines_of(shown, details, (one, open_one), "2 of 3")
    assert "Wipe the table: 2 of 3 still to do, of these bo 1" in lines
    assert "no order" in lines_of(shown, replace(details, order="gone"), (), "gone")[0]


def test_a_running_recorder_says_what_is_missing_in_its_state(tmp_path: Path) -> None:
    written(tmp_path)
    place, details = Workspace(tmp_path), Details(operator="ann", site="hall", order="kitchen")
    state, action = free_ports(2)
    with (
        Recorder(robot_rig(state, action), place, details=details, order_lines=OrderLines(place)) as recorder,
        Sender({"state": state, "action": action}, 50),  # a recording of nothing is bad, and does not count
    ):

        def says(what: str) -> bool:
            until_s = time.monotonic() + 60
            while time.monotonic() < until_s:
                if any(what in line for line in recorder.state().order_lines):
                    return True
                time.sleep(0.05)
            return False

        recorder.run()
        assert says("Wipe the table: 3 of 3")
        recorder.start()
        recorder.episode_start("wipe")
        recorder.episode_stop("success")
        assert says("Wipe the table: 2 of 3")
        recorder.stop()
        time.sleep(0.5)  # what was said before has been looked at anew
        assert says("Wipe the table: 2 of 3"), "from its recording.json now"


def order_status(workspace: Path, *words: str) -> Result:
    words = ("order", "status", *words, "--workspace", str(workspace))
    return CliRunner().invoke(fieldrig.command_line(words), words, env={"COLUMNS": "120"})


def test_on_the_command_line_every_cell_has_wanted_done_and_missing(tmp_path: Path) -> None:
    written(tmp_path, KITCHEN.replace("Wipe the table", "Wipe the [red] table"))
    recorded(
        Workspace(tmp_path), {"wipe": "success", "pick cup": "discard"}, order="kitchen", site="hall", operator="bo"
    )
    done = order_status(tmp_path)
    assert done.exit_code == 0, done.output
    rows = [" ".join(line.replace("│", " ").split()) for line in done.output.splitlines()]
    assert "Wipe the [red] table 3 1 2" in rows
    assert "ann at least 1 0 1" in rows
    assert "bo at least 1 1 0" in rows
    assert "not counted: 1 discarded" in rows
    assert "order kitchen: 10 episodes still to do" in rows


def test_a_mistaken_order_hides_no_other_and_ends_in_exit_code_1(tmp_path: Path) -> None:
    for name in ("hall", "kitchen"):
        written(tmp_path, name=name)
    for name in ("broken", "odd"):
        (tmp_path / "orders" / f"{name}.toml").write_text("episodes = [")
    done = order_status(tmp_path)
    assert "order hall: 11 episodes still to do" in done.output
    assert "order kitchen: 11 episodes still to do" in done.output
    assert done.exit_code == 1
    assert isinstance(done.exception, CaptureError)
    assert re.fullmatch(
        r"\S+broken\.toml is not valid TOML: [^;]+; \S+odd\.toml is not valid TOML: .+", str(done.exception)
    )
    assert isinstance(order_status(tmp_path, "odd").exception, CaptureError)
    assert order_status(tmp_path, "hall").exit_code == 0


def test_no_orders_at_all_is_said(tmp_path: Path) -> None:
    done = order_status(tmp_path)
    assert isinstance(done.exception, CaptureError)
    assert "no orders in" in str(done.exception)
