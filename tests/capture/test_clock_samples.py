"""The clock topic: packed as rosbags packs it, and enough to have a recording's clocks again without a packet of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from capture.attend import record
from capture.bag.clock_sample import ClockSample, pack_clock_sample, unpack_clock_sample
from capture.bag.message_types import CLOCK_SAMPLE
from capture.clock.filter import ClockFilter, ClockFit
from capture.clock.follower import ClockFollower
from capture.clock.sampler import ClockSampler
from capture.clock.samples import clock_samples, clocks_from_samples
from capture.errors import CaptureError
from capture.recording import open_recording
from capture.recording_info import NAME, load_info
from capture.workspace import Workspace
from tests.capture.rigs import Sender, free_ports, robot_rig

HOST_NS = 1_790_000_000_123_456_789
S = 1_000_000_000
WHOLE = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("stream", ["a", "ab", "abc", "lidar/points", "camera_left/image"])
def test_a_clock_sample_is_packed_as_rosbags_packs_it(stream: str) -> None:
    store: Any = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(CLOCK_SAMPLE.definition.partition("=" * 80)[0], CLOCK_SAMPLE.name))
    stamp = store.types["builtin_interfaces/msg/Time"](sec=HOST_NS // S, nanosec=HOST_NS % S)
    theirs = store.types[CLOCK_SAMPLE.name](
        header=store.types["std_msgs/msg/Header"](stamp=stamp, frame_id=""),
        stream=stream,
        device_ns=-5,
        host_ns=HOST_NS,
        from_host_ns=HOST_NS - S,
        reference_device_ns=-77,
        host_minus_device_ns=2**61,
        skew_ppm=12.5,
        skew_sigma_ppm=0.25,
        sigma_ns=1000.5,
        samples=2**40,
        stretch=3,
        strays=9,
    )
    fit = ClockFit(-77, 2**61, 12.5, 1000.5, 2**40, HOST_NS - S, 3, 0.25)
    packed = pack_clock_sample(ClockSample(stream, -5, HOST_NS, fit, 9))
    assert packed == bytes(store.serialize_cdr(theirs, CLOCK_SAMPLE.name))
    assert store.hash_rihs01(CLOCK_SAMPLE.name) == CLOCK_SAMPLE.type_hash


@given(
    st.text(min_size=1, max_size=40),
    WHOLE,
    st.integers(0, 2**60),
    WHOLE,
    st.floats(-1e3, 1e3),
    st.none() | st.floats(0, 9),
)
def test_what_is_packed_comes_back(
    stream: str, device_ns: int, host_ns: int, offset_ns: int, skew_ppm: float, skew_sigma_ppm: float | None
) -> None:
    fit = ClockFit(device_ns, offset_ns, skew_ppm, 5.5, 9, host_ns, 2, skew_sigma_ppm)
    sample = ClockSample(stream, device_ns, host_ns, fit, 1)
    assert unpack_clock_sample(pack_clock_sample(sample)) == sample


@given(st.binary(max_size=200), st.integers(0, 120))
def test_a_broken_sample_is_refused_by_the_error_that_is_ours(nonsense: bytes, cut: int) -> None:
    whole = pack_clock_sample(ClockSample("lidar/points", 1, HOST_NS, ClockFit(0, 0, 0.0, 1.0, 1)))
    with contextlib.suppress(CaptureError):  # and nothing else
        unpack_clock_sample(nonsense)
    with pytest.raises(CaptureError, match="is broken"):
        unpack_clock_sample(whole[: min(cut, len(whole) - 1)])


def sampled(span_s: int, step_s: float = 0.0) -> tuple[ClockFilter, list[ClockSample]]:
    """A sensor at 200 packets/s and a sample a second; half way through its clock is put forward."""
    random, clock = np.random.default_rng(8), ClockFilter()
    sampler, samples = ClockSampler(["lidar/points"], [clock]), []
    for index in range(span_s * 200):
        t_ns = index * S // 200
        ahead_ns = round(step_s * S) if index >= span_s * 100 else 0
        clock.add(t_ns + ahead_ns, HOST_NS + t_ns + int(random.exponential(300_000)))
        if index % 200 == 199:
            samples += sampler.samples()
    clock.fit()
    return clock, [*samples, *sampler.last_samples({"lidar/points": clock.history()})]


def test_the_samples_alone_give_the_clocks_that_were_known_online_within_their_sigma() -> None:
    clock, samples = sampled(150, step_s=40.0)
    online, redone = clock.history(), clocks_from_samples(samples)["lidar/points"]
    assert redone[-1] == online[-1]
    assert [(fit.stretch, fit.from_host_ns) for fit in redone] == [(fit.stretch, fit.from_host_ns) for fit in online]
    for ours, theirs in zip(redone, online, strict=True):
        device_ns = theirs.reference_device_ns
        apart_ns = ours.host_from_device(device_ns) - theirs.host_from_device(device_ns)
        assert abs(apart_ns) <= 2 * max(ours.sigma_ns, theirs.sigma_ns)


def test_a_sample_s_own_stamps_are_those_of_a_packet_that_hardly_waited() -> None:
    """So that whoever has only the samples can draw the line by other means: none of a second's 200 waits 0.02 ms, mostly."""
    _, samples = sampled(60)
    waits_ns = [sample.host_ns - sample.device_ns - HOST_NS for sample in samples]
    assert len(samples) >= 59
    assert min(waits_ns) >= 0
    assert float(np.median(waits_ns)) < 5_000
    line = np.polyfit([sample.device_ns for sample in samples], waits_ns, 1)
    assert abs(line[0]) < 1e-6


