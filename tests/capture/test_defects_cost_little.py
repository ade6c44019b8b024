"""What goes wrong inside: a thread that fails, a driver that lies, a disk that forgets. The recording goes on, ends whole, and says so."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from capture.attend import record
from capture.bag.chunk import OpenChunk
from capture.bag.segments import Split
from capture.clock.filter import ClockFilter
from capture.control.client import RecorderClient
from capture.control.server import ControlServer
from capture.details import Details
from capture.errors import CaptureError
from capture.health_topic import HealthTopic
from capture.inlet import Inlet
from capture.intake import open_inlets
from capture.limits import Limits
from capture.memory import Memory
from capture.packet_queue import Queued
from capture.recorder import Recorder
from capture.recorder_state import RecorderState
from capture.recording import open_recording
from capture.recording_info import NAME, load_info
from capture.repair import repair
from capture.take import Take
from capture.terminal.look import look
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource, Source, Stream
from devices.rig import Rig
from devices.samples import Packet, Stamps
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@contextlib.contextmanager
def fed(workspace: Workspace, **options: object):
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), workspace, **options) as recorder:  # type: ignore[arg-type]
        recorder.start()
        recorder.run()
        with Sender({"state": state, "action": action}, 200):
            yield recorder


def test_a_clock_that_fails_costs_no_packet_and_the_recording_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: ClockFilter, device_ns: int, host_ns: int) -> None:
        raise ZeroDivisionError("a defect")

    with fed(workspace) as recorder:
        time.sleep(0.3)
        monkeypatch.setattr(ClockFilter, "add", failing)
        wait_for(lambda: "a clock cannot be followed: ZeroDivisionError" in "; ".join(recorder.state().alarms))
        folder = recorder.stop()
    info = load_info(folder)
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any("a clock cannot be followed" in reason for reason in info.reasons)
    assert all(loss.total == 0 for loss in info.losses.values())
    assert verify(folder).damage == []


@pytest.mark.parametrize("failing", [(ClockFilter, "history"), (HealthTopic, "put_last_clocks")])
def test_a_defect_in_what_is_told_last_leaves_a_whole_recording(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, failing: tuple[type, str]
) -> None:
    def defective(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    with fed(workspace) as recorder:
        time.sleep(0.5)
        end = recorder._finish

        def ending(*words: Take) -> None:
            monkeypatch.setattr(*failing, defective)
            end(*words)

        monkeypatch.setattr(recorder, "_finish", ending)
        folder = recorder.stop()
        monkeypatch.undo()
    info = load_info(folder)
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any("could not be told at the end: ZeroDivisionError: a defect" in reason for reason in info.reasons)
    assert info.counts["robot/state"] > 50
    assert all(loss.total == 0 for loss in info.losses.values())
    assert verify(folder).damage == []


def test_a_driver_that_cannot_say_what_it_lost_does_not_end_the_recording(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(rig: Rig, own: Sequence[Source]) -> list[Inlet]:
        inlets = open_inlets(rig, own)
        broken = property(lambda self: 1 // 0 if time.monotonic() > began_s + 0.5 else ClockSource.FREE)
        monkeypatch.setattr(type(inlets[0].source), "clock_source", broken)
        return inlets

    began_s = time.monotonic()
    monkeypatch.setattr("capture.intake.open_inlets", opened)
    with fed(workspace) as recorder:
        time.sleep(2)
        monkeypatch.undo()
        folder = recorder.stop()
    info = load_info(folder)
    assert info.counts["robot/state"] > 250
    assert any("health could not be told at all times: ZeroDivisionError" in reason for reason in info.reasons)
    assert verify(folder).damage == []


@pytest.mark.parametrize("asked", ["lost", "clock_source", "rejected", "remark"])
def test_a_driver_that_fails_when_asked_costs_no_command(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """A sensor that is just going away is asked by the thread that writes, too."""
    with fed(workspace) as recorder:
        time.sleep(0.5)
        source = type(recorder.sensors.inlets[0].source)
        monkeypatch.setattr(source, asked, property(lambda self: os.fstat(-1)), raising=False)
        recorder.pause()
        time.sleep(0.2)
        recorder.resume()
        wait_for(lambda: "health could not be told at all times: OSError" in "; ".join(recorder.state().alarms))
        wait_for(lambda: recorder.sensors.inlets[0].received > 400)
        assert recorder.state().mode == "recording"
        folder = recorder.stop()
        monkeypatch.undo()
    info = load_info(folder)
    assert (info.state, info.verdict, info.interruptions) == ("finished", "doubtful", ())
    assert info.counts["robot/state"] > 250
    assert all(loss.total == 0 for loss in info.losses.values())
    assert verify(folder).damage == []


@pytest.mark.parametrize("what", ["capture.health_topic.HealthTopic.notes", "capture.health_topic.HealthTopic.doubts", "capture.account.judge", "capture.intake.interruptions_of"])  # fmt: skip
def test_a_defect_in_the_account_of_a_recording_leaves_it_closed_and_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    with fed(workspace) as recorder:
        time.sleep(0.6)
        recorder.mark("mark", "door closed")
        recorder.sensors.inlets[0].lost_earlier = 3
        monkeypatch.setattr(what, property(failing) if "HealthTopic" in what else failing)
        recorder.tend()
        folder = recorder.stop()
        monkeypatch.undo()
        assert recorder.state().last_folder == str(folder)
    info = load_info(folder)
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert [line for line in info.reasons if "could not be told" in line and "ZeroDivisionError: a defect" in line]
    assert info.ended_ns is not None
    assert 0.4e9 < info.ended_ns - info.started_ns < 30e9
    assert (info.losses["robot/state"].before_read, info.counts["fieldrig/marks"]) == (3, 1)
    assert verify(folder).damage == []


def test_a_packet_that_no_message_can_state_is_counted_and_the_next_one_is_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd:
        stream = Stream("robot/state", "raw")
        lost = 0
        clock_source = ClockSource.NONE
        packets = [Packet("robot/state", Stamps(10**18 + i if i != 5 else -7), b"x" * 10) for i in range(10)]  # noqa: RUF012

        def read(self, timeout_s: float) -> list[Packet]:
            taken, self.packets = self.packets, []
            if not taken:
                raise EOFError
            return taken

        def close(self) -> None: ...

    monkeypatch.setattr("capture.intake.open_inlets", lambda rig, own: [Inlet(0, Odd()), Inlet(1, own[0])])
    folder = record(robot_rig(*free_ports(2)), workspace, duration_s=5)
    info = load_info(folder)
    assert (info.counts["robot/state"], info.losses["robot/state"].not_written) == (9, 1)
    assert any("no message can state" in reason for reason in info.reasons)


def test_old_files_that_are_damaged_or_were_taken_away_do_not_end_keeping_the_newest_only(workspace: Workspace) -> None:
    with fed(workspace, limits=Limits(split=Split(bytes_max=40_000), keep_bytes=150_000)) as recorder:
        folder = Path(recorder.state().folder)
        wait_for(lambda: len(load_info(folder).segments) >= 2)
        taken, damaged = (folder / segment.name for segment in load_info(folder).segments[:2])
        taken.unlink()
        with damaged.open("r+b") as file:
            file.seek(damaged.stat().st_size // 2)
            file.write(b"damaged")
        wait_for(lambda: sum(segment.deleted for segment in load_info(folder).segments) >= 3)
        assert any("an older file could not be given up" in alarm for alarm in recorder.state().alarms)
        recorder.stop()
    info = load_info(folder)
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any(f"{damaged.name} is not the file that was recorded" in reason for reason in info.reasons)
    assert [segment.deleted for segment in info.segments[:4]] == [True, False, True, True]
    assert all((folder / segment.name).is_file() != segment.deleted for segment in info.segments)
    found = verify(folder).damage
    assert any(damaged.name in line for line in found)
    assert not any(taken.name in line for line in found)


def test_a_recording_whose_last_chunk_cannot_be_closed_is_repaired_while_its_recorder_stands_by(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    before = set(threading.enumerate())

    def threads() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - before}

    with fed(workspace) as recorder:
        time.sleep(0.8)
        of_a_recording, of_a_file = threads(), {"fieldrig-closer", "fieldrig-hash", "fieldrig-sync"}
        assert of_a_file < of_a_recording
        monkeypatch.setattr(OpenChunk, "close", failing)
        with pytest.raises(CaptureError, match="could not be closed: a defect; run: fieldrig repair"):
            recorder.stop()
        monkeypatch.undo()
        assert threads() == of_a_recording - of_a_file
        (folder,) = workspace.recordings.iterdir()
        assert list(folder.glob("*.reserve")) == []
        repair(folder)
    info = load_info(folder)
    assert (info.state, info.verdict) == ("repaired", "doubtful")
    assert info.counts["robot/state"] > 50
    assert verify(folder).damage == []


def test_a_disk_that_forgot_something_once_is_told_for_good(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux reports a failed write-back once: the next sync succeeds without what was lost."""
    sync, failed = os.fdatasync, []

    def forgetting(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr("capture.bag.syncer.os.fdatasync", forgetting)
    with fed(workspace) as recorder:
        wait_for(lambda: "did not keep all that it had taken" in "; ".join(recorder.state().alarms))
        folder = recorder.stop()
    assert load_info(folder).verdict == "doubtful"
    assert any("did not keep all that it had taken" in reason for reason in load_info(folder).reasons)


def test_a_disk_that_does_not_say_how_much_is_free_costs_an_alarm_but_no_recording(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: Path) -> None:
        raise OSError(5, "Input/output error")

    states: list[RecorderState] = []

    def note(state: RecorderState) -> None:
        states.append(state)
        monkeypatch.setattr(shutil, "disk_usage", unknown if 5 < len(states) < 20 else usage)

    usage = shutil.disk_usage
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 200):
        folder = record(robot_rig(state, action), workspace, duration_s=3, progress=note)
        with Recorder(robot_rig(*free_ports(2)), workspace) as recorder:
            monkeypatch.setattr(shutil, "disk_usage", unknown)
            with pytest.raises(CaptureError, match="does not say how much is free on it: Input/output error"):
                recorder.start()
    for each in (states[1], states[-1]):
        assert (each.free_bytes or 0) > 0
        assert not any("how much is free" in alarm for alarm in each.alarms)
    assert (states[10].free_bytes, states[10].disk_left_s) == (None, None)
    assert any("does not say how much is free on it: Input/output error" in alarm for alarm in states[10].alarms)
    assert "free space unknown" in str(look(states[10], []).renderables[0].caption)  # type: ignore[attr-defined]
    info = load_info(folder)
    assert (info.state, info.verdict, info.reasons) == ("finished", "good", ())
    assert info.counts["robot/state"] > 450


