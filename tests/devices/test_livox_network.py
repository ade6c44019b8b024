"""Finding and configuring Livox lidars, against peers that follow the public protocol; one of them is also tried by Livox's own SDK."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import ClockSource, Remarked, Source
from devices.errors import DeviceError
from devices.livox.command import FirstFrame, SecondFrame, crc16, first_frame, second_frame
from devices.livox.connection import Connection
from devices.livox.discovery import find_livox
from devices.livox.driver import DRIVER, LivoxConfig, LivoxSource
from devices.livox.setup import Destination, configure
from devices.samples import ImuSample, Sweep
from devices.udp.captured import out_of_a_capture
from tests.devices.builders import Reader
from tests.devices.livox_peer import Avia, Mid360, first_reply, second_ack

PEER = Path(__file__).with_name("livox_sdk_peer.py")
HOST = socket.inet_aton("127.0.0.1")


@pytest.fixture
def free_port() -> Callable[[], int]:
    def free() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            return int(probe.getsockname()[1])

    return free


@pytest.fixture
def mid360() -> Iterator[Mid360]:
    with Mid360() as lidar:
        yield lidar


def config_of(lidar: Mid360, **more: object) -> LivoxConfig:
    return LivoxConfig(
        model="Mid-360", address=lidar.address, command_port=lidar.command_port, points_port=0, imu_port=0, host="127.0.0.1", **more
    )  # fmt: skip


def read_for_a_while(source: Source) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        source.read(0.05)


def test_a_mid_360_is_told_where_to_send_and_its_points_and_readings_arrive_and_decode(mid360: Mid360) -> None:
    points, imu = DRIVER.open("lidar", config_of(mid360))
    with Reader([points, imu]) as reader:
        reader.wait_for("lidar/points", 5)
        reader.wait_for("lidar/imu", 5)
        assert points.clock_source is ClockSource.PTP
        assert points.lost == imu.lost == 0
    assert mid360.faults == []
    assert mid360.settings == {
        0x0000: b"\x01",
        0x0006: HOST + points.port.to_bytes(2, "little") + (56300).to_bytes(2, "little"),
        0x0007: HOST + imu.port.to_bytes(2, "little") + (56400).to_bytes(2, "little"),
        0x001A: b"\x01",
        0x001C: b"\x01",
    }
    decoder = DRIVER.decoder(points.stream)
    packets = reader.packets["lidar/points"]
    sweeps = [sweep for packet in packets for sweep in decoder.decode(packet)] + list(decoder.flush())
    assert decoder.rejected == {}
    assert all(isinstance(sweep, Sweep) for sweep in sweeps)
    assert sum(map(len, sweeps)) == 96 * len(packets)
    assert packets[0].stamps.device_ns == sweeps[0].t_ns + 95 * 5000
    (reading,) = DRIVER.decoder(imu.stream).decode(reader.packets["lidar/imu"][0])
    assert isinstance(reading, ImuSample)
    assert reading.acceleration.tolist() == [0.0, 0.0, 9.80665]


def test_without_an_imu_the_lidar_is_told_to_send_none(mid360: Mid360) -> None:
    (points,) = DRIVER.open("lidar", config_of(mid360, imu=False, point_type=2))
    points.close()
    assert mid360.settings[0x001C] == b"\0"
    assert mid360.settings[0x0000] == b"\x02"
    assert 0x0007 not in mid360.settings


def test_what_is_fed_from_a_capture_speaks_to_no_lidar(mid360: Mid360) -> None:
    with out_of_a_capture() as made:
        sources = DRIVER.open("lidar", config_of(mid360))
    assert list(sources) == made
    for each in sources:
        each.close()
    assert mid360.settings == {}


def test_a_request_that_is_lost_is_asked_again(mid360: Mid360) -> None:
    mid360.deaf = 1
    configure(mid360.address, Destination(1, None), 1, mid360.command_port)
    assert mid360.settings[0x001A] == b"\x01"


def test_a_lidar_that_refuses_a_setting_is_reported_with_the_key() -> None:
    with (
        Mid360(refuses=frozenset({0x001C})) as lidar,
        pytest.raises(DeviceError, match="refuses the setting 0x001c: code 21"),
    ):
        DRIVER.open("lidar", config_of(lidar))


def test_an_address_where_nobody_answers_is_said_and_the_ports_are_free_again(free_port: Callable[[], int]) -> None:
    port, silent = free_port(), free_port()
    config = LivoxConfig(model="Mid-360", address="127.0.0.1", command_port=silent, points_port=port, imu_port=0)
    with pytest.raises(DeviceError, match=r"lidar at 127\.0\.0\.1 does not answer; is it powered"):
        DRIVER.open("lidar", config)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("0.0.0.0", port))


def test_a_lidar_that_falls_silent_is_gone_and_comes_back_when_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.livox.driver._SILENCE_S", 0.3)
    with Mid360() as lidar:
        points, imu = DRIVER.open("lidar", config_of(lidar))
        while not points.read(0.5):
            pass
        lidar.fall_silent()
        with pytest.raises(
            DeviceError, match=r"lidar/points: the Livox lidar at 127\.0\.0\.1 has fallen silent; check"
        ):
            read_for_a_while(points)
        for each in (points, imu):
            each.close()
        port = lidar.command_port
    with Mid360(command_port=port) as lidar:  # has power again and knows nothing of us
        again = DRIVER.open("lidar", config_of(lidar))
        assert again[0].read(5.0)
        for each in again:
            each.close()


def test_an_imu_that_says_nothing_does_not_make_a_lidar_that_sends_points_gone(
    mid360: Mid360, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.livox.driver._SILENCE_S", 0.3)
    points, imu = DRIVER.open("lidar", config_of(mid360))
    mid360.settings[0x001C] = b"\0"
    with Reader([points]):
        while imu.read(0.2):
            pass
        started = time.monotonic()
        while time.monotonic() < started + 0.6:
            assert imu.read(0.1) == []
    imu.close()


def test_lidars_of_both_protocols_are_found(
    mid360: Mid360, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    discovery, broadcast, found_all = free_port(), free_port(), threading.Event()

    def announce() -> None:
        with Avia() as avia:
            while not found_all.wait(0.02):
                mid360.announce("127.0.0.1", discovery)
                for data in (avia.announcement(), b"noise", avia.announcement()[:-1]):
                    avia.send(data, broadcast)

    monkeypatch.setattr("devices.livox.discovery._ask_everybody", lambda *_: None)
    thread = threading.Thread(target=announce)
    thread.start()
    try:
        found = [*find_livox(1.5, discovery, free_port()), *find_livox(1.5, free_port(), broadcast)]
    finally:
        found_all.set()
        thread.join()
    assert [(each.driver, each.label, each.config["model"]) for each in found] == [
        ("livox", "Livox Mid-360 47MDL1234567890", "Mid-360"),
        ("livox", "Livox Avia 3JEDK1234567891", "Avia"),
    ]


def test_each_of_several_lidars_is_given_ports_of_its_own(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mid360(address="127.0.0.2") as one, Mid360(address="127.0.0.3", serial=b"47MDL9999999999") as two:
        monkeypatch.setattr(
            "devices.livox.discovery._ask_everybody",
            lambda asking, _: [
                asking.sendto(SecondFrame(1, 0, 0).to_bytes(), (each.address, each.discovery_port))
                for each in (two, one)
            ],
        )
        found = find_livox(1.5, free_port(), free_port())
    configs = [LivoxConfig.model_validate(each.config) for each in found]
    assert [each.address for each in configs] == ["127.0.0.2", "127.0.0.3"]
    assert len({port for each in configs for port in (each.points_port, each.imu_port)}) == 4


def test_who_is_asked_answers(free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer listens where the broadcast goes, and answers the one who asked."""
    with Mid360(address="127.0.0.2") as lidar:
        request: list[bytes] = []
        monkeypatch.setattr(
            "devices.livox.discovery._ask_everybody",
            lambda asking, _: (
                request.append(SecondFrame(1, 0, 0).to_bytes()),
                asking.sendto(request[-1], (lidar.address, lidar.discovery_port)),
            ),
        )
        (found,) = find_livox(1.5, free_port(), free_port())
        assert (found.label, found.config) == (
            "Livox Mid-360 47MDL1234567890",
            {"model": "Mid-360", "address": "127.0.0.2"},
        )
        assert lidar.faults == []


