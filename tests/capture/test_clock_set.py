"""Somebody sets this machine's wall clock while a recorder is at work."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from capture.clock_note import clock_note
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource, Stream
from devices.host_clock import HOST_CLOCK, ClockSet, since_boot_ns
from devices.samples import Packet, Stamps
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig

S = 1_000_000_000
NOW_NS = 1_790_000_000 * S
RUNS_ON = "; the recording's time runs on as it was"


class WallClock:
    """This machine's, which only a test sets: the machine's own is also that of whoever else runs on it, and somebody may set it."""

    def __init__(self) -> None:
        self.ahead_ns = 0
        self._at_boot_ns = time.time_ns() - since_boot_ns()

    def now_ns(self) -> int:
        return since_boot_ns() + self._at_boot_ns + self.ahead_ns

    def set_by(self, seconds: float) -> None:
        self.ahead_ns += round(seconds * S)


def without_seconds(note: str) -> str:
    """When it was noticed, a busy machine decides."""
    return re.sub(r"\d+ s after the start", "N s after the start", note)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[WallClock]:
    made = WallClock()
    monkeypatch.setattr(HOST_CLOCK, "_wall_ns", made.now_ns)
    yield made
    made.ahead_ns = 0
    HOST_CLOCK.anchor_anew()


@pytest.mark.parametrize("by_s", [-1.9, 3600.0])
def test_a_recording_s_time_runs_on_evenly_when_the_clock_is_set_and_says_so(
    by_s: float, tmp_path: Path, wall: WallClock
) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 200) as sender:
            folder = recorder.start()
            time.sleep(1)
            assert not any("was set" in alarm for alarm in recorder.state().alarms)
            wall.set_by(by_s)
            time.sleep(1)
            recorder.tend()
            state_now = recorder.state()
            (while_recording,) = load_info(folder).notes  # a recorder that is killed leaves it behind
            recorder.mark("note", "after it")
            time.sleep(0.2)
            recorder.stop()
    (alarm,) = state_now.alarms
    assert alarm.startswith(f"this machine's clock was set by {by_s:+.3f} s{RUNS_ON}; see what sets it")
    assert 1.9 < state_now.elapsed_s < 60
    assert max(stream.silent_s or 0 for stream in state_now.streams) < 1.8
    assert 0 <= state_now.queue_age_ms < 1500

    found = verify(folder)
    info = found.recording.info
    assert info.verdict == "good"
    assert found.doubts == []
    assert info.notes == (while_recording, "after it")
    assert (
        without_seconds(while_recording)
        == f"this machine's clock was set by {by_s:+.3f} s, N s after the start{RUNS_ON}"
    )
    assert all(len(fits) == 1 for fits in info.clocks.values())
    arrivals = [each.packet.stamps.host_ns for each in open_recording(folder).packets(["robot/state"])]
    assert arrivals == sorted(arrivals)
    assert max(later - earlier for earlier, later in pairwise(arrivals)) < 1.8 * S
    for arrival_ns in (arrivals[0], arrivals[-1]):
        assert sender.maybe_between("state", arrival_ns - S // 100, arrival_ns + S // 100)


def test_a_recording_begins_with_the_clock_as_it_was_set_before(tmp_path: Path, wall: WallClock) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 200):
            time.sleep(1)
            wall.set_by(-40)
            before_ns = wall.now_ns()
            folder = recorder.start()
            time.sleep(1)
            recorder.stop()
            after_ns = wall.now_ns()
    found = verify(folder)
    info = found.recording.info
    assert before_ns <= info.started_ns < (info.ended_ns or 0) <= after_ns
    assert (info.verdict, info.notes, found.doubts) == ("good", (), [])
    arrivals = [each.packet.stamps.host_ns for each in open_recording(folder).packets(["robot/state"])]
    assert before_ns <= arrivals[0] <= arrivals[-1] <= after_ns
    assert len(info.clocks["robot/state"]) == 1


def test_a_recorder_that_waits_follows_the_clock_but_not_while_another_records(tmp_path: Path, wall: WallClock) -> None:
    ports = free_ports(4)
    with (
        Recorder(robot_rig(*ports[:2]), Workspace(tmp_path / "a")) as one,
        Recorder(robot_rig(*ports[2:]), Workspace(tmp_path / "b")) as other,
    ):
        one.run()
        other.run()
        with Sender({"state": ports[0], "action": ports[1]}, 100):
            folder = one.start()
            wall.set_by(5)
            other.tend()
            assert abs(HOST_CLOCK.now_ns() - wall.now_ns()) > 4 * S
            time.sleep(0.5)
            one.stop()
        assert load_info(folder).verdict == "good"
        other.tend()
        assert abs(HOST_CLOCK.now_ns() - wall.now_ns()) < S // 1000


def test_a_snapshot_says_that_the_clock_was_set_while_it_was_held_in_memory(tmp_path: Path, wall: WallClock) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), snapshot_s=10) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 100):
            time.sleep(1)
            wall.set_by(-3)
            time.sleep(1)
            recorder.tend()
            folder = recorder.snapshot()
    found = verify(folder)
    assert found.doubts == []
    (note,) = found.recording.info.notes
    assert without_seconds(note) == f"this machine's clock was set by -3.000 s, N s after the start{RUNS_ON}"


def test_a_snapshot_says_that_its_time_is_another_than_the_clock_s_which_was_set_before(
    tmp_path: Path, wall: WallClock
) -> None:
    """What is held in memory has the time by which it came: host time is anchored anew by a start only."""
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), snapshot_s=0.5) as recorder:
        recorder.run()
        wall.set_by(-3)
        with Sender({"state": state, "action": action}, 100):
            time.sleep(2)
            recorder.tend()
            info = load_info(recorder.snapshot())
    (note,) = info.notes
    assert note.startswith("this machine's clock was set by -3.000 s, ")
    assert note.endswith(f" s before the start{RUNS_ON}, 3.000 s ahead of that clock from its start")
    assert S < info.started_ns - wall.now_ns() < 3 * S


@pytest.mark.parametrize("by_s", [-40, 40])
def test_a_snapshot_behind_a_refused_start_is_of_one_time(
    by_s: float, tmp_path: Path, wall: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start has anchored host time anew: what was held and marked before bears a time by the old anchor."""

    def refusing(*_: object) -> int:
        raise OSError(28, "No space left on device")

    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), snapshot_s=30) as recorder:
        recorder.run()
        with Sender({"state": state, "action": action}, 100):
            wait_for(lambda: recorder.sensors.inlets[0].received > 50)
            recorder.mark("mark", "before")
            wall.set_by(by_s)
            with monkeypatch.context() as full:
                full.setattr("capture.bag.appended_file.os.writev", refusing)
                with pytest.raises(CaptureError, match="No space left"):
                    recorder.start()
            assert recorder.state().marks == ()
            recorder.mark("mark", "behind")
            received = recorder.sensors.inlets[0].received
            wait_for(lambda: recorder.sensors.inlets[0].received > received + 50)
            folder, now_ns = recorder.snapshot(), wall.now_ns()
    recording = open_recording(folder)
    arrivals = [each.packet.stamps.host_ns for each in recording.packets(["robot/state"])]
    assert len(arrivals) > 50
    assert max(later - earlier for earlier, later in pairwise(arrivals)) < S
    assert now_ns - 5 * S < arrivals[0] == min(arrivals) < arrivals[-1] == max(arrivals) <= now_ns
    assert [mark.text for mark in recording.info.marks] == ["behind"]
    assert (recording.info.verdict, recording.info.notes, verify(folder).doubts) == ("good", (), [])


