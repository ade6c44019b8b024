"""The one thread that empties the queue: nothing at the side ends it, and when it has ended, everybody learns so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capture.attend import record
from capture.clock.filter import ClockFilter
from capture.clock.stamper import Stamper
from capture.errors import CaptureError
from capture.packet_queue import PacketQueue, Queued
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.session import Session
from capture.tap import Tap
from capture.verify import verify
from capture.workspace import Workspace
from capture.writer_thread import WriterThread
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def ports() -> dict[str, int]:
    return dict(zip(("state", "action"), free_ports(2), strict=True))


@pytest.fixture
def sender(ports: dict[str, int]) -> Iterator[Sender]:
    with Sender(ports, 200) as sender:
        yield sender


def failing(*_: object) -> None:
    raise ZeroDivisionError("a defect")


def ending_after(packets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect that ends the thread."""
    release, released = PacketQueue.release, []

    def defective(self: PacketQueue, queued: Queued) -> None:
        released.append(queued)
        if len(released) > packets:
            failing()
        release(self, queued)

    monkeypatch.setattr(PacketQueue, "release", defective)


def test_a_writer_that_has_ended_ends_the_recording_whole_with_every_packet_accounted_for(
    workspace: Workspace, ports: dict[str, int], sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending_after(150, monkeypatch)
    began_s = time.monotonic()
    with pytest.raises(
        CaptureError, match=r"recording stopped: the writer failed: ZeroDivisionError: a defect; .*complete in"
    ):
        record(robot_rig(**ports), workspace, duration_s=60)
    assert time.monotonic() - began_s < 40
    (folder,) = workspace.recordings.iterdir()
    info = load_info(folder)
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any("the writer failed" in reason for reason in info.reasons)
    assert verify(folder).damage == []
    assert sum(loss.queue for loss in info.losses.values()) > 5
    assert info.ended_ns is not None
    for topic in sender.sent:
        came = info.counts[f"robot/{topic}"] + info.losses[f"robot/{topic}"].total
        assert len(sender.surely_between(topic, info.started_ns, info.ended_ns)) <= came
        assert came <= len(sender.maybe_between(topic, info.started_ns, info.ended_ns))


def test_after_a_writer_has_ended_no_recording_begins_and_none_is_left_half_made(
    workspace: Workspace, ports: dict[str, int], sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending_after(50, monkeypatch)
    with Recorder(robot_rig(**ports), workspace) as recorder:
        recorder.run()
        wait_for(lambda: any("the writer failed" in alarm for alarm in recorder.state().alarms))
        assert recorder.trouble == "", "nothing is being recorded"
        with pytest.raises(CaptureError, match=r"the writer failed: ZeroDivisionError.*start it anew"):
            recorder.start()
    assert list(workspace.recordings.glob("*")) == []
    assert len(sender.sent["state"]) > 0


@pytest.mark.parametrize("at_the_side", [(Session, "begin"), (Session, "pause")])
def test_a_defect_at_the_side_does_not_end_the_writer_and_is_told(
    workspace: Workspace,
    ports: dict[str, int],
    sender: Sender,
    monkeypatch: pytest.MonkeyPatch,
    at_the_side: tuple[type, str],
) -> None:
    monkeypatch.setattr(*at_the_side, failing)
    with Recorder(robot_rig(**ports), workspace) as recorder:
        recorder.run()
        recorder.start()
        time.sleep(0.3)
        recorder.pause()
        before = recorder.sensors.inlets[0].received
        wait_for(lambda: recorder.sensors.inlets[0].received > before + 50)
        assert (recorder.trouble, recorder.is_recording) == ("", True)
        assert any("ZeroDivisionError: a defect" in alarm for alarm in recorder.state().alarms)
        monkeypatch.undo()
        info = load_info(recorder.stop())
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any("ZeroDivisionError: a defect" in reason for reason in info.reasons)
    assert info.counts["robot/state"] > 20
    assert len(sender.sent["state"]) > info.counts["robot/state"]


def test_a_preview_that_fails_is_an_alarm_and_says_nothing_against_the_recording(
    workspace: Workspace, ports: dict[str, int], sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tap, "offer", failing)
    with Recorder(robot_rig(**ports), workspace) as recorder:
        recorder.run()
        recorder.start()
        recorder.preview("robot/state")
        wait_for(lambda: any("cannot be shown: ZeroDivisionError" in alarm for alarm in recorder.state().alarms))
        info = load_info(recorder.stop())
    assert (info.reasons, info.verdict) == ((), "good")
    assert len(sender.sent["state"]) >= info.counts["robot/state"] > 0


@pytest.mark.parametrize("spoils", ["a recording", "standby", "a snapshot"])
@pytest.mark.parametrize("defect", [(Stamper, "stamp_ns"), (ClockFilter, "add")])
def test_a_defect_that_has_passed_is_held_against_no_later_recording(
    workspace: Workspace,
    ports: dict[str, int],
    sender: Sender,
    monkeypatch: pytest.MonkeyPatch,
    spoils: str,
    defect: tuple[type, str],
) -> None:
    def defect_told() -> bool:
        return any("ZeroDivisionError: a defect" in alarm for alarm in recorder.state().alarms)

    with Recorder(robot_rig(**ports), workspace, snapshot_s=30 if spoils == "a snapshot" else None) as recorder:
        recorder.run()
        if spoils == "a recording":
            recorder.start()
        with monkeypatch.context() as spoilt:
            spoilt.setattr(*defect, failing)
            wait_for(defect_told)
        passed = recorder.sensors.inlets[0].received
        wait_for(lambda: recorder.sensors.inlets[0].received > passed + 40)
        if spoils != "standby":
            info = load_info(recorder.stop() if spoils == "a recording" else recorder.snapshot())
            assert info.verdict == "doubtful"
            assert any("ZeroDivisionError: a defect" in reason for reason in info.reasons)
            assert not defect_told()
        if spoils != "a snapshot":
            recorder.start()
            assert not defect_told()
        time.sleep(0.3)
        info = load_info(recorder.snapshot() if spoils == "a snapshot" else recorder.stop())
    assert (info.reasons, info.verdict) == ((), "good")
    assert len(sender.sent["state"]) > info.counts["robot/state"] > 0


def test_a_recording_whose_writer_ends_as_it_begins_leaves_nothing_behind(
    workspace: Workspace, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(robot_rig(**ports), workspace) as recorder:
        recorder.run()
        before = {thread.name for thread in threading.enumerate()}
        monkeypatch.setattr(WriterThread, "_complete", failing)
        with pytest.raises(CaptureError, match=r"the writer failed: ZeroDivisionError.*start it anew"):
            recorder.start()
        assert list(workspace.recordings.iterdir()) == []
        assert {thread.name for thread in threading.enumerate()} == before - {"fieldrig-writer"}
        assert recorder.state().mode == "standby"


def test_a_snapshot_whose_writer_ends_halfway_is_whole_and_says_so(
    workspace: Workspace, ports: dict[str, int], sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending_halfway(_: WriterThread, chore: Callable[[], bool]) -> None:
        for _ in range(10):
            chore()
        failing()

    monkeypatch.setattr(WriterThread, "_do_some", ending_halfway)
    with Recorder(robot_rig(**ports), workspace, snapshot_s=30) as recorder:
        recorder.run()
        wait_for(lambda: recorder.sensors.inlets[0].received > 60)
        recording = open_recording(recorder.snapshot())
    info = recording.info
    assert info.counts["robot/state"] > 50
    assert [each.sequence for each in recording.packets(["robot/state"])] == list(range(info.counts["robot/state"]))
    assert all(loss.total == 0 for loss in info.losses.values())
    assert (info.state, info.verdict) == ("finished", "doubtful")
    assert any("the writer failed: ZeroDivisionError: a defect" in reason for reason in info.reasons)
    assert verify(recording.folder).damage == []
    assert len(sender.sent["state"]) >= info.counts["robot/state"]
