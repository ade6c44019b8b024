"""What a cable, a switch or a network card swallows of real captures is counted to the packet, from the packets' own numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from devices.device import Driver
from devices.hesai.driver import DRIVER as HESAI
from devices.livox.driver import DRIVER as LIVOX
from devices.logs.ip import Datagram
from devices.logs.pcap import PcapReader
from devices.ouster.driver import DRIVER as OUSTER
from devices.ouster.driver import OusterConfig
from devices.udp.captured import out_of_a_capture
from devices.udp.source import UdpSource
from devices.velodyne.driver import DRIVER as VELODYNE
from devices.velodyne.gaps import VelodyneGaps
from devices.velodyne.packet import KINDS
from tests.devices.builders import ouster_metadata, ouster_turn
from tests.devices.hesai_packets import turn_packets
from tests.devices.livox_packets import second_packet

TURN_NS = 100_000_000
T_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Capture:
    """turn: packets of a turn, about. made: instead of a file, where there is none."""

    pcap: str
    driver: Driver
    port: int
    config: dict[str, Any]
    turn: int
    made: tuple[bytes, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return Path(self.pcap).stem


def ouster(pcap: str, metadata: str) -> Capture:
    return Capture(f"ouster_pcap/{pcap}", OUSTER, 7502, {"metadata": f"ouster_pcap/{metadata}"}, 64)


LEGACY = ouster("OS-1-32-G_v2.1.1_1024x10.pcap", "OS-1-32-G_v2.1.1_1024x10.json")
THREE_TURNS = ouster("OS-1-128_v2.3.0_1024x10_lb_n3.pcap", "OS-1-128_v2.3.0_1024x10.json")
HDL_32E = Capture("velodyne_pcap/sample_velodyne_hdl32.pcap", VELODYNE, 2368, {"model": "HDL-32E"}, 201)
VLP_16 = Capture("velodyne_pcap/sample_velodyne_vlp16_gps.pcap", VELODYNE, 2368, {"model": "VLP-16"}, 75)
# Packets by the makers' tables. The count of a Mid-360 begins again with each of its frames.
XT32 = Capture("xt32", HESAI, 2368, {"model": "XT32"}, 112, tuple(turn_packets("XT32", 3, t_ns=T_NS)))
MID_360 = Capture("mid_360", LIVOX, 56301, {"model": "Mid-360"}, 151, tuple(
    second_packet([(1.0, 2.0, 0.5)], T_NS + number * 480_000, counter=number % 151) for number in range(604)
))  # fmt: skip
CAPTURES = [
    ouster("OS-0-128-U1_v2.3.0_1024x10.pcap", "OS-0-128-U1_v2.3.0_1024x10.json"),
    ouster("OS-0-32-U1_v2.2.0_1024x10.pcap", "OS-0-32-U1_v2.2.0_1024x10.json"),
    LEGACY, THREE_TURNS, HDL_32E, VLP_16, XT32, MID_360,
]  # fmt: skip
every_capture = pytest.mark.parametrize("capture", CAPTURES, ids=str)


def opened(capture: Capture, test_data: Path) -> UdpSource:
    """The source of points, as the driver opens it."""
    said = capture.config
    if capture.driver is OUSTER:
        config: Any = OusterConfig(metadata=str(test_data / said["metadata"]))
    else:
        config = capture.driver.config(**said)
    with out_of_a_capture() as made:
        capture.driver.open("lidar", config)
    for source in made[1:]:
        source.close()
    return made[0]


def datagrams(capture: Capture, test_data: Path) -> list[Datagram]:
    if capture.made:
        return [Datagram(number * 480_000, "", 0, "", 0, data) for number, data in enumerate(capture.made)]
    return [each for each in PcapReader(test_data / capture.pcap) if each.destination_port == capture.port]


def lost(source: UdpSource, arrived: Sequence[Datagram]) -> int:
    for each in arrived:
        source.packet(each.payload, each.t_ns)
    source.close()
    return source.lost


@every_capture
def test_an_untouched_capture_lacks_nothing(capture: Capture, test_data: Path) -> None:
    assert lost(opened(capture, test_data), datagrams(capture, test_data)) == 0


@every_capture
def test_every_twentieth_packet_left_out_is_counted(capture: Capture, test_data: Path) -> None:
    sent = datagrams(capture, test_data)
    arrived = [each for number, each in enumerate(sent) if number % 20 != 7]
    assert len(sent) - len(arrived) >= 3
    assert lost(opened(capture, test_data), arrived) == len(sent) - len(arrived)


@every_capture
@pytest.mark.parametrize("at", [5, 10])
def test_a_run_of_fifty_left_out_is_counted(capture: Capture, at: int, test_data: Path) -> None:
    sent = datagrams(capture, test_data)
    assert lost(opened(capture, test_data), sent[:at] + sent[at + 50 :]) == 50


@pytest.mark.parametrize("capture", [THREE_TURNS, HDL_32E, VLP_16], ids=str)
@pytest.mark.parametrize("at", [20, 64, 70])
def test_a_whole_turn_left_out_is_counted(capture: Capture, at: int, test_data: Path) -> None:
    sent = datagrams(capture, test_data)
    assert lost(opened(capture, test_data), sent[:at] + sent[at + capture.turn :]) == capture.turn


@every_capture
def test_five_in_a_hundred_lost_at_random_are_counted(capture: Capture, test_data: Path) -> None:
    sent, chance = datagrams(capture, test_data), random.Random(7)
    arrived = [each for number, each in enumerate(sent) if not 2 < number < len(sent) - 5 or chance.random() > 0.05]
    assert len(arrived) < len(sent)
    assert lost(opened(capture, test_data), arrived) == len(sent) - len(arrived)


def doubled(sent: list[Datagram]) -> list[Datagram]:
    return [each for each in sent for _ in range(2)]


def swapped(sent: list[Datagram]) -> list[Datagram]:
    return [each for pair in zip(sent[1::2], sent[::2], strict=False) for each in pair]


def damaged(sent: list[Datagram]) -> list[Datagram]:
    """Every seventh comes a second time with its head, its first column or its end broken, as a foreign sender's might."""
    out = []
    for number, each in enumerate(sent):
        out.append(each)
        if number % 7 == 0:
            at = (2, 40, 1201)[number % 3]
            data = each.payload[:at] + bytes(byte ^ 0x55 for byte in each.payload[at : at + 4]) + each.payload[at + 4 :]
            out.append(Datagram(each.t_ns, "", 0, "", 0, data))
    return out


