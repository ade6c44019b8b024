"""Livox packets made by the public protocol's tables, from known points: what the decoder finds of them."""

from __future__ import annotations

import itertools
import json
import socket
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import ClockSource, Remarked, Stream
from devices.errors import DeviceError
from devices.livox.driver import DRIVER, LivoxConfig
from devices.samples import ImuSample, Sweep
from tests.devices.builders import decoded, packet
from tests.devices.livox_packets import Point, first_imu, first_packet, second_frame, second_imu, second_packet

T_NS = 1_700_000_000_000_000_000
PACKET_NS = 480_000  # 96 points at 200,000 a second
RANDOM = np.random.default_rng(3)
FIRST_TYPES = {0: (100, 1), 1: (100, 1), 2: (96, 1), 3: (96, 1), 4: (48, 2), 5: (48, 2), 7: (30, 3), 8: (30, 3)}


def stream(model: str, window_ms: int = 100, what: str = "points") -> Stream:
    return Stream(f"lidar/{what}", f"livox.{what}", json.dumps({"model": model, "window_ms": window_ms}))


def decoder(model: str = "Mid-360", window_ms: int = 100) -> Any:
    return DRIVER.decoder(stream(model, window_ms))


def somewhere(count: int) -> list[Point]:
    return [tuple(each) for each in RANDOM.uniform(-40, 40, (count, 3)).tolist()]


