import socket
import threading
import time
from pathlib import Path

import pytest

from devices.device import Attentive, Stream, driver
from devices.errors import DeviceError
from devices.host_clock import HOST_CLOCK
from devices.udp.socket import UdpSocket
from devices.udp.source import UdpSource

STREAM = Stream("lidar/points", "anything")
CLOCKS_APART_NS = 50_000  # two clocks are never read at the same instant


def no_clock(_: bytes) -> None:
    return None


def a_source(**options: object) -> UdpSource:
    return UdpSource(STREAM, 0, options.pop("device_ns", no_clock), "127.0.0.1", **options)


@pytest.fixture
def sender() -> socket.socket:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


def all_that_came(source: UdpSource) -> list[bytes]:
    came = []
    while packets := source.read(0.2):
        came.extend(packet.data for packet in packets)
    return came


def test_datagrams_arrive_whole_and_in_order_with_the_kernels_stamp(sender: socket.socket) -> None:
    source = a_source(device_ns=lambda data: data[0] * 1000)
    time.sleep(0.2)  # the kernel begins to stamp a moment after the first socket asks for it
    before_ns = HOST_CLOCK.now_ns()
    for number in (1, 2, 3):
        sender.sendto(bytes([number]) * 60_000, ("127.0.0.1", source.port))
    after_ns = HOST_CLOCK.now_ns()
    time.sleep(0.05)  # the stamp is the arrival, not the read
    packets = source.read(1.0)
    source.close()
    assert [packet.data for packet in packets] == [bytes([number]) * 60_000 for number in (1, 2, 3)]
    assert [packet.stamps.device_ns for packet in packets] == [1000, 2000, 3000]
    assert {packet.stream for packet in packets} == {"lidar/points"}
    for packet in packets:
        assert before_ns - CLOCKS_APART_NS <= packet.stamps.host_ns <= after_ns + CLOCKS_APART_NS


def test_the_first_datagrams_of_a_machine_whose_kernel_begins_to_stamp_arrived_before_those_that_follow(
    sender: socket.socket,
) -> None:
    for _ in range(20):
        source = UdpSource(STREAM, 0, lambda _data: None)
        sent_ns = []
        for number in range(8):
            sent_ns.append(HOST_CLOCK.now_ns())
            sender.sendto(bytes([number]), ("127.0.0.1", source.port))
            time.sleep(0.001)
        time.sleep(0.02)
        packets = source.read(1)
        arrivals_ns = [packet.stamps.host_ns for packet in packets]
        source.close()
        assert [packet.data[0] for packet in packets] == list(range(8))
        assert arrivals_ns == sorted(arrivals_ns)
        assert arrivals_ns[0] < sent_ns[-1], "it was stamped when it was read"


def test_two_sensors_of_a_rig_at_one_port_are_both_named_and_one_that_was_closed_is_not() -> None:
    first = a_source()
    with pytest.raises(
        DeviceError,
        match=rf"^robot/state: UDP port {first.port} is that of lidar/points already, in the same rig\.toml; have",
    ):
        UdpSource(Stream("robot/state", "anything"), first.port, no_clock, "127.0.0.1")
    first.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first.port))
        with pytest.raises(
            DeviceError, match=f"^robot/state: UDP port {first.port} is in use by another program; stop"
        ):
            UdpSource(Stream("robot/state", "anything"), first.port, no_clock, "127.0.0.1")


def test_a_flood_into_a_small_buffer_is_counted_to_the_last_datagram(sender: socket.socket) -> None:
    source = a_source(receive_buffer_bytes=20_000)
    for _ in range(500):
        sender.sendto(bytes(1000), ("127.0.0.1", source.port))
    counted_before_reading = source.lost
    came = all_that_came(source)
    assert 0 < len(came) < 500
    assert counted_before_reading == source.lost == 500 - len(came)
    source.close()
    assert source.lost == 500 - len(came)  # also once it is closed


