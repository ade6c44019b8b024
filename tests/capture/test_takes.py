"""Recordings that begin and end while the sensors stay open: what is in them is what arrived while they were on, no more and no less."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mcap.reader import make_reader

from capture.account import account
from capture.bag.segments import Split
from capture.control.address import address_file, read_address
from capture.control.client import RecorderClient
from capture.control.server import ControlServer
from capture.errors import CaptureError
from capture.intake import Intake
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recorder_state import RecorderState
from capture.recording import Recording, open_recording
from capture.recording_info import Interruption, MarkInfo, load_info
from capture.terminal.keyboard import ENTER
from capture.terminal.keys import Keys
from capture.verify import verify
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK
from devices.rig import rig_from_dict
from devices.samples import Mark, Packet
from tests.capture.recordings import wait_for
from tests.capture.rigs import UNDERWAY_NS, Sender, free_ports, line, robot_rig


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@contextlib.contextmanager
def running(workspace: Workspace, rate_hz: float = 200, **options: object) -> Iterator[tuple[Recorder, Sender]]:
    """A recorder that stands by, fed by a robot."""
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), workspace, **options) as recorder:  # type: ignore[arg-type]
        recorder.run()
        with Sender({"state": state, "action": action}, rate_hz) as sender:
            yield recorder, sender


def numbers(recording: Recording, stream: str = "robot/state") -> list[int]:
    """The count that each datagram bore."""
    return [int(each.sample.values[0]) for each in recording.samples([stream])]  # type: ignore[union-attr]


def text_of(sample: object) -> str:
    assert isinstance(sample, Mark)
    return sample.text


def test_two_takes_hold_what_arrived_between_start_and_stop_and_nothing_else(workspace: Workspace) -> None:
    with running(workspace) as (recorder, sender):
        takes = []
        for _ in range(2):
            time.sleep(0.3)
            recorder.start()
            time.sleep(0.5)
            takes.append(recorder.stop())
        time.sleep(0.1)
    for folder in takes:
        recording = open_recording(folder)
        info = recording.info
        assert info.ended_ns is not None
        inner = sender.surely_between("state", info.started_ns, info.ended_ns)
        outer = sender.maybe_between("state", info.started_ns, info.ended_ns)
        got = numbers(recording)
        assert set(inner) <= set(got) <= set(outer)
        assert got == list(range(got[0], got[-1] + 1))
        assert [each.sequence for each in recording.packets(["robot/state"])] == list(range(len(got)))
        assert (info.verdict, info.state) == ("good", "finished")
        assert verify(folder).damage == []


def test_a_pause_leaves_out_what_came_in_it_is_written_down_and_is_no_loss(workspace: Workspace) -> None:
    with running(workspace, limits=Limits(silent_s=1.5)) as (recorder, sender):
        recorder.start()
        time.sleep(0.4)
        paused_ns = HOST_CLOCK.now_ns()
        recorder.pause()
        time.sleep(1.8)
        recorder.resume()
        resumed_ns = HOST_CLOCK.now_ns()
        time.sleep(0.4)
        folder = recorder.stop()
    recording = open_recording(folder)
    (pause,) = recording.info.pauses
    assert paused_ns <= pause.from_ns < pause.from_ns + 1.75e9 < pause.to_ns <= resumed_ns
    got = numbers(recording)
    withheld = sender.surely_between("state", pause.from_ns + UNDERWAY_NS, pause.to_ns)
    assert len(withheld) > 40
    assert not set(withheld) & set(got)
    assert set(range(got[0], got[-1] + 1)) - set(got) <= set(sender.maybe_between("state", pause.from_ns, pause.to_ns))
    assert [each.sequence for each in recording.packets(["robot/state"])] == list(range(len(got)))
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert (recording.info.verdict, verify(folder).damage) == ("good", [])


def test_marks_and_episodes_are_a_stream_of_the_recording_and_stand_in_recording_json(workspace: Workspace) -> None:
    with running(workspace) as (recorder, _):
        recorder.start({"task": "fold"})
        recorder.mark("mark", "door closed")
        for outcome in ("success", "failure", "discard"):
            recorder.episode_start("")
            time.sleep(0.05)
            recorder.episode_stop(outcome)  # type: ignore[arg-type]
        recorder.episode_start("wipe the table")
        with pytest.raises(CaptureError, match="'wipe the table' is still under way"):
            recorder.episode_start("again")
        recorder.mark("note", " it has begun to rain ")
        recorder.tend()
        assert [each.kind for each in load_info(Path(recorder.state().folder)).marks] == ["mark", "note"], "kill-proof"
        folder = recorder.stop()
        with pytest.raises(CaptureError, match="nothing is being recorded"):
            recorder.mark("mark", "too late")
    recording = open_recording(folder)
    marks = [each.sample for each in recording.samples(recording.streams_of(Mark))]
    assert all(isinstance(mark, Mark) for mark in marks)
    said = [(mark.kind, mark.text, mark.data.get("outcome", "")) for mark in marks if isinstance(mark, Mark)]
    assert said[0] == ("mark", "door closed", "")
    assert said[1:3] == [("episode_start", "fold", ""), ("episode_stop", "fold", "success")]
    assert said[-2:] == [("episode_start", "wipe the table", ""), ("note", "it has begun to rain", "")]
    at_ns = [mark.t_ns for mark in marks if isinstance(mark, Mark) and mark.kind in ("mark", "note")]
    assert recording.info.marks == (
        MarkInfo(t_ns=at_ns[0], kind="mark", text="door closed"),
        MarkInfo(t_ns=at_ns[1], kind="note", text="it has begun to rain"),
    )
    assert recording.info.notes[-1] == "it has begun to rain"
    assert [(each.task, each.outcome) for each in recording.info.episodes] == [
        ("fold", "success"), ("fold", "failure"), ("fold", "discard"), ("wipe the table", ""),
    ]  # fmt: skip
    assert "the episode 'wipe the table' was not ended by the crew" in recording.info.notes
    for episode in recording.info.episodes[:-1]:
        assert episode.stop_ns is not None
        assert recording.start_ns <= episode.start_ns < episode.stop_ns <= recording.end_ns


def test_no_episode_begins_in_a_pause_and_one_that_a_pause_cuts_is_told_with_what_is_left_of_it(
    workspace: Workspace,
) -> None:
    with running(workspace) as (recorder, _):
        keys = Keys(recorder, threading.Event(), lambda: None)
        recorder.start({"task": "fold"})
        recorder.episode_start("")
        time.sleep(0.3)
        keys.press("p")
        assert keys.said == "paused, in the middle of the episode 'fold': what is left out is missing in it"
        time.sleep(0.4)
        recorder.episode_stop("success")
        heard = recorder.state().sound
        keys.press("e")
        assert keys.said == "the recording is paused, and nothing of an episode would be in it; resume it first"
        assert (recorder.state().sound.count, recorder.state().sound.name) == (heard.count + 1, "refused")
        assert not recorder.state().episode.open
        recorder.resume()
        recorder.episode_start("whole")
        time.sleep(0.1)
        recorder.episode_stop("success")
        recorder.pause()
        assert recorder.state().episode.cut_in_words == ""
        info = load_info(recorder.stop())
    assert [each.task for each in info.episodes] == ["fold", "whole"]
    (reason,) = info.reasons
    told = re.fullmatch(r"the episode 'fold' was cut by a pause: (\d\.\d) of its (\d\.\d) s were recorded", reason)
    assert told is not None, reason
    assert 0.3 <= float(told[1]) <= float(told[2]) - 0.3
    assert info.verdict == "doubtful"


def test_segments_together_hold_every_message_once(workspace: Workspace) -> None:
    limits = Limits(split=Split(bytes_max=400_000, seconds_max=60))
    with running(workspace, rate_hz=400, limits=limits) as (recorder, _):
        recorder.start()
        wait_for(lambda: recorder.state().segment >= 2)
        folder = recorder.stop()
    recording = open_recording(folder)
    assert len(recording.files) >= 2
    assert [segment.name for segment in recording.info.segments] == [path.name for path in recording.files]
    assert [each.sequence for each in recording.packets(["robot/state"])] == list(
        range(recording.counts["robot/state"])
    )
    assert numbers(recording) == list(range(numbers(recording)[0], numbers(recording)[-1] + 1))
    assert recording.info.verdict == "good"
    assert verify(folder).damage == []


def test_files_split_by_time_hold_every_message_once_across_a_pause_too(workspace: Workspace) -> None:
    ports, split_s = dict(zip(("state", "action"), free_ports(2), strict=True)), 0.5
    sent: list[int] = []

    def send_for(seconds: float) -> None:
        """All of it has arrived when this returns."""
        with Sender(ports, 200) as sender:
            time.sleep(seconds)
        sent.append(len(sender.sent["state"]))
        time.sleep(0.2)

    limits = Limits(split=Split(seconds_max=split_s))
    with Recorder(robot_rig(**ports), workspace, limits) as recorder:
        recorder.run()
        recorder.start()
        send_for(1.3)
        recorder.pause()
        send_for(0.7)
        recorder.resume()
        send_for(1.3)
        folder = recorder.stop()
    recording = open_recording(folder)
    assert len(recording.files) >= 5
    assert [segment.name for segment in recording.info.segments] == [path.name for path in recording.files]
    before, _, after = sent
    for stream in ("robot/state", "robot/action"):
        assert numbers(recording, stream) == [*range(before), *range(after)]
        assert [each.sequence for each in recording.packets([stream])] == list(range(before + after))
        assert sum(segment.counts[f"/{stream}"] for segment in recording.info.segments) == before + after
    assert longest_file_s(recording) < split_s + 2
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert (recording.info.verdict, verify(folder).damage) == ("good", [])


def longest_file_s(recording: Recording) -> float:
    """From the first to the last packet of a stream in one file."""
    spans = [0.0]
    for path in recording.files:
        with path.open("rb") as file:
            found = [each.log_time for _, _, each in make_reader(file).iter_messages(topics=["/robot/state"])]
        spans.append((found[-1] - found[0]) / 1e9 if found else 0.0)
    return max(spans)


def test_only_the_newest_is_kept_and_the_account_still_holds(workspace: Workspace) -> None:
    limits = Limits(split=Split(bytes_max=200_000), keep_bytes=500_000)
    with running(workspace, rate_hz=400, limits=limits) as (recorder, sender):
        recorder.start()
        time.sleep(4)
        folder = recorder.stop()
    recording = open_recording(folder)
    deleted = [segment for segment in recording.info.segments if segment.deleted]
    assert deleted
    assert sum(path.stat().st_size for path in folder.glob("*.mcap")) < 500_000 + 2 * 400_000
    assert {path.name for path in recording.files} == {
        segment.name for segment in recording.info.segments if not segment.deleted
    }
    got = numbers(recording)
    assert got == list(range(got[0], got[-1] + 1))
    assert got[0] > 0
    gone = sum(segment.counts["/robot/state"] for segment in deleted)
    assert next(iter(recording.packets(["robot/state"]))).sequence == gone
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert verify(folder).damage == []
    assert len(sender.sent["state"]) >= gone + len(got)


def test_an_episode_that_nobody_ended_is_under_way_no_longer_than_its_recording(workspace: Workspace) -> None:
    with running(workspace) as (recorder, _):
        recorder.start()
        recorder.episode_start("fold")
        assert recorder.state().episode.open
        folder = recorder.stop()
        assert not recorder.state().episode.open
        recorder.start()
        recorder.episode_start("again")
        recorder.stop()
    (episode,) = load_info(folder).episodes
    assert (episode.task, episode.stop_ns) == ("fold", None)


def test_a_snapshot_of_nothing_is_refused_and_leaves_no_folder(workspace: Workspace) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), workspace, snapshot_s=1.0) as recorder:
        recorder.run()
        with pytest.raises(CaptureError, match="nothing came in the last 1 s"):
            recorder.snapshot()
    assert not list(workspace.recordings.glob("*"))


def test_a_snapshot_holds_the_seconds_before_it(workspace: Workspace) -> None:
    with running(workspace, snapshot_s=2.5) as (recorder, sender):
        with pytest.raises(CaptureError, match="nothing is being recorded"):
            recorder.pause()
        time.sleep(3.5)
        asked_ns = HOST_CLOCK.now_ns()
        folder = recorder.snapshot()
        told_ns = HOST_CLOCK.now_ns()
        assert recorder.state().mode == "snapshot"
        time.sleep(0.3)
        again = recorder.snapshot()
    recording = open_recording(folder)
    got = numbers(recording)
    ended_ns = recording.info.ended_ns or 0
    assert asked_ns <= ended_ns <= told_ns
    assert set(sender.surely_between("state", ended_ns - 2_450_000_000, ended_ns)) <= set(got)
    assert got == list(range(got[0], got[-1] + 1))
    assert got[0] >= sender.maybe_between("state", ended_ns - 3_500_000_000, ended_ns)[0]
    assert numbers(open_recording(again))[0] == got[-1] + 1, "the second snapshot goes on where the first ended"
    for each in (folder, again):
        assert verify(each).damage == []


def test_a_snapshot_that_the_disk_refuses_can_be_asked_for_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with running(workspace, snapshot_s=5.0) as (recorder, sender):
        time.sleep(1)
        recorder.mark("mark", "braked")
        asked_ns = HOST_CLOCK.now_ns()
        with monkeypatch.context() as full:
            full.setattr("capture.bag.appended_file.os.writev", refusing)
            with pytest.raises(CaptureError, match="No space left"):
                recorder.snapshot()
        time.sleep(0.3)
        recording = open_recording(recorder.snapshot())
    got = numbers(recording)
    assert set(sender.surely_between("state", 0, asked_ns)) <= set(got)
    assert got == list(range(got[0], got[-1] + 1))
    assert recording.counts["fieldrig/marks"] == 1
    assert verify(recording.folder).damage == []


def test_what_is_marked_before_a_snapshot_is_in_it_and_what_is_older_than_it_is_not(workspace: Workspace) -> None:
    with running(workspace, snapshot_s=2.0) as (recorder, _):
        keys = Keys(recorder, threading.Event(), lambda: None)
        recorder.mark("mark", "long ago")
        time.sleep(2.5)
        recorder.mark("mark", "braked")
        for key in ("n", *"a child", ENTER):
            keys.press(key)
        with pytest.raises(CaptureError, match="nothing is being recorded"):
            recorder.episode_start("fold")
        assert [mark.text for mark in recorder.state().marks] == ["long ago", "braked", "a child"]
        first = open_recording(recorder.snapshot())
        assert recorder.state().marks == ()
        recorder.mark("mark", "later")
        second = open_recording(recorder.snapshot())
    assert [text_of(each.sample) for each in first.samples(["fieldrig/marks"])] == ["braked", "a child"]
    assert [each.text for each in first.info.marks] == ["braked", "a child"]
    assert [each.text for each in second.info.marks] == ["later"]
    assert [text_of(each.sample) for each in second.samples(["fieldrig/marks"])] == ["later"]
    assert verify(first.folder).damage == []


def test_what_is_rejected_while_a_take_or_a_snapshot_is_being_closed_is_none_of_its_own(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else sends to a lidar's port, 200 datagrams a second; closing takes two seconds."""

    def slowly(*arguments: object) -> object:
        time.sleep(2)
        return account(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("capture.session.account", slowly)
    lidar = {"driver": "velodyne", "model": "VLP-16", "host": "127.0.0.1", "port": free_ports(1)[0], "position_port": free_ports(1)[0]}  # fmt: skip
    rig = rig_from_dict({"name": "bench", "sensors": {"lidar": lidar}})
    with Recorder(rig, workspace, snapshot_s=30) as recorder, Sender({"state": int(str(lidar["port"]))}, 200):
        recorder.run()
        time.sleep(0.6)
        folders = [recorder.snapshot()]
        recorder.start()
        time.sleep(0.5)
        folders.append(recorder.stop())
    for folder in folders:
        (reason,) = [line for line in load_info(folder).reasons if "not as the sensor sends them" in line]
        rejected = int(re.findall(r": (\d+) packets", reason)[0])
        assert 50 < rejected <= open_recording(folder).counts["lidar/points"] + 150, "a reader is a moment ahead"


def test_a_memory_that_is_too_small_goes_on_saying_so_after_each_snapshot(workspace: Workspace) -> None:
    with running(workspace, snapshot_s=30, limits=Limits(memory_bytes=100_000)) as (recorder, _):
        wait_for(lambda: any("the memory holds" in alarm for alarm in recorder.state().alarms))
        for _ in range(2):
            recorder.snapshot()
            for _ in range(5):
                told = [alarm for alarm in recorder.state().alarms if "the memory holds" in alarm]
                assert len(told) == 1, "it would ring again"
                time.sleep(0.02)


def test_a_memory_that_is_too_small_says_how_far_it_reaches_and_so_does_its_snapshot(workspace: Workspace) -> None:
    with running(workspace, snapshot_s=30, limits=Limits(memory_bytes=300_000)) as (recorder, sender):
        wait_for(lambda: any("the memory holds" in alarm for alarm in recorder.state().alarms))
        time.sleep(2)
        state, asked_ns = recorder.state(), HOST_CLOCK.now_ns()
        recording = open_recording(recorder.snapshot())
    (alarm,) = (each for each in state.alarms if "the memory holds" in each)
    said = re.fullmatch(
        r"the memory holds (\d+) s of the 30 s asked for, at this rate, in its 0\.0003 GB; ask for less, or lower the cameras' rates",
        alarm,
    )
    assert said
    assert state.kept_asked_s == 30
    assert 1 < state.kept_s < 5
    assert abs(int(said[1]) - state.kept_s) < 1.5
    got = numbers(recording)
    assert got == list(range(got[0], got[-1] + 1))
    assert got[-1] >= sender.surely_between("state", 0, asked_ns)[-1]
    held = [len(each.packet.data) + 200 for each in recording.packets(["robot/state", "robot/action"])]
    assert 290_000 < sum(held) <= 300_000, "it holds what it may"
    assert any(re.fullmatch(r"30 s were asked for, the memory held \d\.\d s", note) for note in recording.info.notes)
    assert all(loss.total == 0 for loss in recording.info.losses.values())
    assert verify(recording.folder).damage == []


def test_a_memory_that_is_too_small_is_told_long_before_it_is_full_and_one_that_suffices_never(
    workspace: Workspace,
) -> None:
    """At ~125 kB/s."""
    with running(workspace, snapshot_s=60, limits=Limits(memory_bytes=5_000_000)) as (recorder, _):
        wait_for(lambda: any("the memory holds" in alarm for alarm in recorder.state().alarms))
        assert recorder.state().kept_s < 10
    with running(workspace, snapshot_s=60, limits=Limits(memory_bytes=50_000_000)) as (recorder, _):
        until_s = time.monotonic() + 5
        while time.monotonic() < until_s:
            assert not any("the memory holds" in alarm for alarm in recorder.state().alarms)
            time.sleep(0.05)


def test_another_program_steers_the_recorder_and_sees_what_it_does(workspace: Workspace) -> None:
    with pytest.raises(CaptureError, match=r"no recorder runs in .*; start one with `fieldrig record"):
        RecorderClient.find(workspace)
    with running(workspace) as (recorder, _), contextlib.closing(ControlServer(recorder, workspace, "bench")):
        client = RecorderClient.find(workspace)
        assert client.state().mode == "standby"
        folder = client.start(operator="ada", consent_ids=["c1", "c2"])
        client.mark("door closed")
        client.note("rain")
        client.episode_start("fold")
        seen: list[RecorderState] = []
        for state in client.watch(20):
            seen.append(state)
            if len(seen) >= 8 and state.streams[0].received > seen[0].streams[0].received:
                break
        assert {state.mode for state in seen} == {"recording"}
        assert (seen[-1].operator, seen[-1].consent_ids, seen[-1].episode.task) == ("ada", ("c1", "c2"), "fold")
        assert [mark.text for mark in seen[-1].marks] == ["door closed", "rain", "fold"]
        client.episode_stop("success")
        assert client.preview("robot/state") == []
        packets: list[Packet] = []
        wait_for(lambda: bool(packets.extend(client.preview("robot/state")) or packets))
        assert json.loads(packets[-1].data)["topic"] == "state"
        with pytest.raises(CaptureError, match="has no stream 'no/such'; it has: robot/state"):
            client.preview("no/such")
        with pytest.raises(CaptureError, match="one of success, failure, discard, not 'perfect'"):
            client.episode_stop("perfect")  # type: ignore[arg-type]
        client.pause()
        assert client.state().mode == "paused"
        client.describe(site="yard")
        assert client.stop() == folder
        assert client.state().last_folder == str(folder)
    info = open_recording(folder).info
    assert (info.operator, info.site, info.consent_ids) == ("ada", "yard", ("c1", "c2"))
    assert len(info.pauses) == 1
    with pytest.raises(CaptureError, match="the recorder has ended"):
        client.state()


def test_a_caller_without_the_secret_is_refused(workspace: Workspace) -> None:
    with running(workspace) as (recorder, _), contextlib.closing(ControlServer(recorder, workspace, "bench")):
        path = address_file(workspace, "bench")
        assert path.stat().st_mode & 0o077 == 0
        guessed = replace(read_address(path), token="guessed")
        with pytest.raises(CaptureError, match="the secret is another one"):
            RecorderClient(guessed).start()
        assert not recorder.is_recording


def test_commands_from_many_threads_leave_whole_recordings(workspace: Workspace) -> None:
    """Fingers on the page, the keys and a script at once: whatever order they come in, nothing is torn."""
    with running(workspace) as (recorder, _):
        stop = threading.Event()

        def press(what: str) -> None:
            while not stop.is_set():
                with contextlib.suppress(CaptureError):
                    getattr(recorder, what)(*(("mark", "x") if what == "mark" else ()))
                time.sleep(0.01)

        fingers = [
            threading.Thread(target=press, args=(what,)) for what in ("start", "stop", "pause", "resume", "mark")
        ]
        for finger in fingers:
            finger.start()
        for _ in range(30):
            recorder.state()
            time.sleep(0.05)
        stop.set()
        for finger in fingers:
            finger.join()
    folders = sorted(workspace.recordings.iterdir())
    assert len(folders) > 2
    for folder in folders:
        assert verify(folder).damage == []


def test_what_a_recorder_takes_down_while_it_goes_on_never_overwrites_what_it_says_at_the_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stays with it looks for gaps in one thread; the page ends it in another."""
    passing = Interruption(sensor="robot", from_ns=HOST_CLOCK.now_ns(), to_ns=None, why="gone for a moment")

    def attending() -> None:
        with monkeypatch.context() as looking:
            looking.setattr(Intake, "interruptions", lambda *_: (passing,))
            recorder.tend()

    def account_meanwhile(*arguments: object) -> object:
        thread = threading.Thread(target=attending)
        thread.start()
        thread.join()
        return account(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("capture.session.account", account_meanwhile)
    with running(workspace) as (recorder, _):
        recorder.start()
        wait_for(lambda: recorder.sensors.inlets[0].received > 20)
        info = load_info(recorder.stop())
    assert (info.interruptions, info.reasons, info.verdict) == ((), (), "good")


def test_a_crew_is_told_at_once_when_a_clock_was_set(workspace: Workspace) -> None:
    (state, action), shift_ns, chance = free_ports(2), [0], random.Random(1)

    def send(stop: threading.Event) -> None:
        """It says of itself how unevenly late it is, so that a busy machine adds little to that."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not stop.wait(0.005):
                t_ns = HOST_CLOCK.now_ns() + shift_ns[0] - chance.randrange(40_000_000)
                out.sendto(line(t_ns, "state", 1), ("127.0.0.1", state))

    stop = threading.Event()
    sending = threading.Thread(target=send, args=(stop,))
    with Recorder(robot_rig(state, action), workspace) as recorder:
        recorder.run()
        sending.start()
        recorder.start()
        time.sleep(2)
        assert not any("was set" in alarm for alarm in recorder.state().alarms)
        shift_ns[0] = -3_000_000_000
        wait_for(lambda: any("was set" in alarm for alarm in recorder.state().alarms))
        alarms = recorder.state().alarms
        info = load_info(recorder.stop())
        stop.set()
        sending.join()
    assert "the clock of robot/state was set; check what sets it (PTP, PPS, NTP)" in alarms
    assert "robot/state: its clock was set 1 times; each stretch has a fit of its own" in info.reasons