@every_capture
@pytest.mark.parametrize("spoil", [doubled, swapped, damaged])
def test_what_came_twice_swapped_or_from_elsewhere_is_no_loss(
    capture: Capture, spoil: Callable[[list[Datagram]], list[Datagram]], test_data: Path
) -> None:
    assert lost(opened(capture, test_data), spoil(datagrams(capture, test_data))) == 0


@every_capture
def test_a_loss_is_told_while_the_sensor_still_sends(capture: Capture, test_data: Path) -> None:
    source, sent, told = opened(capture, test_data), datagrams(capture, test_data), list[int]()
    for each in sent[:30] + sent[33:]:
        source.packet(each.payload, each.t_ns)
        told.append(source.lost)
    source.close()
    assert told == sorted(told)
    assert (told[29], told[-1]) == (0, 3)


@every_capture
def test_a_packet_that_is_overtaken_by_many_is_lost_for_good(capture: Capture, test_data: Path) -> None:
    """A count that fell again would let the verdict deny what the health topic has said."""
    source, sent, told = opened(capture, test_data), datagrams(capture, test_data), list[int]()
    for each in sent[:30] + sent[31:40] + sent[30:31] + sent[40:]:
        source.packet(each.payload, each.t_ns)
        told.append(source.lost)
    source.close()
    assert told == sorted(told)
    assert told[-1] == 1


def made_up(tmp_path: Path, **changes: Any) -> tuple[UdpSource, str]:
    text = ouster_metadata(**changes)
    path = tmp_path / "metadata.json"
    path.write_text(text)
    with out_of_a_capture() as made:
        OUSTER.open("lidar", OusterConfig(metadata=str(path)))
    for source in made[1:]:
        source.close()
    return made[0], text


def turns(text: str, frames: Sequence[int], sent: Sequence[int], **changes: Any) -> list[Datagram]:
    """Of each frame, the packets at those places."""
    found = []
    for number, frame in enumerate(frames):
        packets = ouster_turn(text, frame, start_ns=1_000_000 + number * TURN_NS, **changes)
        found += [Datagram(number * TURN_NS, "", 0, "", 0, packets[place]) for place in sent]
    return found


@pytest.mark.parametrize(
    ("window", "sent"),
    [((8, 23), (1, 2)), ((10, 20), (1, 2)), ((24, 7), (0, 3)), ((24, 7), (3, 0)), ((20, 9), (2, 3, 0, 1))],
)
@pytest.mark.parametrize("frames", [range(5, 25), [number & 0xFFFF for number in range(0xFFF6, 0x1000A)]])
def test_what_an_ouster_does_not_send_outside_its_window_is_no_loss(
    window: tuple[int, int], sent: tuple[int, ...], frames: Sequence[int], tmp_path: Path
) -> None:
    source, text = made_up(tmp_path, column_window=window)
    arrived = turns(text, frames, sent)
    assert lost(source, arrived) == 0
    source, _ = made_up(tmp_path, column_window=window)
    assert lost(source, arrived[:7] + arrived[8:]) == 1
    source, _ = made_up(tmp_path, column_window=window)
    assert lost(source, arrived[:7] + arrived[13:]) == 6