def test_a_port_that_another_program_holds_hides_the_lidars_but_raises_nothing(free_port: Callable[[], int]) -> None:
    ports = free_port(), free_port()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("", ports[0]))
        two.bind(("", ports[1]))
        assert find_livox(0.1, *ports) == []


def test_an_avia_is_shaken_hands_with_told_to_sample_and_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.livox.connection._HEARTBEAT_S", 0.05)
    with Avia() as avia:
        config = LivoxConfig(
            model="Avia", address="127.0.0.1", command_port=avia.port, points_port=0, imu_port=0, returns="triple"
        )  # fmt: skip
        points, imu = DRIVER.open("lidar", config)
        until = time.monotonic() + 60
        while avia.heartbeats < 3 and time.monotonic() < until:
            time.sleep(0.02)
        assert points.read(0.01) == []  # silent at first, and not gone for it
        assert isinstance(points, Remarked)
        assert "no number" in points.remark
        for each in (points, imu):
            each.close()
            each.close()
    assert avia.faults == []
    assert avia.heartbeats >= 3
    told = {(set_, command): data for set_, command, data in avia.heard}
    assert list(told) == [(0, 1), (0, 5), (1, 6), (1, 8), (0, 4), (0, 6)]  # the handshake first, the farewell last
    ports = [int.from_bytes(told[0, 1][at : at + 2], "little") for at in (4, 6, 8)]
    assert (told[0, 1][:4], ports[0], ports[2]) == (HOST, points.port, imu.port)
    assert (told[1, 6], told[1, 8], told[0, 4]) == (b"\x03", b"\x01", b"\x01")


