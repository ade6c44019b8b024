"""Clocks and transport: wrong by exactly what the truth says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.virtual.clocks import DeviceClock, Transport
from devices.virtual.rig_truth import CLOCKS, SENSORS, TRANSPORTS
from devices.virtual.take_files import open_take
from devices.virtual.takes import VirtualTakes
from devices.virtual.truth import load_truth

START = 1_790_000_000_123_456_789


@given(st.integers(-(10**8), 10**8), st.floats(-100, 100), st.integers(0, 10**11))
def test_a_device_clock_is_an_offset_and_a_drift_from_the_start(offset_ns: int, drift_ppm: float, t_ns: int) -> None:
    shown = int(DeviceClock(offset_ns, drift_ppm).device_ns(np.array([t_ns]), START)[0])
    assert abs((shown - START - t_ns - offset_ns) - t_ns * drift_ppm * 1e-6) <= 1


def test_transport_takes_at_least_its_least_latency_and_overtakes_never() -> None:
    captured = np.arange(0, 60_000_000_000, 10_000_000, dtype=np.int64)
    transport = Transport(least_latency_ns=5_000_000, jitter_mean_ns=6_000_000)
    departs = transport.departures_ns(captured, np.random.default_rng(0))
    late = departs - captured - 5_000_000
    assert late.min() >= 0
    assert late.min() < 50_000, "the floor must be reached, or no one could find it"
    assert (np.diff(departs) >= 0).all()
    assert 5_000_000 < late.mean() < 12_000_000


def test_every_sensor_has_its_own_clock_and_offsets_of_both_signs() -> None:
    offsets = [CLOCKS[sensor].offset_ns for sensor in SENSORS]
    assert len(set(offsets)) == len(offsets)
    assert min(offsets) < -10_000_000
    assert max(offsets) > 10_000_000
    assert {sensor for sensor in SENSORS if TRANSPORTS[sensor].least_latency_ns > 0} == set(SENSORS)


def test_a_takes_schedule_keeps_each_streams_order_and_least_latency(short_drive: VirtualTakes) -> None:
    take, truth = open_take(short_drive.cache, "drive"), load_truth(short_drive.truth("drive"))
    assert set(take.timing) == {
        "lidar/points", "lidar/imu", "camera_left/image", "camera_right/image", "robot/state", "robot/action", "operator/marks",
    }  # fmt: skip
    for stream, timing in take.timing.items():
        least = truth.least_latency_ns[stream.partition("/")[0]]
        assert (timing.departs_ns - timing.captured_ns >= least).all(), stream
        assert (np.diff(timing.departs_ns) >= 0).all(), stream
    assert len(take.timing["robot/state"].captured_ns) == 40
    assert len(take.timing["camera_left/image"].captured_ns) == 8
