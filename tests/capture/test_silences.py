"""A sensor over UDP that falls silent, as one whose cable is pulled does: the gap is written down, told once, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.attend import attend, record
from capture.errors import CaptureError
from capture.inlet import Inlet
from capture.interruptions import SILENCE, interruptions_in_words, interruptions_of
from capture.limits import Limits
from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import Interruption, RecordingInfo, load_info
from capture.repair import repair
from capture.stretch import Stretch
from capture.verify import verify
from capture.workspace import Workspace
from devices.device import ClockSource, Stream
from devices.rig import Rig, rig_from_dict
from devices.samples import Packet, Stamps
from tests.capture.killed import Killed
from tests.capture.recordings import wait_for
from tests.capture.rigs import Sender, free_ports, robot_rig
from tests.capture.test_commands import run

SECOND = 1_000_000_000
NEAR_NS = 150_000_000  # how late a busy machine may stamp what was sent


@contextlib.contextmanager
def watched(workspace: Workspace, ports: tuple[int, int], silent_s: float = 1.0) -> Iterator[Recorder]:
    """A recorder under way that somebody stays with, as the command does."""
    limits = Limits(silent_s=silent_s)
    with Recorder(robot_rig(*ports), workspace, limits) as recorder:
        recorder.run()
        stop = threading.Event()
        recorder.start()
        attending = threading.Thread(target=attend, args=(recorder, None, stop, None))
        attending.start()
        try:
            yield recorder
        finally:
            stop.set()
            attending.join()


def silences_told(recorder: Recorder) -> list[str]:
    """The crew may be alarmed by others: this machine's clock may be set while a test runs."""
    return [alarm for alarm in recorder.state().alarms if alarm.startswith("nothing from ")]


def assert_lies_between(gap: Interruption, before: Sender, after: Sender, *topics: str) -> None:
    """From the last that came before to the first behind it."""
    assert gap.to_ns is not None
    last_ns, last_out_ns = (max(times[each][-1] for each in topics) for times in (before.sent, before.out))
    first_ns, first_out_ns = (min(times[each][0] for each in topics) for times in (after.sent, after.out))
    assert last_ns - NEAR_NS < gap.from_ns < last_out_ns + NEAR_NS
    assert first_ns - NEAR_NS < gap.to_ns < first_out_ns + NEAR_NS


def lines_of(info: RecordingInfo) -> list[str]:
    return [line for line in info.reasons if "silent" in line or "said nothing" in line or "gone" in line]


def test_a_udp_sensor_that_is_unplugged_and_plugged_in_again_leaves_one_gap_that_is_told_once(tmp_path: Path) -> None:
    state, action = free_ports(2)
    ports = {"state": state, "action": action}
    workspace = Workspace(tmp_path)
    with watched(workspace, (state, action)) as recorder:
        with Sender(ports, 100) as before:
            time.sleep(1)
        wait_for(lambda: bool(silences_told(recorder)))
        (alarm,) = silences_told(recorder)
        assert alarm.startswith("nothing from robot for ")
        wait_for(lambda: bool(load_info(Path(recorder.state().folder)).interruptions))
        (known,) = load_info(Path(recorder.state().folder)).interruptions
        assert (known.sensor, known.stream, known.to_ns) == ("robot", "", None), "a kill would leave it so"
        time.sleep(0.8)
        with Sender(ports, 100) as after:
            wait_for(lambda: not silences_told(recorder))
            folder = recorder.stop()
    info = load_info(folder)
    (gap,) = info.interruptions
    assert (gap.sensor, gap.stream, gap.why) == ("robot", "", SILENCE)
    assert_lies_between(gap, before, after, "state", "action")
    (line,) = lines_of(info)
    long_s, at_s = ((gap.to_ns or 0) - gap.from_ns) / 1e9, (gap.from_ns - info.started_ns) / 1e9
    assert line == f"robot was silent for {long_s:.1f} s, {at_s:.1f} s after the start"
    assert info.verdict == "doubtful"
    found = verify(folder)
    assert found.damage == []
    assert [doubt for doubt in found.doubts if "robot" in doubt] == [line], "verify tells it again, or more than once"
    shown = run("info", folder.name, "--workspace", tmp_path)
    assert shown.stdout.count("silent") == shown.stdout.count(line) == 1