def test_a_defect_that_spoils_a_clock_once_does_not_silence_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    follower, failed = ClockFollower(1), [False]
    follow = ClockFilter.add

    def failing_once(clock: ClockFilter, device_ns: int, host_ns: int) -> None:
        follow(clock, device_ns, host_ns)
        if device_ns >= 5 * S and not failed[0]:
            failed[0] = True
            raise ZeroDivisionError("a defect")

    monkeypatch.setattr(ClockFilter, "add", failing_once)
    sampler, samples = ClockSampler(["lidar/points"], follower.clocks), []
    for index in range(2000):
        follower.put(0, index * S // 200, HOST_NS + index * S // 200)
        if index % 200 == 199:
            follower.catch_up()
            samples += sampler.samples()
    assert "ZeroDivisionError" in follower.failure
    assert len(samples) == 10
    assert samples[-1].device_ns > 8 * S
    assert all(abs(sample.fit.host_from_device(0) - HOST_NS) < 100_000 for sample in samples)
    assert [(fit.stretch, (fit.from_host_ns - HOST_NS) // S) for fit in follower.clocks[0].history()] == [
        (0, 0),
        (0, 5),
    ]


def test_a_recording_s_clocks_are_in_its_clock_topic_which_rosbags_reads(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 200):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=2.5)
    recording = open_recording(folder)
    redone = clocks_from_samples(clock_samples(recording.files))
    assert redone.keys() == recording.clocks.keys() == {"robot/state", "robot/action"}
    for stream, fits in recording.clocks.items():
        assert tuple(redone[stream]) == tuple(fits)
    with AnyReader([folder]) as reader:
        (connection,) = (each for each in reader.connections if each.topic == "/fieldrig/clock")
        read = [reader.deserialize(raw, connection.msgtype) for _, _, raw in reader.messages([connection])]
    assert len(read) >= 4
    assert {each.stream for each in read} == {"robot/state", "robot/action"}
    assert all(abs(each.host_ns - each.device_ns - 7 * S) < 50_000_000 for each in read)


def test_a_recording_json_of_the_first_format_is_read_with_its_one_fit_a_stream(tmp_path: Path) -> None:
    state, action = free_ports(2)
    with Sender({"state": state, "action": action}, 100):
        folder = record(robot_rig(state, action), Workspace(tmp_path), duration_s=0.5)
    table = json.loads((folder / NAME).read_text())
    assert table["format"] == "fieldrig.recording/2"
    old = {"reference_device_ns": 5, "host_minus_device_ns": 7, "skew_ppm": 1.5, "sigma_ns": 9.0, "samples": 11}
    table |= {"format": "fieldrig.recording/1", "clocks": {"robot/state": old}}
    (folder / NAME).write_text(json.dumps(table))
    assert load_info(folder).clocks == {"robot/state": (ClockFit(5, 7, 1.5, 9.0, 11),)}
    table["format"] = "fieldrig.recording/3"
    (folder / NAME).write_text(json.dumps(table))
    with pytest.raises(CaptureError, match="format"):
        load_info(folder)
