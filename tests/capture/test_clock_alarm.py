"""What a crew is told of its sensors' clocks while it records."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from capture.recorder import Recorder
from capture.recording import open_recording
from capture.recording_info import load_info
from capture.workspace import Workspace
from devices.device import ClockSource
from devices.host_clock import HOST_CLOCK
from devices.udp.source import UdpSource
from tests.capture.recordings import wait_for
from tests.capture.rigs import free_ports, line, robot_rig

S = 1_000_000_000


@contextmanager
def robot(workspace: Workspace, stamp_ns: Callable[[int], int]) -> Iterator[Recorder]:
    """A recorder whose robot says its state 200 times a second, stamped as it is told by this machine's time."""
    state, action = free_ports(2)
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not stop.wait(0.005):
                out.sendto(line(stamp_ns(HOST_CLOCK.now_ns()), "state", 1), ("127.0.0.1", state))

    sending = threading.Thread(target=send)
    with Recorder(robot_rig(state, action), workspace) as recorder:
        recorder.run()
        sending.start()
        try:
            yield recorder
        finally:
            stop.set()
            sending.join()


def alarm(recorder: Recorder, words: str, within_s: float = 8.0) -> str:
    """The alarm that holds these words, or nothing when none has come in time."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        for each in recorder.state().alarms:
            if words in each:
                return each
        time.sleep(0.05)
    return ""


def claiming(monkeypatch: pytest.MonkeyPatch, claim: Callable[[], ClockSource]) -> None:
    monkeypatch.setattr(UdpSource, "clock_source", property(lambda _: claim()))


def test_a_crew_whose_ptp_master_is_missing_is_alarmed_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor claims PTP, and counts since its power-up."""
    claiming(monkeypatch, lambda: ClockSource.PTP)
    powered_ns = HOST_CLOCK.now_ns() - 50 * S
    with robot(Workspace(tmp_path), lambda now_ns: now_ns - powered_ns) as recorder:
        recorder.start()
        told = alarm(recorder, "robot/state claims PTP", within_s=60)
        folder = recorder.stop()
    assert "it counts since power-up; start a PTP master" in told
    assert any("robot/state claims PTP" in note for note in load_info(folder).notes)


def test_a_clock_that_stands_where_it_claims_alarms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claiming(monkeypatch, lambda: ClockSource.PTP)
    with robot(Workspace(tmp_path), lambda now_ns: now_ns + 37 * S) as recorder:
        recorder.start()
        assert alarm(recorder, "robot/state", within_s=3) == ""


def test_a_sensor_that_says_itself_that_its_ptp_is_gone_alarms_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = [ClockSource.PTP]
    claiming(monkeypatch, lambda: says[0])
    with robot(Workspace(tmp_path), lambda now_ns: now_ns) as recorder:
        recorder.start()
        assert alarm(recorder, "PTP", within_s=1.5) == ""
        says[0] = ClockSource.FREE
        told = alarm(recorder, "PTP", within_s=60)
        says[0] = ClockSource.PTP
        wait_for(lambda: not any("no longer" in each for each in recorder.state().alarms))
    assert told.startswith("robot/state followed PTP and says that it no longer does")
    assert "start a PTP master" in told


def test_a_clock_that_stands_still_alarms_and_its_packets_bear_their_arrival(tmp_path: Path) -> None:
    stopped_ns: list[int] = []
    with robot(Workspace(tmp_path), lambda now_ns: stopped_ns[0] if stopped_ns else now_ns) as recorder:
        folder = recorder.start()
        time.sleep(1.5)
        stopped_ns.append(HOST_CLOCK.now_ns())
        told = alarm(recorder, "stands still", within_s=60)
        time.sleep(2)
        recorder.stop()
    assert told == (
        "robot/state: its clock stands still, and its samples bear their arrival instead; restart the sensor"
    )
    info = load_info(folder)
    assert info.verdict == "doubtful"
    assert any("came while the sensor's clock stood still" in reason for reason in info.reasons)
    still = [each.packet.stamps for each in open_recording(folder).packets(["robot/state"])]
    late_ns = min(each.host_ns for each in still if each.device_ns == stopped_ns[0]) - stopped_ns[0]
    for stamp_ns, arrival_ns in stamps(folder):
        assert arrival_ns - 1.2 * S - late_ns < stamp_ns <= arrival_ns


def stamps(folder: Path) -> Iterator[tuple[int, int]]:
    """(header stamp, arrival) of the robot's messages."""
    with AnyReader([folder]) as reader:
        connections = [each for each in reader.connections if each.topic == "/robot/state"]
        for connection, arrival_ns, raw in reader.messages(connections):
            stamp = reader.deserialize(raw, connection.msgtype).header.stamp
            yield stamp.sec * S + stamp.nanosec, arrival_ns
