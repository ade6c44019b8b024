import threading
import time
from pathlib import Path

import numpy as np
import pytest

from devices.errors import DeviceError
from devices.logs.replay import port_map, replay
from tests.devices.builders import Reader, ethernet, pcap, udp_frame
from tests.devices.test_udp import a_source

COUNT = 2000


@pytest.mark.parametrize("speed", [1.0, 2.0, 0.5])
def test_datagrams_are_sent_as_far_apart_as_they_were_captured_divided_by_the_speed(
    speed: float, tmp_path: Path
) -> None:
    path = pcap(
        tmp_path / "a.pcap", [ethernet(udp_frame(number.to_bytes(2, "big"), 2368)) for number in range(COUNT)]
    )  # 1 ms apart
    source = a_source()
    with Reader([source]) as reader:
        started = time.monotonic()
        done = replay(path, ports={2368: source.port}, speed=speed)
        took_s = time.monotonic() - started
        reader.wait_for("lidar/points", COUNT)
    packets = reader.packets["lidar/points"]
    assert [int.from_bytes(packet.data, "big") for packet in packets] == list(range(COUNT))
    assert done.sent == {source.port: COUNT}
    assert took_s >= (COUNT - 1) / 1000 / speed
    late_ms = np.array([packet.stamps.host_ns for packet in packets]) / 1e6 - np.arange(COUNT) / speed
    first_ms, last_ms = (
        float(half.min()) for half in np.split(late_ms, 2)
    )  # what a busy machine holds up is caught up with
    assert abs(last_ms - first_ms) < 0.1 * COUNT / speed


def test_a_port_nobody_listens_at_stops_nothing(tmp_path: Path) -> None:
    source = a_source()
    free = source.port
    source.close()
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"x", free))] * 5)
    assert replay(path).sent == {free: 5}


def test_a_replay_can_be_stopped(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"x", 9))] * 10_000)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert 0 < replay(path, stop=stop).sent[9] < 5_000


def test_a_capture_without_udp_says_so(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [bytes(60)])
    with pytest.raises(
        DeviceError, match=r"a\.pcap holds no UDP datagrams \(1 other frames\); record one with tcpdump"
    ):
        replay(path)


def test_an_address_that_cannot_be_sent_to_says_so(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"x", 9))])
    with pytest.raises(DeviceError, match="cannot send 1 B to UDP not an address:9"):
        replay(path, "not an address")


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_no_speed_or_a_negative_one_is_refused(tmp_path: Path, speed: float) -> None:
    with pytest.raises(DeviceError, match="must be above 0"):
        replay(tmp_path / "a.pcap", speed=speed)


def test_ports_are_mapped_as_told() -> None:
    assert port_map(["2368:12368", "7502:7602"]) == {2368: 12368, 7502: 7602}


@pytest.mark.parametrize("wrong", ["2368", "a:b", "2368:99999", ":"])
def test_a_pair_that_is_none_says_how_to_write_one(wrong: str) -> None:
    with pytest.raises(DeviceError, match="write RECORDED:SENT"):
        port_map([wrong])