def test_the_count_that_rides_on_the_next_datagram_is_the_same(
    sender: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UdpSocket, "_dropped_so_far", lambda _: 0)  # a kernel that cannot be asked
    source = a_source(receive_buffer_bytes=20_000)
    for _ in range(500):
        sender.sendto(bytes(1000), ("127.0.0.1", source.port))
    came = all_that_came(source)
    sender.sendto(b"one more", ("127.0.0.1", source.port))
    assert all_that_came(source) == [b"one more"]
    assert source.lost == 500 - len(came)
    source.close()


def test_a_datagram_without_a_device_time_or_a_foreign_one_is_kept(sender: socket.socket) -> None:
    def strict(data: bytes) -> int:
        raise ValueError(data)

    source = a_source(device_ns=strict)
    sender.sendto(b"", ("127.0.0.1", source.port))
    sender.sendto(b"foreign", ("127.0.0.1", source.port))
    packets = [*source.read(1.0)]
    source.close()
    assert [(packet.data, packet.stamps.device_ns) for packet in packets] == [(b"", None), (b"foreign", None)]


def test_a_port_in_use_says_which_and_what_to_do() -> None:
    source = a_source()
    with pytest.raises(DeviceError, match=rf"lidar/points: UDP port {source.port} is in use by another program; stop"):
        UdpSource(STREAM, source.port, no_clock, "127.0.0.1")
    source.close()


def test_an_address_that_is_not_this_machines_says_so() -> None:
    with pytest.raises(DeviceError, match=r"lidar/points: cannot listen at UDP 203\.0\.113\.1:0"):
        UdpSource(STREAM, 0, no_clock, "203.0.113.1")


def test_a_silent_port_gives_nothing_after_the_time_out() -> None:
    source = a_source()
    started = time.monotonic()
    assert source.read(0.1) == []
    assert 0.09 < time.monotonic() - started < 30
    source.close()


def test_closing_from_another_thread_ends_a_read_at_once() -> None:
    source = a_source()
    threading.Timer(0.1, source.close).start()
    started = time.monotonic()
    assert source.read(100) == []
    assert time.monotonic() - started < 50
    with pytest.raises(EOFError):
        source.read(30)
    source.close()  # twice does no harm


def test_without_the_privilege_the_buffer_is_as_large_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def without_privilege(opened: UdpSocket, level: int, option: int, value: int) -> None:
        asked.append(option)
        if option == 33:  # SO_RCVBUFFORCE
            raise PermissionError(1, "Operation not permitted")
        socket.socket.setsockopt(opened, level, option, value)

    monkeypatch.setattr(UdpSocket, "setsockopt", without_privilege)
    source = a_source(receive_buffer_bytes=64 << 20)
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert asked[:2] == [33, socket.SO_RCVBUF]
    assert source.receive_buffer_bytes == 2 * min(allowed, 64 << 20)
    source.close()