@pytest.mark.parametrize(("model", "expected"), [("Horizon", {(1, 6): b"\x02", (1, 8): b"\0"}), ("Mid-40", {})])
def test_returns_are_asked_of_those_that_have_a_choice_and_no_imu_of_those_that_need_not(
    model: str, expected: dict[tuple[int, int], bytes]
) -> None:
    with Avia() as lidar:
        config = LivoxConfig(
            model=model, address="127.0.0.1", command_port=lidar.port, points_port=0, imu=False, returns="dual"
        )  # fmt: skip
        (points,) = DRIVER.open("lidar", config)
        points.close()
    assert {(set_, command): data for set_, command, data in lidar.heard if set_ == 1} == expected


def test_a_lidar_that_leaves_heartbeats_unanswered_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.livox.connection._HEARTBEAT_S", 0.02)
    monkeypatch.setattr("devices.livox.connection._HEARTBEAT_LOST_S", 0.3)
    monkeypatch.setattr("devices.livox.connection.ANSWER_S", 0.05)
    with Avia() as avia:
        config = LivoxConfig(model="Mid-70", address="127.0.0.1", command_port=avia.port, points_port=0)
        (points,) = DRIVER.open("lidar", config)
        assert isinstance(points, LivoxSource)
        avia.dead = True
        with pytest.raises(DeviceError, match="has fallen silent"):
            read_for_a_while(points)
        points.close()


def test_an_avia_that_is_taken_or_silent_is_said(free_port: Callable[[], int]) -> None:
    with (
        Avia(refuses=frozenset({(0, 1)})) as avia,
        pytest.raises(DeviceError, match="refuses the command 0/1: code 01"),
    ):
        Connection("127.0.0.1", Destination(1, 2), 0, avia.port)
    with pytest.raises(
        DeviceError, match="does not answer; is it powered, at this address, and taken by no other program"
    ):
        Connection("127.0.0.1", Destination(1, 2), 0, free_port())


