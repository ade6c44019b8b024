"""verify judges the gaps of a stream: what is long against its own rate and stands nowhere in the recording's account is a doubt."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from capture.attend import record
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import Interruption, Losses, Pause, load_info
from capture.stream_check import StreamCheck
from capture.verify import verify
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig

MS, SECOND = 1_000_000, 1_000_000_000


def checked(stamps_ms: Iterable[float], lost_before: Iterable[int] = ()) -> StreamCheck:
    """lost_before: numbers of packets in front of which one is missing."""
    check, sequence, gaps = StreamCheck("robot/state"), 0, set(lost_before)
    for number, t_ms in enumerate(stamps_ms):
        sequence += number in gaps
        check.take(sequence, round(t_ms * MS), None)
        sequence += 1
    return check


def unusual_ms(check: StreamCheck) -> list[float]:
    unusual = ((gap, check.intervals.unusual_ns(gap.ns)) for gap in check.long)
    return [gap.ns / MS for gap, least_ns in unusual if least_ns is not None and gap.ns >= least_ns]


def steady(hz: float, seconds: float, jitter: float = 0.3) -> list[float]:
    chance = random.Random(1)
    return sorted((n + jitter * chance.random()) * 1e3 / hz for n in range(round(hz * seconds)))


def bursts(count: int, hz: float, seconds: float) -> list[float]:
    return [burst * 1e3 / hz + n * 0.8 for burst in range(round(hz * seconds)) for n in range(count)]


@pytest.mark.parametrize("stamps_ms", [steady(640, 20), steady(30, 60, 2.5), steady(1, 120), bursts(20, 1, 60), steady(0.2, 600), [0.0, 3000.0], []],
                         ids=["lidar", "Wi-Fi camera", "GNSS", "bursts of GNSS", "every five seconds", "two", "none"])  # fmt: skip
def test_a_stream_that_speaks_as_it_is_wont_to_has_no_unusual_gap(stamps_ms: list[float]) -> None:
    assert unusual_ms(checked(stamps_ms)) == []


@pytest.mark.parametrize(("hz", "gap_ms"), [(640, 1200), (30, 1500), (10, 40_000), (1, 6000)])
def test_one_that_stays_away_for_much_longer_has_one(hz: float, gap_ms: float) -> None:
    before = steady(hz, 30, 0)
    after = [before[-1] + gap_ms + t_ms for t_ms in before]
    assert unusual_ms(checked([*before, *after])) == [pytest.approx(gap_ms)]
    assert unusual_ms(checked([*before, *after], [len(before)])) == [], "what is missing in between is told already"


def test_a_pause_or_a_gap_that_lasts_for_longer_than_the_stream_spoke_makes_no_other_gap_usual() -> None:
    stamps_ms = [t_ms + start_ms for start_ms in (0, 30_000, 34_500) for t_ms in steady(50, 1, 0)]
    assert unusual_ms(checked(stamps_ms)) == [pytest.approx(29_020), pytest.approx(3520)]


def test_pictures_that_a_link_held_up_were_taken_all_the_time() -> None:
    check = StreamCheck("camera/image")
    for n in range(300):
        sent_ns = n * 33 * MS
        check.take(n, max(sent_ns, 6 * SECOND) if n > 120 else sent_ns, sent_ns + 7)
    assert check.longest_gap_ns > 2 * SECOND
    assert unusual_ms(check) == []


def test_a_gap_that_nothing_explains_is_a_doubt_and_one_that_something_does_is_none(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path)) as recorder:
        recorder.run()
        with Sender({"state": state}, 100):
            with Sender({"action": action}, 100) as before:
                recorder.start()
                time.sleep(1.5)
            time.sleep(1.5)
            with Sender({"action": action}, 100) as after:
                time.sleep(1)
                folder = recorder.stop()
    told = load_info(folder)
    assert [each.stream for each in told.interruptions] == ["robot/action"], "the recorder tells by itself"
    told.model_copy(update={"interruptions": (), "reasons": (), "verdict": "good"}).save(folder)
    (doubt,) = verify(folder).doubts
    long_s = (after.sent["action"][0] - before.sent["action"][-1]) / 1e9
    assert doubt.startswith(f"robot/action: nothing came for {long_s:.1f} s, ")
    info = open_recording(folder).info
    start_ns, end_ns = before.sent["action"][-1], after.sent["action"][0]
    explained = (
        {"interruptions": (Interruption(sensor="robot", from_ns=start_ns + SECOND, to_ns=end_ns, why="gone"),)},
        {"interruptions": (Interruption(sensor="robot", stream="robot/action", from_ns=start_ns, to_ns=end_ns, why="gone"),)},
        {"pauses": (Pause(from_ns=start_ns + SECOND // 4, to_ns=end_ns - SECOND // 4),)},
        {"losses": {"robot/action": Losses(before_read=140)}},
    )  # fmt: skip
    few = {"losses": {"robot/action": Losses(before_read=20)}}
    other = {"interruptions": (Interruption(sensor="robot", stream="robot/state", from_ns=start_ns, to_ns=end_ns, why="gone"),)}  # fmt: skip
    for changes, doubts in [*((each, 0) for each in explained), (few, 1), (other, 1)]:
        info.model_copy(update=changes).save(folder)
        assert len([line for line in verify(folder).doubts if "nothing came" in line]) == doubts, changes


def test_a_gap_that_verify_judges_costs_a_recording_of_a_busy_machine_nothing(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 200):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=3)
    assert verify(folder).doubts == []