def test_datagrams_gather_where_the_buffer_holds_them_and_are_read_in_one_go(
    sender: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.udp.source._GATHER_S", 0.8)
    source = a_source()
    if source.receive_buffer_bytes < 8 << 20:
        pytest.skip("net.core.rmem_max is below 4 MB")

    def trickle() -> None:
        for number in range(5):
            sender.sendto(bytes([number]), ("127.0.0.1", source.port))
            time.sleep(0.0005)

    sending = threading.Thread(target=trickle)
    sending.start()
    reads = []
    while sum(map(len, reads)) < 5:
        reads.append([packet.data[0] for packet in source.read(1.0)])
    sending.join()
    source.close()
    assert [number for read in reads for number in read] == [0, 1, 2, 3, 4]
    assert len(reads) <= 3


def test_a_small_buffer_is_emptied_at_once(sender: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.udp.source._GATHER_S", 100.0)
    source = a_source(receive_buffer_bytes=200_000)
    sender.sendto(b"now", ("127.0.0.1", source.port))
    started = time.monotonic()
    assert [packet.data for packet in source.read(200.0)] == [b"now"]
    assert time.monotonic() - started < 50
    source.close()


def test_closing_ends_the_gathering_at_once(sender: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.udp.source._GATHER_S", 100.0)
    monkeypatch.setattr("devices.udp.source._GATHER_BUFFER_BYTES", 0)
    source = a_source()
    sender.sendto(b"the last", ("127.0.0.1", source.port))
    threading.Timer(0.2, source.close).start()
    started = time.monotonic()
    assert [packet.data for packet in source.read(200.0)] == [b"the last"]
    assert time.monotonic() - started < 50


def test_reading_without_patience_does_not_gather(sender: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.udp.source._GATHER_S", 100.0)
    source = a_source()
    sender.sendto(b"here", ("127.0.0.1", source.port))
    time.sleep(0.05)
    started = time.monotonic()
    assert len(source.read(0.0)) == 1
    assert time.monotonic() - started < 50
    source.close()


def test_what_came_before_and_after_a_failing_socket_is_read_before_the_failure_is_said(sender: socket.socket) -> None:
    """The failure is a real one: an ICMP message that answers a datagram of this very socket, which the kernel reports between two others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()

    def provokes(data: bytes) -> None:
        if data == b"second":
            source._socket.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
            source._socket.sendto(b"", nobody)

    source = a_source(device_ns=provokes)
    for data in (b"first", b"second", b"third"):
        sender.sendto(data, ("127.0.0.1", source.port))
    assert [packet.data for packet in source.read(1.0)] == [b"first", b"second", b"third"]
    with pytest.raises(DeviceError, match=r"lidar/points: cannot receive at port \d+: .*refused"):
        source.read(1.0)
    source.close()


@pytest.mark.parametrize("defect", [OverflowError, KeyError, ZeroDivisionError])
def test_a_drivers_defect_costs_the_stamp_and_not_the_datagram(sender: socket.socket, defect: type[Exception]) -> None:
    def fails(data: bytes) -> int:
        raise defect(data)

    source = a_source(device_ns=fails)
    sender.sendto(b"kept", ("127.0.0.1", source.port))
    assert [(packet.data, packet.stamps.device_ns) for packet in source.read(1.0)] == [(b"kept", None)]
    source.close()


def from_addresses(source: UdpSource, *addresses: str) -> None:
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.bind((address, 0))
            out.sendto(b"12", ("127.0.0.1", source.port))
    all_that_came(source)
    source.close()


def test_a_sensor_that_gets_another_address_is_still_alone() -> None:
    source = a_source(one_sender=True)
    from_addresses(source, "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2")
    assert source.rejected == {}


def test_two_senders_by_turns_are_told_where_one_is_expected() -> None:
    source, anybody = a_source(one_sender=True), a_source()
    from_addresses(source, *["127.0.0.1", "127.0.0.2"] * 3)
    assert source.rejected == {"from 127.0.0.1 and 127.0.0.2 by turns": 4}
    from_addresses(anybody, *["127.0.0.1", "127.0.0.2"] * 3)
    assert anybody.rejected == {}


def test_what_a_driver_cannot_read_is_kept_and_counted(sender: socket.socket) -> None:
    source = a_source(device_ns=lambda data: data[100])
    sender.sendto(b"short", ("127.0.0.1", source.port))
    (packet,) = source.read(1.0)
    source.close()
    assert (packet.data, packet.stamps.device_ns) == (b"short", None)
    assert source.rejected == {"that its driver cannot read": 1}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("velodyne", {"model": "VLP-16", "port": 0, "position_port": 0}),
        ("hesai", {"model": "XT32", "port": 0}),
        ("livox", {"model": "Mid-360", "points_port": 0, "imu_port": 0}),
    ],
)
def test_every_lidar_counts_what_is_none_of_its_packets(name: str, config: dict[str, object]) -> None:
    made = driver(name)
    sources = made.open("lidar", made.config(host="127.0.0.1", **config))
    for source in sources:
        from_addresses(source, "127.0.0.1")
        assert isinstance(source, Attentive)
        assert sum(source.rejected.values()) == 1
        assert source.lost == 0
