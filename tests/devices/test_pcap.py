import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import DeviceError
from devices.logs.ip import FragmentStore, IpPacket, ip_packet
from devices.logs.pcap import PcapReader
from tests.devices.builders import ethernet, ipv4, pcap, udp_frame


def payloads(path: Path) -> list[bytes]:
    return [datagram.payload for datagram in PcapReader(path)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_a_datagram_keeps_its_time_ports_and_payload(tmp_path: Path, order: str, nanoseconds: bool) -> None:
    frames = [ethernet(udp_frame(b"first", 2368)), ethernet(udp_frame(b"second", 7502), vlan=True)]
    first, second = PcapReader(pcap(tmp_path / "a.pcap", frames, order=order, nanoseconds=nanoseconds))
    assert (first.payload, first.destination_port, first.source_port) == (b"first", 2368, 5000)
    assert (second.payload, second.destination_port, second.destination) == (b"second", 7502, "127.0.0.1")
    assert (first.t_ns, second.t_ns) == (1_600_000_000_000_000_000, 1_600_000_000_001_000_000)


@pytest.mark.parametrize(
    ("link_type", "before"),
    [(101, b""), (113, bytes(14) + b"\x08\x00"), (276, b"\x08\x00" + bytes(18)), (0, b"\x02\0\0\0"), (228, b"")],
)
def test_every_known_link_type_gives_the_same_datagram(tmp_path: Path, link_type: int, before: bytes) -> None:
    path = pcap(tmp_path / "a.pcap", [before + udp_frame(b"payload", 2368)], link_type=link_type)
    assert payloads(path) == [b"payload"]


def test_fragments_are_put_together_in_whatever_order_they_come(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 30
    udp = udp_frame(whole, 7502)[20:]
    parts = [
        ethernet(ipv4(udp[at : at + 1480], offset=at, more=at + 1480 < len(udp), identification=9))
        for at in range(0, len(udp), 1480)
    ]
    shuffled = [parts[3], parts[0], parts[0], parts[5], parts[1], parts[4], parts[2]]
    assert payloads(pcap(tmp_path / "a.pcap", shuffled)) == [whole]


def test_a_datagram_that_misses_a_fragment_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    udp = udp_frame(bytes(3000), 7502)[20:]
    first = ethernet(ipv4(udp[:1480], more=True, identification=9))
    reader = PcapReader(pcap(tmp_path / "a.pcap", [first, ethernet(udp_frame(b"whole", 7502))]))
    assert [datagram.payload for datagram in reader] == [b"whole"]
    assert reader.counts.unfinished == 1


def test_parts_whose_numbers_came_round_again_make_no_datagram_of_old_and_new_bytes(tmp_path: Path) -> None:
    """The 16 bits that number datagrams come round in 102 s where an Ouster sends 640 a second."""
    old, new = (udp_frame(bytes([value]) * 3000, 7502)[20:] for value in (1, 2))

    def part(udp: bytes, at: int) -> IpPacket:
        found = ip_packet(101, ipv4(udp[at : at + 1504], offset=at, more=at + 1504 < len(udp), identification=9))
        assert found is not None
        return found

    for first, second in ((0, 1504), (1504, 0)):
        store = FragmentStore()
        assert store.add(0, part(old, 0)) is None
        assert store.add(102_000_000_000, part(new, first)) is None
        whole = store.add(102_000_000_001, part(new, second))
        assert whole is not None
        assert set(whole.payload) == {2}
        assert store.unfinished == 1


def test_other_protocols_and_short_captured_frames_are_counted_and_passed_over(tmp_path: Path) -> None:
    tcp = ethernet(ipv4(bytes(40), protocol=6))
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    path = pcap(tmp_path / "a.pcap", [tcp, arp, ethernet(udp_frame(b"good", 1))])
    data = bytearray(path.read_bytes())
    cut = struct.pack("<IIII", 1_600_000_001, 0, 30, 60) + bytes(30)
    path.write_bytes(bytes(data) + cut)
    reader = PcapReader(path)
    assert [datagram.payload for datagram in reader] == [b"good"]
    assert (reader.counts.other_frames, reader.counts.cut_frames, reader.counts.datagrams) == (2, 1, 1)


def test_a_datagram_whose_length_cannot_be_is_counted(tmp_path: Path) -> None:
    whole = udp_frame(bytes(3000), 7502)[20:]
    too_long, short, right = (struct.pack(">HHHH", 1, 2, size, 0) + bytes(8) for size in (17, 7, 16))
    torn = struct.pack(">HHHH", 1, 2, len(whole) + 1, 0) + whole[8:]
    frames = [ipv4(too_long), ipv4(short), ipv4(whole[:7]), ipv4(right)]
    frames += [ipv4(torn[:1504], more=True, identification=9), ipv4(torn[1504:], offset=1504, identification=9)]
    reader = PcapReader(pcap(tmp_path / "a.pcap", frames, link_type=101))
    assert [datagram.payload for datagram in reader] == [bytes(8)]
    assert (reader.counts.datagrams, reader.counts.other_frames, reader.counts.unfinished) == (1, 4, 0)


@pytest.mark.parametrize("lost", [1, 20, 59])
def test_a_file_that_ends_in_a_record_gives_all_before_it_and_says_so(tmp_path: Path, lost: int) -> None:
    path = pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"whole", 1)), ethernet(udp_frame(b"torn!", 1))])
    path.write_bytes(path.read_bytes()[:-lost])
    reader = PcapReader(path)
    assert [datagram.payload for datagram in reader] == [b"whole"]
    assert reader.counts.truncated