def test_frames_of_the_first_protocol_are_those_that_programs_for_real_lidars_send() -> None:
    """Written down in the source of a public program that drives a Mid-40."""
    handshake = FirstFrame(0, 0, 1, 0, socket.inet_aton("192.168.1.33") + bytes.fromhex("52c351c352c3"))
    assert handshake.to_bytes().hex() == "aa011900000000dc580001c0a8012152c351c352c363925b8b"
    assert FirstFrame(0, 0, 3, 0).to_bytes().hex() == "aa010f0000000004d7000338ba8d0c"
    assert FirstFrame(2, 0, 2, 0).to_bytes().hex() == "aa010f00000200b4e40002f63e1d0d"


def test_the_crc_of_the_second_protocol_is_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@given(st.binary(max_size=40))
def test_a_frame_is_read_as_it_was_written_and_a_damaged_one_not_at_all(data: bytes) -> None:
    second, first = second_ack(7, 0x0100, data), first_reply(1, 7, 0, 4, data)
    assert second_frame(second) == SecondFrame(7, 0x0100, 1, data)
    assert first_frame(first) == FirstFrame(7, 0, 4, 1, data)
    for number in range(len(second)):
        broken = second[:number] + bytes([second[number] ^ 1]) + second[number + 1 :]
        uncovered = not data and 20 <= number < 24  # the CRC of no data
        assert second_frame(broken) is None or uncovered
    for number in range(len(first)):
        assert first_frame(first[:number] + bytes([first[number] ^ 1]) + first[number + 1 :]) is None


@given(st.binary(max_size=60))
def test_rubbish_is_no_frame_and_nobodys_announcement(data: bytes) -> None:
    assert second_frame(data) is None
    assert first_frame(data) is None


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_livoxs_own_sdk_takes_the_peer_for_a_mid_360_and_asks_of_it_what_we_ask(
    environment: Callable[[str], Path], tmp_path: Path
) -> None:
    """SDK2 as the host: it finds the peer, configures it, and is given its packets; what it set is what our driver sets."""
    python = environment("livox-sdk") / "python"
    if not list(python.parent.parent.glob("lib/python*/site-packages/lib/liblivox_lidar_sdk_shared.so")):
        pytest.skip("Livox-SDK2 has no wheel for this kind of machine")
    if not all(map(is_free, (56000, 56101, 56201, 56301, 56401))):
        pytest.skip("Livox-SDK2 listens at fixed ports, and another program holds one of them")
    ports = {"cmd_data_port": 56101, "push_msg_port": 56201, "point_data_port": 56301, "imu_data_port": 56401}
    host = ports | {"lidar_ip": ["127.0.0.2"], "host_ip": "127.0.0.1", "log_data_port": 56501}
    (tmp_path / "sdk.json").write_text(
        json.dumps({"MID360": {"lidar_net_info": ports | {"log_data_port": 56500}, "host_net_info": [host]}})
    )
    with Mid360("127.0.0.2", command_port=56100, discovery_port=56000, point_port=56300) as lidar:
        command = [python, PEER, tmp_path / "sdk.json", "5", "20"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ran:
            while ran.poll() is None:
                lidar.announce("127.0.0.1", 56000)  # the SDK's broadcast does not reach loopback
                time.sleep(0.1)
            said = ran.stdout.read() if ran.stdout else ""
        assert ran.returncode == 0
        by_sdk = dict(lidar.settings)
        configure("127.0.0.2", Destination(56301, 56401), 1, 56100)
        assert lidar.faults == []
    given_ = json.loads(said.strip().splitlines()[-1])
    device, count, counter, data_type, time_type, t_ns, interval, *first = given_["points"][0]
    assert (device, count, data_type, time_type, interval, first) == (9, 96, 1, 1, 4800, [1000, 2000, 500, 50])
    assert t_ns == 1_000_000_000 + counter * 480_000
    assert given_["readings"][0][1:] == pytest.approx([0.1, 0.2, 0.3, 0, 0, 1])
    ours = lidar.settings
    assert {key: ours[key] for key in (0x0000, 0x001A, 0x001C)} == {
        key: by_sdk[key] for key in (0x0000, 0x001A, 0x001C)
    }
    for key in (0x0006, 0x0007):
        assert ours[key][4:] == by_sdk[key][4:]
        assert by_sdk[key][:4] == HOST
