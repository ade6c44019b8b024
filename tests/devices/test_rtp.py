from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.cameras.access_unit import AccessUnits, Codec, nal_units
from devices.rtsp.rtp import RtpOrder, RtpPacket, SenderClock, receiver_report, rtp_packet
from tests.devices.scripted_rtsp import rtp, sender_report

MS = 1_000_000


def arrived(number: int, host_ns: int = 0, sender: int = 5) -> RtpPacket:
    return rtp_packet(rtp(number, 0, bytes([number & 0xFF]), sender=sender), host_ns)


def through(order: RtpOrder, packets: list[RtpPacket]) -> list[int]:
    return [packet.number for each in packets for packet, _ in order.take(each)]


@given(start=st.integers(0, 0xFFFF), seed=st.integers(0, 1000))
def test_packets_that_overtake_each_other_come_in_order_and_duplicates_once(start: int, seed: int) -> None:
    generator = random.Random(seed)
    numbers = [(start + i) & 0xFFFF for i in range(100)]
    mixed = [numbers[0]]
    for run in [numbers[i : i + 9] for i in range(1, 100, 9)]:
        shuffled = list(run)
        generator.shuffle(shuffled)
        mixed += [*shuffled, shuffled[0]]
    order = RtpOrder()
    assert through(order, [arrived(number) for number in mixed]) == numbers
    assert order.lost == 0


@given(st.sets(st.integers(1, 198), max_size=150), st.integers(0, 0xFFFF))
def test_the_missing_ones_are_counted_exactly_however_many_they_are(missing: set[int], start: int) -> None:
    order = RtpOrder()
    sent = [number for number in range(200) if number not in missing]
    found = through(order, [arrived(start + n, n * 20 * MS) for n in sent] + [arrived(start + 200, 10_000 * MS)])
    assert found[: len(sent)] == [(start + number) & 0xFFFF for number in sent]
    assert order.lost == len(missing)


def test_what_follows_a_gap_is_told_and_a_late_one_is_not_given_twice() -> None:
    order = RtpOrder()
    found = [list(order.take(arrived(n, host_ns=t * MS))) for n, t in ((1, 0), (3, 1), (4, 200), (2, 201), (5, 202))]
    assert [[(packet.number, gap) for packet, gap in each] for each in found] == [
        [(1, False)], [], [(3, True), (4, False)], [], [(5, False)]
    ]  # fmt: skip
    assert order.lost == 1


def test_a_sender_that_counts_anew_has_lost_nothing() -> None:
    order = RtpOrder()
    found = through(order, [arrived(30_000), arrived(30_001), arrived(9), arrived(10), arrived(500, sender=6)])
    assert found == [30_000, 30_001, 9, 10, 500]
    assert order.lost == 0


def at_1000_hz(first: int, count: int, start_ms: int = 0) -> list[RtpPacket]:
    return [arrived(first + number, (start_ms + number) * MS) for number in range(count)]


@pytest.mark.parametrize("restart", [3_500, 20_990, 0x8000 + 1_000, 60_000])
@pytest.mark.parametrize("silent_ms", [1, 1000])
def test_a_sender_that_begins_anew_far_ahead_has_lost_nothing_either(restart: int, silent_ms: int) -> None:
    order = RtpOrder()
    found = through(order, [*at_1000_hz(0, 1000), *at_1000_hz(1000 + restart, 500, 1000 + silent_ms)])
    assert found == [*range(1000), *(number & 0xFFFF for number in range(1000 + restart, 1500 + restart))]
    assert (order.lost, order.broken) == (0, 0)


@pytest.mark.parametrize("silent_ms", [2_000, 4_000, 9_000, 30_000])
def test_a_silence_in_which_so_many_may_have_been_sent_is_a_loss_of_them(silent_ms: int) -> None:
    order = RtpOrder()
    found = through(order, [*at_1000_hz(0, 1000), *at_1000_hz(1000 + silent_ms, 500, 1000 + silent_ms)])
    assert found == [*range(1000), *range(1000 + silent_ms, 1500 + silent_ms)]
    assert (order.lost, order.broken) == (silent_ms, 0)


def test_a_silence_of_a_camera_that_has_come_to_send_more_is_a_loss_too() -> None:
    order = RtpOrder()
    parked = [arrived(number, number * 100 * MS) for number in range(1000)]
    through(order, [*parked, *at_1000_hz(1000, 20_000, 100_000), *at_1000_hz(25_000, 500, 124_000)])
    assert (order.lost, order.broken) == (4000, 0)


@pytest.mark.parametrize("stray", [20_000, 50_000])
def test_a_single_packet_of_a_number_far_off_costs_itself_alone(stray: int) -> None:
    order = RtpOrder()
    sent = at_1000_hz(10, 100)
    sent[50:50] = [arrived(stray, 50 * MS)]
    assert through(order, sent) == list(range(10, 110))
    assert (order.lost, order.broken) == (0, 1)
    assert through(order, [arrived(stray, 200 * MS)]) == []
    assert list(order.rest()) == []
    assert order.broken == 2


@given(st.binary(max_size=40))
def test_any_bytes_are_an_rtp_packet_or_a_value_error(data: bytes) -> None:
    try:
        found = rtp_packet(data, 0)
    except ValueError:
        return
    assert len(found.payload) <= len(data) - 12