def test_a_whole_file_is_not_called_truncated(tmp_path: Path) -> None:
    reader = PcapReader(pcap(tmp_path / "a.pcap", [ethernet(udp_frame(b"whole", 1))]))
    assert len(list(reader)) == 1
    assert not reader.counts.truncated


def test_a_file_that_is_no_capture_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no packets here")
    with pytest.raises(DeviceError, match=r"notes\.txt is no pcap or pcapng file .* record one with tcpdump") as raised:
        payloads(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xd4", b"\xd4\xc3\xb2\xa1short"])
def test_an_empty_file_or_a_bare_header_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"a\.pcap"):
        payloads(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot read .*gone.pcap: No such file"):
        payloads(tmp_path / "gone.pcap")


def pcapng_block(kind: int, body: bytes, order: str) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(order: str, resolution: int) -> bytes:
    """One Ethernet interface, ``resolution`` as in if_tsresol; an enhanced packet at 1.5 s past 1,600,000,000, then a simple one."""
    ticks_a_second = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    option = struct.pack(order + "HHB3x", 9, 1, resolution) + struct.pack(order + "HH", 0, 0)
    ticks = 1_600_000_001 * ticks_a_second + ticks_a_second // 2
    enhanced, simple = ethernet(udp_frame(b"enhanced", 7502)), ethernet(udp_frame(b"simple", 7503))
    head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(enhanced), len(enhanced))
    return (
        pcapng_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
        + pcapng_block(1, struct.pack(order + "HHI", 1, 0, 0) + option, order)
        + pcapng_block(0x80000BAD, b"nobody knows this", order)
        + pcapng_block(6, head + enhanced, order)
        + pcapng_block(3, struct.pack(order + "I", len(simple)) + simple, order)
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("resolution", [6, 9, 0x80 | 20])
def test_pcapng_is_read_in_both_byte_orders_and_any_resolution(tmp_path: Path, order: str, resolution: int) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng(order, resolution) * 2)  # two sections, as mergecap leaves them
    found = [(datagram.payload, datagram.t_ns) for datagram in PcapReader(path)]
    assert found == [(b"enhanced", 1_600_000_001_500_000_000), (b"simple", 1_600_000_001_500_000_000)] * 2


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_packet_blocks_of_early_pcapng_are_read(tmp_path: Path, order: str) -> None:
    path, frame = tmp_path / "a.pcapng", ethernet(udp_frame(b"early", 7502))
    ticks = 1_600_000_001 * 1_000_000
    head = struct.pack(order + "HHIIII", 0, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    path.write_bytes(pcapng(order, 6) + pcapng_block(2, head + frame, order) + pcapng_block(2, b"none", order))
    reader = PcapReader(path)
    assert [datagram.payload for datagram in reader] == [b"enhanced", b"simple", b"early"]
    assert [datagram.t_ns for datagram in reader][-1] == 1_600_000_001_000_000_000
    assert reader.counts.other_frames == 1


def test_a_torn_pcapng_gives_all_before_the_tear(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng("<", 6)[:-7])
    reader = PcapReader(path)
    assert [datagram.payload for datagram in reader] == [b"enhanced"]
    assert reader.counts.truncated


@given(st.integers(4, 400), st.binary(min_size=1, max_size=40), st.booleans())
def test_damage_anywhere_raises_nothing_but_a_device_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, damage: bytes, ng: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pcap"
    if ng:
        path.write_bytes(pcapng("<", 6))
    else:
        pcap(path, [ethernet(udp_frame(bytes(50), 1))] * 4)
    data = path.read_bytes()
    path.write_bytes(data[:at] + damage + data[at + len(damage) :])
    try:
        found = payloads(path)
    except DeviceError as error:
        found = [str(error).encode()]
        said = str(path) in str(error)
    else:
        said = True
    assert said
    assert len(found) <= 5


def ipv6(payload: bytes, next_header: int = 17) -> bytes:
    return (
        struct.pack(">IHBB", 6 << 28, len(payload), next_header, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload
    )


def test_ipv6_is_read_whole_behind_options_and_in_fragments(tmp_path: Path) -> None:
    udp = udp_frame(bytes(range(256)) * 8, 7502)[20:]
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])  # hop-by-hop, padding only
    half = 1024
    fragments = [
        ipv6(struct.pack(">BBHI", 17, 0, at | more, 99) + udp[at : at + size], 44)
        for at, more, size in ((half, 0, len(udp)), (0, 1, half))
    ]
    frames = [ipv6(udp), ipv6(options + udp, 0), *fragments]
    found = list(PcapReader(pcap(tmp_path / "a.pcap", frames, link_type=101)))
    assert [datagram.payload for datagram in found] == [bytes(range(256)) * 8] * 3
    assert {(datagram.source, datagram.destination) for datagram in found} == {("::1", "::2")}


def test_memory_is_bounded_when_fragments_never_meet(tmp_path: Path) -> None:
    udp = udp_frame(bytes(3000), 7502)[20:]
    frames = [ipv4(udp[:1480], more=True, identification=number) for number in range(1000)]
    reader = PcapReader(pcap(tmp_path / "a.pcap", frames, link_type=101))
    assert list(reader) == []
    assert reader.counts.unfinished == 1000