def test_a_clock_that_is_set_again_and_again_is_told_in_one_line() -> None:
    sets = [ClockSet(NOW_NS + at_s * S, by_s * S) for at_s, by_s in ((12, -3), (20, 3), (31, -2))]
    assert clock_note(sets, NOW_NS) == (
        f"this machine's clock was set 3 times, by -2.000 s in all, first 12 s after the start, last 31 s after the start{RUNS_ON}"
    )
    assert clock_note(sets[:1], NOW_NS + 15 * S) == (
        f"this machine's clock was set by -3.000 s, 3 s before the start{RUNS_ON}, 3.000 s ahead of that clock from its start"
    )
    assert clock_note(sets[1:], NOW_NS + 25 * S) == (
        "this machine's clock was set 2 times, by +1.000 s in all, first 5 s before the start, last 6 s after the start"
        f"{RUNS_ON}, 3.000 s behind that clock from its start"
    )
    assert clock_note(sets, NOW_NS + 25 * S).endswith(RUNS_ON), "it was right again when the recording began"
    assert clock_note([], NOW_NS) == ""


class Late:
    """A sensor whose driver holds each packet back for so long after it was stamped, as one that joins slices does."""

    lost = 0
    clock_source = ClockSource.FREE

    def __init__(self, name: str, held_s: float) -> None:
        self.stream = Stream(name, "raw")
        self._held_ns = round(held_s * S)
        self._waiting: deque[tuple[int, Packet]] = deque()

    def read(self, timeout_s: float) -> list[Packet]:
        time.sleep(0.005)
        boot_ns = since_boot_ns()
        self._waiting.append((boot_ns, Packet(self.stream.name, Stamps(HOST_CLOCK.now_ns(), boot_ns), b"x" * 10)))
        ready = []
        while self._waiting and boot_ns - self._waiting[0][0] >= self._held_ns:
            ready.append(self._waiting.popleft()[1])
        return ready

    def close(self) -> None: ...


