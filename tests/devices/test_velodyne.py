import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from devices.device import ClockSource, Stream
from devices.errors import DeviceError
from devices.hesai.driver import DRIVER as HESAI
from devices.velodyne.driver import DRIVER, VelodyneConfig
from devices.velodyne.hour_clock import HourClock, nearest_hour
from devices.velodyne.packet import KINDS
from devices.velodyne.position import read_position
from tests.devices.builders import decoded, packet, velodyne_packet
from tests.devices.hesai_packets import turn_packets

HOUR_NS = 3_600_000_000_000
PACKET_US = 1327  # 24 firings of a VLP-16


def decoder() -> Any:
    return DRIVER.decoder(Stream("lidar/points", "velodyne", "VLP-16"))


def turns(count: float, **options: Any) -> list[bytes]:
    """Packets of a head that turns 2.4 degrees in each."""
    return [velodyne_packet(number * PACKET_US, number * 240 % 36000, **options) for number in range(int(count * 150))]


def test_every_turn_is_a_sweep_with_times_that_run_from_zero() -> None:
    sweeps = decoded(decoder(), turns(3))
    assert sum(map(len, sweeps)) == 450 * 384
    assert [len(sweep) / 384 for sweep in sweeps] == pytest.approx(
        [150, 150, 150], abs=1.5
    )  # cut within a packet's 2.4 deg
    for sweep in sweeps:
        assert sweep.offset_ns.min() == 0
        assert sweep.offset_ns.max() == pytest.approx(150 * PACKET_US * 1000, rel=0.02)
    assert np.linalg.norm(sweeps[0].points_m, axis=1) == pytest.approx(10.0, abs=0.01)


def test_two_returns_of_a_firing_are_numbered_and_equal_ones_are_one_point() -> None:
    (sweep, *_) = decoded(decoder(), [dual_packet(number) for number in range(60)])
    ranges = np.linalg.norm(sweep.points_m, axis=1)
    assert set(np.unique(sweep.return_number)) == {0, 1}
    np.testing.assert_allclose(ranges[sweep.return_number == 1], 10, atol=0.01)  # last: behind
    strongest = ranges[sweep.return_number == 0]
    assert (np.isclose(strongest, 6, atol=0.01) | np.isclose(strongest, 10, atol=0.01)).all()
    assert np.isclose(strongest, 10, atol=0.01).mean() == pytest.approx(0.5, abs=0.01)
    assert (sweep.return_number == 1).mean() == pytest.approx(1 / 3, abs=0.01)


def dual_packet(number: int) -> bytes:
    """Even channels see one thing at 10 m; odd ones that and, more strongly, another at 6 m."""
    blocks = b""
    for block in range(12):
        azimuth = (number * 6 + block // 2) * 40 % 36000
        blocks += b"\xff\xee" + struct.pack("<H", azimuth)
        for channel in range(32):
            blocks += struct.pack("<HB", 3000 if block % 2 and channel % 2 else 5000, 50)
    return blocks + struct.pack("<IBB", number * PACKET_US // 2, 0x39, 0x22)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda data: data[:-1], "wrong size"),
        (lambda data: data[:1205] + b"\x21", "another model"),
        (lambda data: data[:1204] + b"\x00" + data[1205:], "unknown return mode"),
        (lambda data: data[:1200] + struct.pack("<I", 3_600_000_000) + data[1204:], "a time beyond the hour"),
        (lambda data: data[:100] + b"\0" + data[101:], "a broken block"),
        (lambda data: data[:2] + struct.pack("<H", 36_000) + data[4:], "an azimuth beyond 360 degrees"),
    ],
)
def test_a_broken_packet_costs_its_own_points_only(break_it: Any, reason: str) -> None:
    whole, one_less = turns(2), turns(2)
    one_less[40] = break_it(one_less[40])
    broken = decoder()
    assert sum(map(len, decoded(decoder(), whole))) - sum(map(len, decoded(broken, one_less))) == 384
    assert broken.rejected == {reason: 1}


def test_duplicates_and_late_packets_are_counted_and_add_no_points() -> None:
    datas = turns(1)
    again = decoder()
    sweeps = decoded(again, [*datas[:50], datas[49], datas[30], *datas[50:]])
    assert sum(map(len, sweeps)) == sum(map(len, decoded(decoder(), datas)))
    assert again.rejected == {"duplicate packet": 1, "late packet": 1}