def test_what_the_crew_marks_in_a_pause_is_in_the_recording(workspace: Workspace) -> None:
    with fed(workspace) as recorder:
        time.sleep(0.3)
        recorder.pause()
        recorder.mark("note", "coffee")
        time.sleep(0.2)
        folder = recorder.stop()
    assert open_recording(folder).counts["fieldrig/marks"] == 1


def test_a_silence_before_the_first_packet_is_judged(workspace: Workspace) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), workspace, Limits(silent_s=1.2)) as recorder:
        recorder.run()
        recorder.start()
        time.sleep(1.5)
        with Sender({"state": state, "action": action}, 200):
            time.sleep(0.5)
            info = load_info(recorder.stop())
    (gap,) = info.interruptions
    assert gap.from_ns == info.started_ns
    assert f"robot was silent for {((gap.to_ns or 0) - gap.from_ns) / 1e9:.1f} s" in "; ".join(info.reasons)


def test_a_name_in_recording_json_reaches_no_file_outside_of_the_recording(workspace: Workspace) -> None:
    with fed(workspace) as recorder:
        time.sleep(0.3)
        folder = recorder.stop()
    precious = workspace.root / "precious.txt"
    precious.write_text("mine")
    said = json.loads((folder / NAME).read_text())
    said["segments"][0] |= {"name": "../../precious.txt", "deleted": True}
    (folder / NAME).write_text(json.dumps(said))
    with pytest.raises(CaptureError, match="segments"):
        repair(folder)
    assert precious.read_text() == "mine"