def test_an_ouster_that_starts_anew_has_lost_nothing(tmp_path: Path) -> None:
    source, text = made_up(tmp_path)
    said = json.loads(text)
    again = json.dumps(said | {"initialization_id": 0x654321})
    before, after = turns(text, [100, 101, 102], range(4)), turns(again, [7, 8, 9], range(4))
    assert lost(source, before + after) == 0


def test_an_ouster_whose_cable_was_out_for_a_minute_has_lost_a_minute(tmp_path: Path) -> None:
    source, text = made_up(tmp_path)
    everything = turns(text, range(610), range(4))
    assert lost(source, everything[:12] + everything[-12:]) == 4 * 610 - 24


def stamped(datagram: Datagram, us_later: int, ns_later: int) -> Datagram:
    """The same Velodyne packet at another time of the lidar's clock, and of its arrival."""
    us = (int.from_bytes(datagram.payload[1200:1204], "little") + us_later) % 3_600_000_000
    data = datagram.payload[:1200] + us.to_bytes(4, "little") + datagram.payload[1204:]
    return Datagram(datagram.t_ns + ns_later, "", 0, "", 0, data)


@pytest.mark.parametrize("capture", [HDL_32E, VLP_16], ids=str)
@pytest.mark.parametrize("set_by_us", [300, 2_000, 12_345, 400_000, 1_234_567, -2_000, -400_000, 1_000_000_000])
def test_a_velodyne_whose_clock_is_set_has_lost_nothing(capture: Capture, set_by_us: int, test_data: Path) -> None:
    sent = datagrams(capture, test_data)
    arrived = sent[:250] + [stamped(each, set_by_us, 0) for each in sent[250:]]
    assert lost(opened(capture, test_data), arrived) == 0
    assert lost(opened(capture, test_data), [*arrived[:265], *arrived[266:]]) == 1


@pytest.mark.parametrize("capture", [HDL_32E, VLP_16], ids=str)
def test_a_velodyne_loses_nothing_by_the_hour_s_end(capture: Capture, test_data: Path) -> None:
    sent = datagrams(capture, test_data)
    to_hour = -int.from_bytes(sent[100].payload[1200:1204], "little") - 5
    arrived = [stamped(each, to_hour, 0) for each in sent]
    assert lost(opened(capture, test_data), arrived) == 0
    assert lost(opened(capture, test_data), arrived[:98] + arrived[104:]) == 6


def test_a_velodyne_that_sends_a_part_of_the_turn_only_loses_nothing_by_it(test_data: Path) -> None:
    """The VLP-16's field of view: blocks within it follow each other in the packets, whatever time lies between."""
    for first in range(0, 12000, 1000):
        source = opened(VLP_16, test_data)
        assert lost(source, narrowed(datagrams(VLP_16, test_data), first, 18000)) == 0


def narrowed(sent: Sequence[Datagram], first: int, width: int) -> list[Datagram]:
    """The blocks whose azimuth (0.01 degrees) lies within, packed anew, stamped with their first block's time; three times over."""
    blocks = []
    for number, each in enumerate(sent):
        us = int.from_bytes(each.payload[1200:1204], "little")
        for place in range(12):
            block = each.payload[place * 100 : place * 100 + 100]
            after_us = place * 110.592
            if (int.from_bytes(block[2:4], "little") - first) % 36000 < width:
                blocks.append((us + after_us, each.t_ns + round(after_us * 1e3), block, sent[number].payload[1204:]))
    packets = [blocks[at : at + 12] for at in range(0, len(blocks) - 12, 12)]
    return [
        Datagram(
            part[-1][1], "", 0, "", 0,
            b"".join(block for _, _, block, _ in part) + round(part[0][0]).to_bytes(4, "little") + part[0][3],
        )
        for part in packets
    ]  # fmt: skip


@pytest.mark.parametrize("mode", [0x38, 0x39])
def test_a_velodyne_with_two_returns_sends_twice_as_often(mode: int, test_data: Path) -> None:
    """Real packets, in pairs of blocks as two returns come, a second packet between each two."""
    sent = []
    for each in datagrams(HDL_32E, test_data):
        blocks = [each.payload[at : at + 100] for at in range(0, 1200, 100)]
        for half in (0, 6) if mode == 0x39 else (0,):
            pairs = [block for block in blocks[half : half + 6] for _ in range(2)] if mode == 0x39 else blocks
            us = int.from_bytes(each.payload[1200:1204], "little") + round(half * 46.08)
            end = us.to_bytes(4, "little") + bytes([mode, each.payload[1205]])
            sent.append(Datagram(each.t_ns + half * 46_080, "", 0, "", 0, b"".join(pairs) + end))
    source = opened(HDL_32E, test_data)
    assert lost(source, sent) == 0
    source = opened(HDL_32E, test_data)
    assert lost(source, [each for number, each in enumerate(sent) if number % 20 != 7]) == len(sent) // 20