def test_what_came_before_a_pause_is_a_sweep_of_its_own() -> None:
    before = [velodyne_packet(number * PACKET_US, number * 240) for number in range(20)]
    after = [velodyne_packet(2_000_000 + number * PACKET_US, 5000 + number * 240) for number in range(20)]
    sweeps = decoded(decoder(), before + after)
    assert [len(sweep) for sweep in sweeps] == [20 * 384] * 2
    assert all(sweep.offset_ns.max() < 30_000_000 for sweep in sweeps)


def test_time_runs_on_over_the_full_hour() -> None:
    near_the_hour = [
        velodyne_packet((3_599_990_000 + number * PACKET_US) % 3_600_000_000, number * 240) for number in range(20)
    ]
    host_ns = 1_700_000_000 // 3600 * HOUR_NS + HOUR_NS - 10_000_000
    fed = decoder()
    for number, data in enumerate(near_the_hour):
        assert list(fed.decode(packet(data, host_ns=host_ns + number * PACKET_US * 1000))) == []
    (sweep,) = fed.flush()
    assert abs(sweep.t_ns - host_ns) < 100_000
    assert sweep.offset_ns.max() == pytest.approx(20 * PACKET_US * 1000, rel=0.01)


def test_a_clock_half_an_hour_off_does_not_jump_with_the_jitter_of_arrivals() -> None:
    clock = HourClock()
    start = 400_000 * HOUR_NS
    times = [
        clock.ns(1_800_000_000 - 3 + number, start + jitter) for number, jitter in enumerate((0, 9_000, -9_000, 5_000))
    ]
    assert np.diff(times).tolist() == [1000, 1000, 1000]