def second_stream(count: int, *, start_ns: int = T_NS, **options: Any) -> list[bytes]:
    return [
        second_packet(
            [(1.0, 2.0, 0.5)] * 96, start_ns + number * PACKET_NS, counter=number, interval_100ns=4800, **options
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("data_type", "within_m"), [(1, 0.0005), (2, 0.005), (3, 0.012)])
def test_every_point_type_of_the_mid_360_gives_the_points_that_were_put_in(data_type: int, within_m: float) -> None:
    points = somewhere(96)
    data = second_packet(points, T_NS, data_type=data_type, interval_100ns=4800, reflectivity=77)
    (sweep,) = decoded(decoder(), [data])
    np.testing.assert_allclose(sweep.points_m, points, atol=within_m * 1.01)
    assert sweep.t_ns == T_NS
    assert sweep.offset_ns.tolist() == [number * 5000 for number in range(96)]
    assert sweep.ring.tolist() == [number % 4 for number in range(96)]
    assert set(sweep.intensity.tolist()) == {77}
    assert not sweep.return_number.any()


@pytest.mark.parametrize("data_type", FIRST_TYPES)
def test_every_point_type_of_the_first_protocol_gives_the_points_that_were_put_in(data_type: int) -> None:
    """Of several returns in spherical coordinates all lie in the first one's direction."""
    count, returns = FIRST_TYPES[data_type]
    spherical = data_type in {1, 3, 5, 8}
    firings = [[point] * returns if spherical else somewhere(returns) for point in somewhere(count)]
    data = first_packet(firings, struct.pack("<Q", T_NS), data_type=data_type, reflectivity=10)
    (sweep,) = decoded(decoder("Avia"), [data])
    expected = [point for firing in firings for point in firing]
    np.testing.assert_allclose(sweep.points_m, expected, atol=0.012 if spherical else 0.00051)
    assert sweep.return_number.tolist() == list(range(returns)) * count
    assert sweep.intensity.tolist() == [
        10 if len(firing) == 1 else 10 + n for firing in firings for n in range(returns)
    ]
    assert sweep.ring[::returns].tolist() == [number % 6 for number in range(count)]
    assert sweep.offset_ns[::returns].tolist() == pytest.approx([number * 4166.67 for number in range(count)], abs=1)


def test_what_measured_nothing_is_left_out_and_tagged_points_are_kept() -> None:
    points = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    (sweep,) = decoded(decoder(), [second_packet(points, T_NS, interval_100ns=400, tag=0xFF)])
    np.testing.assert_allclose(sweep.points_m, [points[1], points[3]])
    assert (sweep.t_ns, sweep.offset_ns.tolist(), sweep.ring.tolist()) == (T_NS + 10_000, [0, 20_000], [1, 3])
    assert decoded(decoder(), [second_packet([(0.0, 0.0, 0.0)], T_NS)]) == []


@pytest.mark.parametrize("window_ms", [50, 100, 250])
def test_a_sweep_is_a_window_that_begins_at_a_multiple_of_its_length(window_ms: int) -> None:
    datas = second_stream(2000, start_ns=T_NS + 30_000_000)
    sweeps = decoded(decoder(window_ms=window_ms), datas)
    window_ns = window_ms * 1_000_000
    assert sum(map(len, sweeps)) == 2000 * 96
    for before, after in itertools.pairwise(sweeps):
        assert before.t_ns // window_ns + 1 == after.t_ns // window_ns
        assert after.t_ns % window_ns < PACKET_NS
        assert before.t_ns + before.offset_ns.max() < after.t_ns
        assert (np.diff(before.offset_ns) > 0).all()


def test_a_change_of_the_point_type_ends_a_sweep() -> None:
    datas = second_stream(2) + second_stream(2, start_ns=T_NS + 10 * PACKET_NS, data_type=2)
    assert [len(sweep) for sweep in decoded(decoder(), datas)] == [192, 192]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda data: data[:-1], "wrong size"),
        (lambda data: data + b"\0", "wrong size"),
        (lambda data: data[:20], "wrong size"),
        (lambda data: b"\x01" + data[1:], "not a Livox packet"),
        (lambda data: data[:10] + b"\x09" + data[11:], "unknown data type"),
        (lambda data: data[:11] + b"\x09" + data[12:], "unknown time type"),
        (lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], "wrong CRC"),
        (lambda _: second_frame(bytes(14), 1, 1 << 63, 1), "time beyond the year 2262"),
        (lambda _: second_imu(T_NS, (0, 0, 0), (0, 0, 1)), "not a point packet"),
        (lambda _: second_stream(6)[4], "duplicate packet"),
        (lambda _: second_stream(6)[2], "late packet"),
        (lambda _: second_packet([(1.0, 2.0, 3.0)], T_NS + 10**15), "a time out of step"),
    ],
)
def test_a_broken_packet_is_counted_by_its_reason_and_costs_its_own_points_only(break_it: Any, reason: str) -> None:
    datas = second_stream(10)
    datas[5] = break_it(datas[5])
    under_test = decoder()
    assert sum(map(len, decoded(under_test, datas))) == 9 * 96
    assert under_test.rejected == {reason: 1}


def test_a_packet_that_states_no_crc_is_taken() -> None:
    under_test = decoder()
    assert len(decoded(under_test, second_stream(1, crc=0))) == 1
    assert under_test.rejected == {}


def test_after_a_restart_of_the_sensors_clock_no_packet_is_lost() -> None:
    datas = second_stream(5) + second_stream(5, start_ns=3_000_000_000)
    under_test = decoder()
    sweeps = decoded(under_test, datas)
    assert [(sweep.t_ns, len(sweep)) for sweep in sweeps] == [(T_NS, 480), (3_000_000_000, 480)]
    assert under_test.rejected == {}


def test_an_imu_reading_is_turned_into_si_units() -> None:
    for model, data in (
        ("Mid-360", second_imu(T_NS, (0.1, 0.2, 0.3), (0, -0.5, 1))),
        ("Avia", first_imu(T_NS, (0.1, 0.2, 0.3), (0, -0.5, 1))),
    ):
        (sample,) = decoded(DRIVER.decoder(stream(model, what="imu")), [data])
        assert isinstance(sample, ImuSample)
        assert sample.t_ns == T_NS
        np.testing.assert_allclose(sample.angular_rate, [0.1, 0.2, 0.3], rtol=1e-6)
        np.testing.assert_allclose(sample.acceleration, [0, -4.903325, 9.80665], rtol=1e-6)