def test_a_stream_that_falls_silent_while_its_sensor_speaks_on_is_named(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with watched(Workspace(tmp_path), (state, action)) as recorder, Sender({"state": state}, 100):
        with Sender({"action": action}, 100) as before:
            time.sleep(0.5)
        wait_for(lambda: bool(silences_told(recorder)))
        assert silences_told(recorder)[0].startswith("nothing from robot/action for ")
        time.sleep(0.5)
        with Sender({"action": action}, 100) as after:
            time.sleep(0.4)
            folder = recorder.stop()
    (gap,) = load_info(folder).interruptions
    assert (gap.sensor, gap.stream) == ("robot", "robot/action")
    assert_lies_between(gap, before, after, "action")
    (line,) = lines_of(load_info(folder))
    assert line.startswith("robot/action was silent for ")


def test_a_sensor_that_does_not_come_back_is_silent_to_the_end(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with watched(Workspace(tmp_path), (state, action)) as recorder:
        with Sender({"state": state, "action": action}, 100):
            time.sleep(0.5)
        time.sleep(1.6)
        folder = recorder.stop()
    info = load_info(folder)
    (gap,) = info.interruptions
    assert (gap.sensor, gap.to_ns) == ("robot", None)
    (line,) = lines_of(info)
    assert info.ended_ns is not None
    assert info.ended_ns - gap.from_ns > 1.5 * SECOND
    assert line == f"robot was silent for the last {(info.ended_ns - gap.from_ns) / 1e9:.1f} s"


def test_a_silence_that_is_too_short_for_an_alarm_is_written_down_all_the_same_and_one_at_the_end_too(
    tmp_path: Path,
) -> None:
    state, action = free_ports(2)
    with watched(Workspace(tmp_path), (state, action), silent_s=60) as recorder:
        with Sender({"state": state, "action": action}, 100) as before:
            time.sleep(0.5)
        time.sleep(1.4)
        with Sender({"state": state, "action": action}, 100) as after:
            time.sleep(0.5)
        time.sleep(1.4)
        assert silences_told(recorder) == []
        folder = recorder.stop()
    info = load_info(folder)
    first, last = info.interruptions
    assert_lies_between(first, before, after, "state", "action")
    assert (last.sensor, last.to_ns, info.verdict) == ("robot", None, "doubtful")


def test_pauses_and_borders_of_takes_are_no_silences(tmp_path: Path) -> None:
    """Silent for more than 2 s about each border, of which a tenth at the most lies on either side."""
    state, action = free_ports(2)
    ports = {"state": state, "action": action}
    with watched(Workspace(tmp_path), (state, action), silent_s=2.5) as recorder:
        with Sender(ports, 100):
            time.sleep(0.4)
        time.sleep(0.1)
        recorder.pause()
        time.sleep(2.2)
        recorder.resume()
        time.sleep(0.1)
        with Sender(ports, 100):
            time.sleep(0.4)
        time.sleep(0.1)
        folders = [recorder.stop()]
        time.sleep(1.8)
        recorder.start()
        time.sleep(0.1)
        with Sender(ports, 100):
            time.sleep(0.4)
            folders.append(recorder.stop())
    for folder in folders:
        info = load_info(folder)
        assert (info.interruptions, lines_of(info)) == ((), [])


def test_a_stream_that_spoke_before_the_take_and_not_in_it_is_told_once_and_one_that_never_spoke_is_a_note(
    tmp_path: Path,
) -> None:
    state, action = free_ports(2)
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(silent_s=1)) as recorder:
        recorder.run()
        with Sender({"state": state}, 100):
            time.sleep(0.3)
            recorder.start()
            time.sleep(2.3)
            never = load_info(recorder.stop())
            with Sender({"action": action}, 100):
                time.sleep(0.3)
            recorder.start()
            time.sleep(2.3)
            before = load_info(recorder.stop())
    assert (never.interruptions, never.reasons) == ((), ())
    assert "nothing came on robot/action" in never.notes
    (gap,) = before.interruptions
    assert (gap.stream, gap.from_ns, gap.to_ns) == ("robot/action", before.started_ns, None)
    assert len(before.reasons) == 1
    assert not any("robot/action" in note for note in before.notes)


def test_a_sensor_of_which_rig_toml_says_that_it_speaks_seldom_is_not_silent_between(tmp_path: Path) -> None:
    (state,) = free_ports(1)
    robot = {"driver": "named_vector", "rate_hz": 2, "ports": {"state": state}}
    rig = rig_from_dict({"name": "bench", "sensors": {"robot": robot}})
    with Recorder(rig, Workspace(tmp_path), Limits(silent_s=0.3)) as recorder, Sender({"state": state}, 1.5):
        recorder.run()
        time.sleep(0.2)
        recorder.start()
        time.sleep(2)
        assert silences_told(recorder) == []
        info = load_info(recorder.stop())
    assert (info.interruptions, info.verdict) == ((), "good")


def slow_rig(robot: int, weather: int, rate_hz: float) -> Rig:
    sensors = {
        "robot": {"driver": "named_vector", "ports": {"state": robot}},
        "weather": {"driver": "named_vector", "rate_hz": rate_hz, "ports": {"state": weather}},
    }
    return rig_from_dict({"name": "bench", "sensors": sensors})


def test_a_slow_sensor_whose_first_word_comes_late_ends_no_recording(tmp_path: Path) -> None:
    robot, weather = free_ports(2)
    late = Sender({"state": weather}, 1)
    with Sender({"state": robot}, 50):
        waiting = threading.Timer(2, late.__enter__)
        waiting.start()
        folder = record(slow_rig(robot, weather, 1), Workspace(tmp_path), duration_s=4, limits=Limits(silent_s=1.2))
        waiting.join()
        late.stop()
    info = load_info(folder)
    assert info.counts["weather/state"] >= 1
    assert (info.interruptions, info.reasons, info.verdict) == ((), (), "good")


def test_a_take_that_is_shorter_than_a_slow_sensor_rests_is_good_without_its_word(tmp_path: Path) -> None:
    robot, weather = free_ports(2)
    with Sender({"state": robot}, 50):
        rig = slow_rig(robot, weather, 0.1)
        info = load_info(record(rig, Workspace(tmp_path), duration_s=2, limits=Limits(silent_s=1.2)))
    assert (info.reasons, info.verdict) == ((), "good")
    assert "nothing came on weather/state" in info.notes


def test_a_slow_sensor_that_is_dead_is_named_once_it_is_overdue(tmp_path: Path) -> None:
    robot, weather = free_ports(2)
    with Sender({"state": robot}, 50), pytest.raises(CaptureError) as error:
        record(slow_rig(robot, weather, 4), Workspace(tmp_path), duration_s=60, limits=Limits(silent_s=1.2))
    said = re.match(r"nothing came from weather in (\d+\.\d) s; ", str(error.value))
    assert said is not None
    assert 1.2 <= float(said[1]) < 15
    (info,) = map(load_info, Workspace(tmp_path).recordings.iterdir())
    assert info.reasons == ("weather said nothing",)


def test_what_is_played_from_a_file_with_its_own_old_times_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Played:
        stream = Stream("robot/state", "raw")
        lost = 0
        clock_source = ClockSource.NONE
        packets = 0

        def read(self, timeout_s: float) -> list[Packet]:
            time.sleep(0.02)
            self.packets += 1
            return [Packet("robot/state", Stamps(10**18 + self.packets * SECOND // 50), b"x" * 10)]

        def close(self) -> None: ...

    monkeypatch.setattr("capture.intake.open_inlets", lambda rig, own: [Inlet(0, Played()), Inlet(1, own[0])])
    folder = record(robot_rig(*free_ports(2)), Workspace(tmp_path), duration_s=2.5, limits=Limits(silent_s=1.2))
    info = load_info(folder)
    assert info.counts["robot/state"] > 40
    assert (info.interruptions, info.reasons) == ((), ())


def test_a_snapshot_has_the_gaps_of_its_own_seconds_and_of_no_others(tmp_path: Path) -> None:
    state, action = free_ports(2)
    ports = {"state": state, "action": action}
    with Recorder(robot_rig(state, action), Workspace(tmp_path), Limits(silent_s=1.2), snapshot_s=10) as recorder:
        recorder.run()
        with Sender(ports, 100) as before:
            time.sleep(0.5)
        time.sleep(1.6)
        with Sender(ports, 100) as after:
            time.sleep(0.4)
            with_gap = load_info(recorder.snapshot())
            time.sleep(0.8)
            without_gap = load_info(recorder.snapshot())
    (gap,) = with_gap.interruptions
    assert_lies_between(gap, before, after, "state", "action")
    (line,) = lines_of(with_gap)
    assert line.startswith(f"robot was silent for {((gap.to_ns or 0) - gap.from_ns) / 1e9:.1f} s")
    assert (without_gap.interruptions, without_gap.verdict) == ((), "good")


def left_behind(killed: Killed) -> RecordingInfo:
    """By a recorder that is killed now, as repaired."""
    killed.process.kill()
    killed.process.wait()
    assert killed.process.stdout is not None
    killed.process.stdout.close()
    repair(killed.folder)
    return load_info(killed.folder)


def test_a_recorder_that_is_killed_while_a_sensor_is_silent_leaves_the_gap_behind(tmp_path: Path) -> None:
    killed = Killed(tmp_path, rate_hz=100, padding=0)
    killed.wait_until_open()
    with Sender({"state": killed.ports["state"]}, 100):
        with Sender({"action": killed.ports["action"]}, 100):
            time.sleep(1)
        time.sleep(6.5)
        info = left_behind(killed)
    (gap,) = info.interruptions
    assert (gap.stream, gap.to_ns) == ("robot/action", None)
    *_, last = open_recording(killed.folder).packets(["robot/action"])
    assert gap.from_ns == last.packet.stamps.host_ns
    (line,) = lines_of(info)
    assert info.ended_ns is not None
    assert info.ended_ns - gap.from_ns > 5 * SECOND
    assert line == f"robot/action was silent for the last {(info.ended_ns - gap.from_ns) / 1e9:.1f} s"


def test_a_recorder_that_is_killed_while_its_only_sensor_is_silent_leaves_a_recording_that_lasts_as_long(
    tmp_path: Path,
) -> None:
    killed = Killed(tmp_path, rate_hz=100, padding=0)
    killed.wait_until_open()
    with killed.sender:
        time.sleep(0.5)
    time.sleep(6.5)
    info = left_behind(killed)
    (gap,) = info.interruptions
    assert (gap.sensor, gap.stream, gap.to_ns) == ("robot", "", None)
    assert info.ended_ns is not None
    assert info.ended_ns - gap.from_ns > 5 * SECOND
    assert any(line.startswith("robot was silent for the last ") for line in info.reasons)


# what a sensor's streams add up to, and in which words


def silences(**streams: list[tuple[int, int]]) -> dict[str, list[Stretch]]:
    return {
        f"lidar/{name}": [Stretch(start * SECOND, end * SECOND) for start, end in pairs]
        for name, pairs in streams.items()
    }


def found(
    quiet: dict[str, list[Stretch]],
    gone: tuple[tuple[int, int | None], ...] = (),
    pauses: tuple[tuple[int, int], ...] = (),
) -> list[tuple[str, int, int | None]]:
    """In a recording of 100 s."""
    known = [
        Interruption(
            sensor="lidar", from_ns=start * SECOND, to_ns=None if end is None else end * SECOND, why="unplugged"
        )
        for start, end in gone
    ]
    paused = [Stretch(start * SECOND, end * SECOND) for start, end in pauses]
    made = interruptions_of("lidar", quiet, known, paused, Stretch(0, 100 * SECOND), 5 * SECOND)
    return [
        (each.stream or each.sensor, each.from_ns // SECOND, None if each.to_ns is None else each.to_ns // SECOND)
        for each in made
    ]


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [
        ({"points": [(10, 20)], "imu": [(10, 20)]}, [("lidar", 10, 20)]),
        ({"points": [(10, 20)], "imu": [(12, 23)]}, [("lidar", 12, 20)]),
        ({"points": [(10, 40)], "imu": [(30, 41)]}, [("lidar/points", 10, 30), ("lidar", 30, 40)]),
        ({"points": [(10, 20)], "imu": [(30, 40)]}, [("lidar/points", 10, 20), ("lidar/imu", 30, 40)]),
        ({"points": [(10, 20)], "imu": []}, [("lidar/points", 10, 20)]),
        ({"points": [(90, 104)], "imu": [(90, 100)]}, [("lidar", 90, None)]),
        ({"points": [(-9, 4)], "imu": [(97, 120)]}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_streams_that_are_silent_at_once_are_one_gap_of_their_sensor(
    quiet: dict[str, list[tuple[int, int]]], expected: list[tuple[str, int, int | None]]
) -> None:
    assert found(silences(**quiet)) == expected


@pytest.mark.parametrize(
    ("quiet", "gone", "expected"),
    [
        ([(10, 25)], (20, 24), [("lidar", 10, 25)]),  # silent, and then known to be gone
        ([(10, 35)], (20, 24), [("lidar", 10, 35)]),
        ([(18, 26)], (20, 24), [("lidar", 18, 26)]),  # from its last packet to the next
        ([(10, 100)], (20, None), [("lidar", 10, None)]),
        ([(40, 50)], (20, 24), [("lidar", 20, 24), ("lidar", 40, 50)]),
        ([], (98, 104), [("lidar", 98, None)]),
        ([], (104, 108), []),
    ],
)
def test_a_silence_that_ends_in_a_lost_connection_is_one_gap_with_it(
    quiet: list[tuple[int, int]], gone: tuple[int, int | None], expected: list[tuple[str, int, int | None]]
) -> None:
    assert found(silences(image=quiet), (gone,)) == expected


def test_what_is_silent_in_a_pause_counts_only_beside_it() -> None:
    quiet = silences(points=[(10, 40)])
    assert found(quiet, pauses=((12, 38),)) == []
    assert found(quiet, pauses=((16, 38),)) == [("lidar", 10, 16)]


def test_many_gaps_of_a_sensor_are_one_line() -> None:
    many = [
        Interruption(sensor="lidar", from_ns=n * 10 * SECOND, to_ns=(n * 10 + 5 + n) * SECOND, why=SILENCE)
        for n in range(4)
    ]
    other = Interruption(sensor="imu", from_ns=0, to_ns=6 * SECOND, why=SILENCE)
    assert interruptions_in_words([*many, other], 0, 60 * SECOND) == [
        "lidar was silent 4 times, for 26.0 s in all, the longest 8.0 s, 30.0 s after the start",
        "imu was silent for 6.0 s from the start on",
    ]
