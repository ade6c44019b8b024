"""A depth camera whose SDK crashes while it is recorded: the recording goes on, and says how long nothing came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from rosbags.highlevel import AnyReader

from capture.recording import Recording, open_recording
from capture.workspace import Workspace
from devices.rig import rig_from_dict
from devices.samples import Depth, ImuSample
from devices.sdk import realsense
from tests.capture.record_while import record_while
from tests.capture.recordings import wait_for

FEED = """
import json, os, struct, time
def feed(config, out):
    out.hello([
        {"what": "depth", "encoding": "z16", "description": json.dumps({"width_px": 8, "height_px": 4, "scale_m": 0.00025})},
        {"what": "imu", "encoding": "motion", "description": "{}"},
    ])
    start = time.monotonic_ns()
    for number in range(10_000):
        device_ns = time.monotonic_ns() - start + 5_000_000
        out.packet(0, struct.pack("<H", 1000 + number) * 32, device_ns)
        for kind in (2, 1):
            out.packet(1, struct.pack("<B3xfff", kind, 0.0, -9.8, 0.0), device_ns)
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """In its midst the SDK's process is killed."""
    root = tmp_path_factory.mktemp("depth")
    (root / "feed.py").write_text(FEED)
    rig = rig_from_dict({"name": "arm", "sensors": {"head": {"driver": "realsense", "imu": True}}})

    def crash(received: Callable[[str], int]) -> None:
        wait_for(lambda: received("head/depth") > 50)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.ZombieProcess):  # of another test
                if str(root / "feed.py") in " ".join(child.cmdline()):
                    child.kill()
        before = received("head/depth")
        wait_for(lambda: received("head/depth") > before + 100)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(realsense, "FEED", root / "feed.py")
        folder = record_while(rig, Workspace(root / "field"), crash)
    return open_recording(folder)


def test_the_streams_come_back_and_the_gap_is_told(recording: Recording) -> None:
    depths = [each.sample for each in recording.samples(["head/depth"])]
    assert all(isinstance(depth, Depth) and depth.scale_m == 0.00025 for depth in depths)
    numbers = [int(depth.units[0, 0]) - 1000 for depth in depths if isinstance(depth, Depth)]
    again = numbers.index(0, 1)
    assert numbers == [*range(again), *range(len(numbers) - again)]
    assert min(again, len(numbers) - again) > 30
    assert recording.info.interruptions
    assert "SIGKILL" in str(recording.info.interruptions)
    moved = [each.sample for each in recording.samples(["head/imu"])]
    assert len(moved) > 60
    assert all(isinstance(each, ImuSample) for each in moved)


def test_ros_tools_read_the_depth_as_16uc1(recording: Recording) -> None:
    with AnyReader([recording.folder]) as reader:
        connections = [each for each in reader.connections if each.topic == "/head/depth"]
        for number, (connection, _, raw) in enumerate(reader.messages(connections)):
            image = reader.deserialize(raw, connection.msgtype)
            assert (image.encoding, image.width, image.height, image.step) == ("16UC1", 8, 4, 16)
            if number < 20:
                assert np.all(image.data.view("<u2") == 1000 + number)


def test_a_recording_with_depth_is_whole(recording: Recording) -> None:
    assert recording.counts["head/depth"] * 2 == pytest.approx(recording.counts["head/imu"], abs=3)
    assert Path(recording.folder, "metadata.yaml").read_text().count("sensor_msgs/msg/Image") == 1
