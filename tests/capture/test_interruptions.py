"""What a sensor's lost connections and silences add up to: nothing twice, nothing left out, and quickly where there are thousands."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.intake import Intake
from capture.interruptions import interruptions_in_words, interruptions_of
from capture.recorder import Recorder
from capture.recording_info import Interruption, load_info
from capture.stretch import Stretch, in_all, within, without
from capture.workspace import Workspace
from devices.host_clock import HOST_CLOCK
from devices.rig import rig_from_dict
from tests.capture.recordings import wait_for
from tests.capture.rigs import free_ports, robot_rig

SECOND = 1_000_000_000
MANY = 5000
SPAN = Stretch(0, 100)


def gone(from_ns: int, to_ns: int | None, why: str = "it closed the line") -> Interruption:
    return Interruption(sensor="gnss", from_ns=from_ns, to_ns=to_ns, why=why)


def stretch_of(each: Interruption, span: Stretch = SPAN) -> Stretch:
    return Stretch(each.from_ns, span.to_ns if each.to_ns is None else each.to_ns)


stretches = st.lists(
    st.tuples(st.integers(-20, 120), st.integers(1, 40)).map(lambda each: Stretch(each[0], sum(each))), max_size=12
)


def covered(each: list[Stretch]) -> set[int]:
    return {at for part in each for at in range(part.from_ns, part.to_ns)}


@given(stretches, stretches)
def test_what_is_left_of_stretches_beside_others_and_common_to_them_is_what_counting_says(
    one: list[Stretch], other: list[Stretch]
) -> None:
    first, second = within(one, SPAN), within(other, SPAN)
    assert covered(without(first, other)) == covered(first) - covered(other)
    assert without(first, other) == within(without(first, other), SPAN)
    assert covered(in_all([first, second])) == covered(first) & covered(second)
    assert in_all([first, second]) == within(in_all([first, second]), SPAN)


@given(stretches, stretches, stretches, stretches)
def test_interruptions_of_a_sensor_never_overlap_and_leave_nothing_out(
    lost: list[Stretch], points: list[Stretch], imu: list[Stretch], pauses: list[Stretch]
) -> None:
    known = [gone(max(0, each.from_ns), each.to_ns) for each in lost if each.to_ns > 0]
    silences = {"gnss/points": points, "gnss/imu": imu}
    found = interruptions_of("gnss", silences, known, pauses, SPAN, 1)
    of_sensor = [stretch_of(each) for each in found if not each.stream]
    assert all(before.to_ns <= after.from_ns for before, after in pairwise(of_sensor))
    assert sum(each.ns for each in of_sensor) <= SPAN.ns
    paused, was_gone = covered(pauses), covered(within(lost, SPAN))
    shared = was_gone | (covered(within(points, SPAN)) & covered(within(imu, SPAN)) - paused)
    assert covered(of_sensor) == shared
    for stream, quiet in silences.items():
        own = [stretch_of(each) for each in found if each.stream == stream]
        assert covered(own) == covered(within(quiet, SPAN)) - paused - shared
        assert sum(each.ns for each in own) == len(covered(own))
    assert [each.from_ns for each in found] == sorted(each.from_ns for each in found)


def test_a_sensor_that_is_lost_again_and_again_without_a_word_is_one_gap_that_says_how_often() -> None:
    lost = [gone(n * 10 * SECOND, (n * 10 + 4) * SECOND, f"try {n}") for n in range(5)]
    span = Stretch(0, 120 * SECOND)
    (one,) = interruptions_of("gnss", {"gnss/fix": [Stretch(0, 60 * SECOND)]}, lost, [], span, 5 * SECOND)
    assert (one.from_ns, one.to_ns, one.why, one.times) == (0, 60 * SECOND, "try 4", 5)
    (line,) = interruptions_in_words([one], 0, span.to_ns)
    assert line == "gnss was gone for 60.0 s from the start on (5 times, without a word between): try 4"


def test_what_came_back_otherwise_between_two_losses_is_kept() -> None:
    first = gone(10, 20).model_copy(update={"changed": "fps 5 -> 6", "described": {"gnss/a": "6"}})
    second = gone(30, 40).model_copy(update={"changed": "fps 6 -> 7", "described": {"gnss/a": "7"}})
    (one,) = interruptions_of("gnss", {"gnss/a": [Stretch(5, 50)]}, [first, second], [], SPAN, 5)
    assert (one.from_ns, one.to_ns, one.changed) == (5, 50, "fps 5 -> 6; fps 6 -> 7")
    assert one.described == {"gnss/a": "7"}


def flapping() -> tuple[list[Interruption], list[Stretch]]:
    """It is lost for a second, silent before, and heard for a second again; thousands of times."""
    lost = [gone((n * 10 + 6) * SECOND, (n * 10 + 7) * SECOND) for n in range(MANY)]
    return lost, [Stretch(n * 10 * SECOND, (n * 10 + 9) * SECOND) for n in range(MANY)]


def test_thousands_of_interruptions_are_added_up_at_once() -> None:
    lost, quiet = flapping()
    began_s = time.thread_time()
    found = interruptions_of(
        "gnss", {"gnss/a": quiet, "gnss/b": quiet}, lost, [], Stretch(0, MANY * 10 * SECOND), 5 * SECOND
    )
    assert time.thread_time() - began_s < 1, "quadratic, it is a minute"
    assert [stretch_of(each) for each in found] == quiet


def test_a_recorder_with_thousands_of_interruptions_is_tended_at_once_and_rests_from_writing_them(
    tmp_path: Path,
) -> None:
    with Recorder(robot_rig(*free_ports(2)), Workspace(tmp_path)) as recorder:
        folder = recorder.start()
        (connection,) = recorder.sensors.intake.connections
        boot_ns = load_info(folder).started_ns - HOST_CLOCK.anchor_ns
        time.sleep(0.1)
        connection.interruptions += [gone(boot_ns + 2 * n * 1000, boot_ns + (2 * n + 1) * 1000) for n in range(MANY)]
        recorder.tend()
        told = load_info(folder).interruptions
        assert len(told) == MANY
        written_ns = (folder / "recording.json").stat().st_mtime_ns
        began_s = time.thread_time()
        for n in range(20):
            connection.interruptions.append(gone(boot_ns + 50_000_000 + 2 * n, boot_ns + 50_000_000 + 2 * n + 1))
            recorder.tend()
        assert time.thread_time() - began_s < 1
        assert (folder / "recording.json").stat().st_mtime_ns == written_ns, "written whole at every change"
        recorder.stop()
    assert load_info(folder).interruptions[-1].from_ns > told[-1].from_ns


@contextlib.contextmanager
def port_that_closes_at_once() -> Iterator[tuple[int, list[float]]]:
    """(its number, when somebody was there)."""
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError):
                    line, _ = server.accept()
                    came.append(time.monotonic())
                    line.close()

        server.settimeout(0.1)
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield int(server.getsockname()[1]), came
        finally:
            done.set()
            serving.join()


def test_a_receiver_whose_port_accepts_and_closes_at_once_leaves_one_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capture.intake.REOPEN_S", 0.1)
    with port_that_closes_at_once() as (port, came):
        rig = rig_from_dict({"name": "bench", "sensors": {"gnss": {"driver": "gnss", "address": f"127.0.0.1:{port}"}}})
        intake = Intake(rig, 1 << 20)
        intake.start()
        wait_for(lambda: len(came) > 5)
        (connection,) = intake.connections
        wait_for(lambda: bool(connection.interruptions) and connection.interruptions[0].times > 3)
        intake.close()
    (one,) = connection.interruptions
    assert (one.sensor, one.stream) == ("gnss", "")
    assert "has closed the connection" in one.why