@pytest.mark.parametrize("by_s", [-3.0, 3.0, 0.05])
def test_a_packet_that_was_under_way_while_the_clock_was_followed_sets_no_sensor_s_clock(
    by_s: float, tmp_path: Path, wall: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Late("robot/state", 0), Late("robot/action", 0.25)]
    monkeypatch.setattr(
        "capture.intake.open_inlets",
        lambda rig, own: [Inlet(index, source) for index, source in enumerate([*sources, *own])],
    )
    with Recorder(robot_rig(*free_ports(2)), Workspace(tmp_path)) as recorder:
        recorder.run()
        time.sleep(1.5)
        wall.set_by(by_s)
        folder = recorder.start()
        time.sleep(0.5)
        alarms = recorder.state().alarms
        time.sleep(1)
        recorder.stop()
    info = load_info(folder)
    assert (alarms, info.reasons, info.notes) == ((), (), ())
    assert [fit.stretch for fits in info.clocks.values() for fit in fits] == [0, 0]


@pytest.mark.parametrize("by_s", [-3.5, 30.0])
def test_a_silence_from_before_the_clock_was_followed_is_none_of_the_next_recording(
    by_s: float, tmp_path: Path, wall: WallClock
) -> None:
    state, action = free_ports(2)
    ports = {"state": state, "action": action}
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(silent_s=1)) as recorder:
        recorder.run()
        with Sender(ports, 100):
            time.sleep(0.3)
        time.sleep(2.5)
        with Sender(ports, 100):
            time.sleep(0.3)
            wall.set_by(by_s)
            folder = recorder.start()
            time.sleep(1.8)
            (streams, alarms) = recorder.state().streams, recorder.state().alarms
            recorder.stop()
    info = load_info(folder)
    assert (info.interruptions, info.reasons, alarms) == ((), (), ())
    assert max(each.jitter_ms for each in streams) < 200


@pytest.mark.parametrize("by_s", [-30.0, 30.0])
def test_a_silence_that_lasts_while_the_clock_is_followed_is_as_long_as_it_is(
    by_s: float, tmp_path: Path, wall: WallClock
) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(silent_s=0.6)) as recorder:
        recorder.run()
        began_s = time.monotonic()
        with Sender({"state": state, "action": action}, 100):
            time.sleep(0.3)
        ended_s = time.monotonic()
        wall.set_by(by_s)
        recorder.start()
        time.sleep(1)
        asked_s = time.monotonic()
        silent_s = [each.silent_s for each in recorder.state().streams if each.silent_s is not None]
        told_s = time.monotonic()
        info = load_info(recorder.stop())
    assert len(silent_s) == 2
    assert asked_s - ended_s <= min(silent_s) <= max(silent_s) <= told_s - began_s < 15
    (gap,) = info.interruptions
    assert (gap.from_ns, gap.to_ns) == (info.started_ns, None)