def test_points_and_nonsense_at_the_imus_port_are_counted() -> None:
    under_test = DRIVER.decoder(stream("Mid-360", what="imu"))
    nan = second_imu(T_NS, (float("nan"), 0, 0), (0, 0, 1))
    assert decoded(under_test, [second_stream(1)[0], nan, b"x"]) == []
    assert under_test.rejected == {"not an IMU packet": 1, "not a finite number": 1, "wrong size": 1}


def test_the_first_protocols_utc_time_is_read() -> None:
    when = bytes([23, 11, 14, 22]) + struct.pack("<I", 800_000_000)  # 22 h and 800 s
    (sweep,) = decoded(decoder("Avia"), [first_packet([[(1.0, 2.0, 3.0)]] * 96, when, time_type=3)])
    assert sweep.t_ns == T_NS
    broken = decoder("Avia")
    assert decoded(broken, [first_packet([[(1.0, 2.0, 3.0)]] * 96, b"\x17\x0d" + when[2:], time_type=3)]) == []
    assert broken.rejected == {"a time that is none": 1}


CLOCKS = [
    *((second_packet([(1, 2, 3)], T_NS, time_type=number), "Mid-360", number) for number in (0, 1, 2)),
    *((first_packet([[(1, 2, 3)]] * 96, struct.pack("<Q", T_NS), time_type=number), "Avia", number) for number in (0, 1, 4)),
    (first_packet([[(1, 2, 3)]] * 96, bytes([23, 11, 14, 22, 0, 0, 0, 0]), time_type=3), "Avia", 3),
]  # fmt: skip
EXPECTED_CLOCK = {
    ("Mid-360", 0): ClockSource.FREE, ("Mid-360", 1): ClockSource.PTP, ("Mid-360", 2): ClockSource.PPS,
    ("Avia", 0): ClockSource.FREE, ("Avia", 1): ClockSource.PTP, ("Avia", 3): ClockSource.PPS, ("Avia", 4): ClockSource.FREE,
}  # fmt: skip


@pytest.mark.parametrize(("data", "model", "time_type"), CLOCKS)
def test_the_time_type_says_what_the_clock_follows(data: bytes, model: str, time_type: int) -> None:
    source, *others = DRIVER.open("lidar", LivoxConfig(model=model, points_port=0, imu_port=0, host="127.0.0.1"))
    assert source.clock_source is ClockSource.FREE
    send(source.port, [data])
    assert source.read(1.0)[0].stamps.device_ns is not None
    assert source.clock_source is EXPECTED_CLOCK[model, time_type]
    for each in (source, *others):
        each.close()


def all_that_came(source: Any) -> list[bytes]:
    came: list[bytes] = []
    while packets := source.read(0.2):
        came.extend(packet.data for packet in packets)
    return came


