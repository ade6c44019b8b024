"""The correction of a recording's stamps, had again from its clock topic alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from calibration.sync import on_one_clock
from capture.attend import record
from capture.recording import open_recording
from capture.recording_info import NAME
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig

S = 1_000_000_000


def test_the_clock_topic_alone_gives_every_packet_the_capture_time_that_the_recording_gives_it(tmp_path: Path) -> None:
    """Read with rosbags: neither recording.json nor a line of fieldrig's reader, but the formula of docs/FORMATS.md."""
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 200):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=4)
    recording = open_recording(folder)
    expected = [each.sample.t_ns for each in on_one_clock(recording, None, ["robot/state"])]
    (folder / NAME).unlink()
    clocks, packets = {}, []
    with AnyReader([folder]) as reader:
        for connection, arrival_ns, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            if connection.topic == "/fieldrig/clock" and message.stream == "robot/state":
                clocks[message.stretch, message.from_host_ns] = message
            elif connection.topic == "/robot/state":
                stamp = message.header.stamp
                packets.append((arrival_ns, message.device_ns, stamp.sec * S + stamp.nanosec))
    latency_ns = 2_000_000  # rig.toml's
    redone = [corrected_ns(clocks.values(), arrival_ns, device_ns) - latency_ns for arrival_ns, device_ns, _ in packets]
    assert len(redone) > 600
    assert redone == expected
    settled = packets[-400:]
    assert max(abs(ours - online) for ours, (_, _, online) in zip(redone[-400:], settled, strict=True)) < S // 1000


def corrected_ns(clocks: Iterable[Any], arrival_ns: int, device_ns: int) -> int:
    """By the last clock that holds from before the arrival."""
    held = [each for each in clocks if each.from_host_ns <= arrival_ns]
    clock = max(held or clocks, key=lambda each: each.from_host_ns)
    ahead_ns = device_ns - clock.reference_device_ns
    return int(device_ns + clock.host_minus_device_ns + round(ahead_ns * clock.skew_ppm * 1e-6))