@pytest.mark.parametrize("off_ns", [0, 1, -1, HOUR_NS // 2 - 1, 1 - HOUR_NS // 2])
def test_the_hour_is_the_one_within_30_minutes(off_ns: int) -> None:
    true_ns = 123_456 * HOUR_NS + 42
    assert nearest_hour(true_ns % HOUR_NS, true_ns + off_ns) == true_ns


def test_an_unknown_model_is_answered_with_the_choices() -> None:
    with pytest.raises(
        DeviceError, match="no Velodyne model 'VLP-99'; choose one of: VLP-16, HDL-32E, VLP-32C, VLS-128"
    ):
        DRIVER.decoder(Stream("lidar/points", "velodyne", "VLP-99"))
    with pytest.raises(ValueError, match="VLS-128"):
        VelodyneConfig(model="VLP-99")


def test_a_packet_that_is_no_position_says_why() -> None:
    with pytest.raises(DeviceError, match="no Velodyne position packet: wrong size"):
        read_position(b"")
    late = bytearray(512)
    struct.pack_into("<I", late, 0xC6, 3_600_000_000)
    with pytest.raises(DeviceError, match="a time beyond the hour"):
        read_position(bytes(late))


def position_packet(pps: int) -> bytes:
    data = bytearray(512)
    struct.pack_into("<IB", data, 0xC6, 1_000_000, pps)
    return bytes(data)


def test_both_streams_follow_the_pulse_while_the_position_packets_say_that_it_is_locked() -> None:
    sources = DRIVER.open("lidar", VelodyneConfig(model="VLP-16", port=0, position_port=0, host="127.0.0.1"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lidar:
        said = []
        for pps in (0, 1, 2, 3):
            lidar.sendto(position_packet(pps), ("127.0.0.1", sources[1].port))
            assert sources[1].read(1.0)
            said.append([source.clock_source for source in sources])
    for source in sources:
        source.close()
    free, locked = [ClockSource.FREE] * 2, [ClockSource.PPS] * 2
    assert said == [free, free, locked, free]


@contextmanager
def sending(port: int, datas: list[bytes]) -> Iterator[None]:
    """Somebody who sends those datagrams to the port over and over."""
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stop.wait(0.01):
                for data in datas:
                    sender.sendto(data, ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_two_makers_share_a_port_and_each_finds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
        assert [*DRIVER.find(0.0), *HESAI.find(0.0)] == []
    monkeypatch.setattr("devices.velodyne.driver._PORT", port)
    monkeypatch.setattr("devices.hesai.driver.PORT", port)
    with sending(port, [b"noise", velodyne_packet(1_000_000, 0, model=0x21)]):
        (found,) = DRIVER.find(1.5)
        assert (found.driver, found.label, found.config) == (
            "velodyne",
            "Velodyne HDL-32E at 127.0.0.1",
            {"model": "HDL-32E"},
        )
        assert HESAI.find(0.1) == []
    with sending(port, [b"noise", turn_packets("QT64", 0.1, t_ns=1_700_000_000_000_000_000)[0]]):
        (found,) = HESAI.find(1.5)
        assert (found.driver, found.config) == ("hesai", {"model": "QT64", "angles": "tcp://127.0.0.1"})
        assert DRIVER.find(0.1) == []


@pytest.mark.parametrize("model", KINDS)
def test_ring_0_is_the_highest_beam_of_every_model(model: str) -> None:
    under_test = DRIVER.decoder(Stream("lidar/points", "velodyne", model))
    kind = KINDS[model]
    datas = []
    for number in range(40):
        data = bytearray(velodyne_packet(number * 1000, number * 100, model=kind.id))
        for block in range(12) if model == "VLS-128" else ():
            data[block * 100 : block * 100 + 4] = kind.flags[block % 4] + struct.pack(
                "<H", number * 100 + block // 4 * 30
            )
        datas.append(bytes(data))
    sweeps = decoded(under_test, datas)
    assert under_test.rejected == {}
    points = np.concatenate([sweep.points_m for sweep in sweeps])
    rings = np.concatenate([sweep.ring for sweep in sweeps])
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    by_ring = [np.median(elevation[rings == ring]) for ring in range(kind.beams)]
    assert by_ring == sorted(by_ring, reverse=True)
    assert len(np.unique(rings)) == kind.beams


def vls_128_packet(number: int) -> bytes:
    """With two returns: one firing of 128 lasers at 0.2 degrees from the one before in 8 blocks, and 4 empty ones."""
    blocks = b""
    for block in range(8):
        distance = 3000 if block % 2 else 5000
        flag = KINDS["VLS-128"].flags[block // 2]
        blocks += flag + struct.pack("<H", number * 20 % 36000) + struct.pack("<HB", distance, 50) * 32
    return blocks.ljust(1200, b"\0") + struct.pack("<IBB", number * 55, 0x39, 0xA1)


def test_a_vls_128_with_two_returns_gives_a_sweep_a_turn() -> None:
    under_test = DRIVER.decoder(Stream("lidar/points", "velodyne", "VLS-128"))
    sweeps = decoded(under_test, [vls_128_packet(number) for number in range(4500)])
    assert [len(sweep) / 256 for sweep in sweeps] == pytest.approx([1800, 1800, 900], abs=2)
    ranges = np.linalg.norm(sweeps[0].points_m, axis=1)
    assert {float(np.median(ranges[sweeps[0].return_number == number]).round(1)) for number in (0, 1)} == {12.0, 20.0}
    assert under_test.rejected == {}


def test_a_head_that_stands_still_is_cut_all_the_same_and_loses_nothing() -> None:
    sweeps = decoded(decoder(), [velodyne_packet(number * 10_000, 100, step=0) for number in range(250)])
    assert sum(map(len, sweeps)) == 250 * 384
    assert all(sweep.offset_ns.max() < 1_000_000_000 for sweep in sweeps)


def test_a_change_of_the_return_mode_ends_a_sweep_and_renumbers_none_of_it() -> None:
    last = [velodyne_packet(number * PACKET_US, number * 240, mode=0x38) for number in range(20)]
    dual = [dual_packet(number) for number in range(80, 100)]
    sweeps = decoded(decoder(), last + dual)
    assert [len(sweep) for sweep in sweeps] == [20 * 384, 20 * 6 * (16 + 16 + 16)]
    assert [sorted(set(sweep.return_number.tolist())) for sweep in sweeps] == [[0], [0, 1]]


def test_a_duplicate_behind_a_straggler_is_one_all_the_same() -> None:
    datas = turns(1)
    again = decoder()
    sweeps = decoded(again, [*datas[:50], datas[30], datas[49], *datas[50:]])
    assert sum(map(len, sweeps)) == len(datas) * 384
    assert again.rejected == {"late packet": 1, "duplicate packet": 1}