def test_header_extensions_contributors_and_padding_are_no_payload() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 2]) + rtp(7, 9, b"")[1:]
    data = head + bytes(8) + b"\xbe\xde\x00\x01" + b"ext!" + b"payload" + b"\0\0\x03"
    assert rtp_packet(data, 0).payload == b"payload"


@given(st.binary(max_size=80))
def test_no_report_raises(data: bytes) -> None:
    clock = SenderClock(90_000)
    clock.take(data, 0)
    clock.take(bytes([0x80, 200, 0, 6]) + data, 0)
    clock.device_ns(5)
    assert len(receiver_report(1, RtpOrder(), clock, 5)) == 52


@pytest.mark.parametrize("follows_packet", [False, True])
@pytest.mark.parametrize("first", [0, 0x7FFF_FFFF, 0xFFFF_FFF0])
def test_stamps_run_on_for_days_after_the_only_report(first: int, follows_packet: bool) -> None:
    """32 bits of 90 kHz last 13.3 hours, and half of them 6.6."""
    clock, base_ns = SenderClock(90_000), 1_790_000_000 * 10**9
    if follows_packet:
        clock.device_ns(first - 90_000 & 0xFFFF_FFFF)
    clock.take(sender_report(1_790_000_000 + 2_208_988_800, 0, first), 0)
    for minute in range(48 * 60):
        ticks = first + 90 + minute * 60 * 90_000
        assert clock.device_ns(ticks & 0xFFFF_FFFF) == base_ns + minute * 60 * 10**9 + MS
        assert clock.device_ns(ticks - 9000 & 0xFFFF_FFFF) == base_ns + minute * 60 * 10**9 - 99 * MS, "a B frame's"
    clock.take(sender_report(1_790_000_000 + 2_208_988_800 + 3, 0, ticks), 0)
    assert clock.device_ns(ticks & 0xFFFF_FFFF) == base_ns + 3 * 10**9


def fragments(head: bytes, body: bytes, start: bytes, middle: bytes, end: bytes) -> list[bytes]:
    third = len(body) // 3
    parts = (body[:third], body[third : 2 * third], body[2 * third :])
    return [head + flag + part for flag, part in zip((start, middle, end), parts, strict=True)]


H264_NAL = b"\x65" + bytes(range(1, 100))
H265_NAL = b"\x26\x01" + bytes(range(1, 100))
FRAGMENTED = {
    Codec.H264: (H264_NAL, fragments(b"\x7c", H264_NAL[1:], b"\x85", b"\x05", b"\x45")),
    Codec.H265: (H265_NAL, fragments(b"\x62\x01", H265_NAL[2:], b"\x93", b"\x13", b"\x53")),
}
AGGREGATE = {
    Codec.H264: (b"\x18\x00\x02\x67\x11\x00\x02\x68\x22\x00\x03\x65\x33\x44", [b"\x67\x11", b"\x68\x22", b"\x65\x33\x44"]),
    Codec.H265: (b"\x60\x01\x00\x03\x42\x01\x11\x00\x03\x26\x01\x33", [b"\x42\x01\x11", b"\x26\x01\x33"]),
}  # fmt: skip


def units(codec: Codec, payloads: list[bytes], missing: int = -1) -> list[list[bytes]]:
    taken, order = AccessUnits(codec), RtpOrder()
    found = []
    for number, payload in enumerate(payloads):
        if number != missing:
            data = rtp_packet(rtp(number, 0, payload, last=number == len(payloads) - 1), 0)
            found += [unit for each, gap in order.take(data) for unit in taken.take(each, gap)]
    for after in (0, 1):  # the next picture; a gap is given up when a packet behind it has waited
        data = rtp_packet(rtp(len(payloads) + after, 3600, b"\x01\x01\x01"), after * 10**9)
        found += [unit for each, gap in order.take(data) for unit in taken.take(each, gap) if unit.ticks == 0]
    return [nal_units(unit.data) for unit in found]


@pytest.mark.parametrize("codec", list(Codec))
def test_fragments_are_put_together_and_aggregates_taken_apart(codec: Codec) -> None:
    nal, parts = FRAGMENTED[codec]
    assert units(codec, parts) == [[nal]]
    whole, apart = AGGREGATE[codec]
    assert units(codec, [whole]) == [apart]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_nal_unit_of_which_a_fragment_is_missing_is_dropped_and_the_other_slice_kept(
    codec: Codec, missing: int
) -> None:
    nal, parts = FRAGMENTED[codec]
    other = nal[:-1] + b"\x77"
    assert units(codec, [other, *parts], missing) == [[other]]


@pytest.mark.parametrize("codec", list(Codec))
@given(payloads=st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_payloads_that_make_no_sense_cost_no_picture_beside_them(codec: Codec, payloads: list[bytes]) -> None:
    nal, taken, order = FRAGMENTED[codec][0], AccessUnits(codec), RtpOrder()
    found = []
    for number, payload in enumerate([nal, *payloads, nal]):
        data = rtp_packet(rtp(number, number * 3600, payload), 0)
        found += [unit for each, gap in order.take(data) for unit in taken.take(each, gap)]
    pictures = {unit.ticks: nal_units(unit.data) for unit in found}
    assert pictures[0] == [nal]
    assert pictures[(len(payloads) + 1) * 3600][-1] == nal
    assert len(found) + taken.broken <= 2 + len(payloads)
    assert order.lost == 0