def test_times_that_cannot_be_are_a_broken_recording_json(workspace: Workspace) -> None:
    with fed(workspace) as recorder:
        time.sleep(0.2)
        folder = recorder.stop()
    said = json.loads((folder / NAME).read_text()) | {"started_ns": 10**30}
    (folder / NAME).write_text(json.dumps(said))
    with pytest.raises(CaptureError, match="started_ns"):
        load_info(folder)


def test_words_that_utf8_cannot_say_are_refused_and_change_nothing(workspace: Workspace) -> None:
    with pytest.raises(CaptureError, match=r"site: .* is no text in UTF-8"):
        Details().with_({"site": "k\udcfcche"})
    with fed(workspace) as recorder, contextlib.closing(ControlServer(recorder, workspace, "bench")):
        client = RecorderClient.find(workspace)
        for refused in (lambda: client.describe(site="\ud800"), lambda: client.mark("\ud800")):
            with pytest.raises(CaptureError, match="is no text in UTF-8"):
                refused()
        assert client.state().site == ""
        folder = client.stop()
    assert load_info(folder).state == "finished"


def test_a_machine_clock_that_is_set_does_not_empty_the_memory() -> None:
    inlet = Inlet(0, None)  # type: ignore[arg-type]
    memory = Memory(60, 1 << 20, [])
    for number, host_ns in enumerate((10**18, 10**18 + 1, 10**18 - 3600 * 10**9, 10**18 + 7200 * 10**9)):
        memory.take(Queued(inlet, number, Packet("a/b", Stamps(host_ns), b"x")), host_ns)
    assert [memory.pop()[0].sequence for _ in range(4)] == [0, 1, 2, 3]  # type: ignore[index]


@pytest.mark.parametrize("taken_bytes", [0, 200], ids=["nothing", "the first bytes"])
def test_a_disk_that_takes_no_chunk_leaves_nothing_and_the_next_start_succeeds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, taken_bytes: int
) -> None:
    write = os.writev

    def refusing(descriptor: int, buffers: Sequence[bytes]) -> int:
        if sum(map(len, buffers)) > taken_bytes:
            raise OSError(28, "No space left on device")
        return write(descriptor, buffers)

    with Recorder(robot_rig(*free_ports(2)), workspace, snapshot_s=30) as recorder:
        recorder.run()
        recorder.mark("mark", "braked")
        threads = set(threading.enumerate())
        monkeypatch.setattr("capture.bag.appended_file.os.writev", refusing)
        for begin in (recorder.start, recorder.snapshot, recorder.start):
            with pytest.raises(CaptureError, match=r"the disk refused .*No space left on device; free some space, or"):
                begin()
        monkeypatch.undo()
        assert list(workspace.recordings.iterdir()) == []
        assert set(threading.enumerate()) == threads
        assert recorder.state().mode == "snapshot"
        assert [mark.text for mark in recorder.state().marks] == ["braked"], "no recording has begun"
        folder = recorder.start()
        assert recorder.state().marks == ()
    assert load_info(folder).state == "finished"