def send(port: int, datas: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in datas:
            sender.sendto(data, ("127.0.0.1", port))


def test_packets_that_the_lidars_counting_misses_are_lost_and_a_new_frame_or_a_straggler_is_none() -> None:
    source, imu = DRIVER.open("lidar", LivoxConfig(model="Mid-360", points_port=0, imu_port=0, host="127.0.0.1"))
    frame, next_frame = second_stream(10), second_stream(10, start_ns=T_NS + 100_000_000)
    send(source.port, [*frame[:3], *frame[5:], frame[4], frame[5], b"rubbish", *next_frame[2:]])
    assert len(all_that_came(source)) == 19
    assert source.lost == 2 + 2
    source.close()
    imu.close()
    assert source.lost == 4


def test_a_count_that_stands_still_misses_nothing() -> None:
    source, imu = DRIVER.open("lidar", LivoxConfig(model="Mid-360", points_port=0, imu_port=0, host="127.0.0.1"))
    send(imu.port, [second_imu(T_NS + number, (0, 0, 0), (0, 0, 1), counter=5) for number in range(10)])
    assert len(all_that_came(imu)) == 10
    assert imu.lost == 0
    source.close()
    imu.close()


@pytest.mark.parametrize("model", ["Avia", "Horizon", "Tele-15", "Mid-40", "Mid-70", "Mid-360"])
def test_a_lidar_whose_packets_bear_no_number_says_that_losses_on_the_wire_are_not_counted(model: Any) -> None:
    sources = DRIVER.open("lidar", LivoxConfig(model=model, points_port=0, imu_port=0, host="127.0.0.1"))
    said = {source.remark if isinstance(source, Remarked) else "" for source in sources}
    for source in sources:
        source.close()
    unknown = "its packets bear no number: how many are lost before they reach this machine stays unknown"
    assert said == {"" if model == "Mid-360" else unknown}


def test_after_a_restart_of_the_lidar_missing_packets_are_counted_again() -> None:
    source, imu = DRIVER.open("lidar", LivoxConfig(model="Mid-360", points_port=0, imu_port=0, host="127.0.0.1"))
    anew = second_stream(10, start_ns=3_000_000_000)
    send(source.port, [*second_stream(5), *anew[:3], *anew[5:]])
    assert len(all_that_came(source)) == 5 + 8
    assert source.lost == 2
    source.close()
    imu.close()


def test_an_imu_packet_that_the_network_has_doubled_is_one_reading() -> None:
    for model, make in (("Mid-360", second_imu), ("Avia", first_imu)):
        datas = [make(T_NS + number * 5_000_000, (0.1, 0.2, 0.3), (0, 0, 1)) for number in range(4)]
        under_test = DRIVER.decoder(stream(model, what="imu"))
        assert len(decoded(under_test, [datas[0], datas[0], datas[1], datas[2], datas[1], datas[3]])) == 4
        assert under_test.rejected == {"duplicate packet": 2}


def test_the_device_stamp_is_the_last_firings_time() -> None:
    source, imu = DRIVER.open("lidar", LivoxConfig(model="Mid-360", points_port=0, imu_port=0, host="127.0.0.1"))
    send(source.port, second_stream(1))
    assert source.read(1.0)[0].stamps.device_ns == T_NS + 95 * 5000
    source.close()
    imu.close()


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ("", "names no Livox model and window"),
        ("[" * 5000, "names no Livox model and window"),
        ('{"model": "Mid-360"}', "names no Livox model and window: 'window_ms'"),
        (
            '{"model": "Mid-99", "window_ms": 100}',
            "no Livox model 'Mid-99' with a window of 100 ms; choose one of: Mid-360, Avia",
        ),
        ('{"model": "Avia", "window_ms": 0}', "a window of 0 ms; choose"),
    ],
)
def test_a_description_that_cannot_be_right_says_why(description: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        DRIVER.decoder(Stream("lidar/points", "livox.points", description))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1400), st.integers(0, 255)), max_size=12), st.booleans())
def test_damage_anywhere_never_raises_and_adds_no_point(damages: list[tuple[int, int, int]], second: bool) -> None:
    firing = [[(1.0, 2.0, 3.0)] * 3] * 30
    datas = second_stream(10) if second else [
        first_packet(firing, struct.pack("<Q", T_NS + n * 125_000), data_type=7) for n in range(10)
    ]  # fmt: skip
    for number, at, value in damages:
        data = datas[number]
        datas[number] = data[:at] + bytes([value]) + data[at + (value % 3) :]
    under_test = decoder("Mid-360" if second else "Avia")
    sweeps = decoded(under_test, datas)
    assert all(isinstance(sweep, Sweep) for sweep in sweeps)
    assert sum(len(sweep) for sweep in sweeps) <= (960 if second else 900)


@given(st.binary(max_size=200))
def test_random_bytes_after_a_true_head_never_raise(data: bytes) -> None:
    under_test = decoder("Avia")
    head = first_packet([], struct.pack("<Q", T_NS))
    for _ in under_test.decode(packet(head + data)):
        pass
    assert sum(under_test.rejected.values()) == 1