PERIODS_US = {  # by the manuals: firings of 55.296, 46.08 and 53.3 us; (a packet with one return, with two), blocks at one azimuth
    0x22: (1327.104, 663.552, 1), 0x21: (552.96, 276.48, 1), 0x28: (663.552, 331.776, 1), 0xA1: (159.9, 53.3, 4),
}  # fmt: skip


def fired(model: int, mode: int, chance: random.Random, set_by_us: float = 0.0) -> list[tuple[bytes, int, int]]:
    """1.2 s of a head that turns ten times a second, not quite evenly, at a crystal's pace; its clock is set each tenth of a second."""
    *periods, at_once = PERIODS_US[model]
    period_us, at_once = (
        periods[mode == 0x39] * 1.00004,
        max(at_once, 2 * (mode == 0x39)) * (1 + (model == 0xA1 and mode == 0x39)),
    )
    sent, us, azimuth, speed = [], chance.uniform(3.5993e9, 3.6e9), chance.uniform(0, 36000), 1.0
    for number in range(round(1.2e6 / period_us)):
        speed += chance.gauss(0, 0.0004) - 0.02 * (speed - 1)
        turned = 36000 * 10 * period_us / 1e6 * speed
        places = [int(azimuth + turned * (block // at_once * at_once) / 12) % 36000 for block in range(12)]
        blocks = [b"\xff\xee" + place.to_bytes(2, "little") + bytes(96) for place in places]
        if model == 0xA1 and mode == 0x39:
            blocks[8:] = [bytes(100)] * 4
        sent.append(
            (
                b"".join(blocks) + bytes([0, 0, 0, 0, mode, model]),
                int(us) % 3_600_000_000,
                round(number * period_us * 1000),
            )
        )
        us, azimuth = us + period_us, azimuth + turned
        if number % round(1e5 / period_us) == 0:
            us += chance.uniform(-set_by_us, set_by_us)
    return sent


@pytest.mark.parametrize("mode", [0x37, 0x39])
@pytest.mark.parametrize("model", PERIODS_US)
def test_every_velodyne_is_counted_by_its_own_beat(model: int, mode: int) -> None:
    (kind,) = [each for each in KINDS.values() if each.id == model]
    for set_by_us in (0.0, 60.0, 3000.0):
        gaps = VelodyneGaps(kind)
        for each in fired(model, mode, random.Random(5), set_by_us):
            gaps.take(*each)
        assert gaps.missing == 0, set_by_us
    gaps, chance = VelodyneGaps(kind), random.Random(5)
    sent = fired(model, mode, chance)
    arrived = [each for number, each in enumerate(sent) if not 20 < number < len(sent) - 5 or chance.random() > 0.05]
    for each in arrived:
        gaps.take(*each)
    assert gaps.missing == len(sent) - len(arrived) > 30


def test_imu_packets_that_are_missing_are_counted_by_their_steady_time(test_data: Path) -> None:
    said = str(test_data / "ouster_pcap" / "OS-1-128_v2.3.0_1024x10.json")
    sent = [each for each in PcapReader(test_data / THREE_TURNS.pcap) if each.destination_port == 7503]
    for left_out in (0, 1, 4):
        with out_of_a_capture() as made:
            OUSTER.open("lidar", OusterConfig(metadata=said))
        made[0].close()
        assert lost(made[1], sent[:20] + sent[20 + left_out :]) == left_out


@pytest.mark.parametrize("set_by_ms", [10, 20, 137, -10, 60_000, 10**9])
def test_an_imu_whose_clock_is_set_has_lost_nothing(set_by_ms: int, test_data: Path) -> None:
    said = str(test_data / "ouster_pcap" / "OS-1-128_v2.3.0_1024x10.json")
    sent = [each for each in PcapReader(test_data / THREE_TURNS.pcap) if each.destination_port == 7503]

    def later(each: Datagram) -> Datagram:
        gyro_ns = int.from_bytes(each.payload[16:24], "little") + set_by_ms * 1_000_000
        return replace(each, payload=each.payload[:16] + gyro_ns.to_bytes(8, "little") + each.payload[24:])

    with out_of_a_capture() as made:
        OUSTER.open("lidar", OusterConfig(metadata=said))
    made[0].close()
    assert lost(made[1], sent[:15] + [later(each) for each in sent[15:]]) == 0
