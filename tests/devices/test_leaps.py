"""Numbers and clocks of a lidar that leap ahead together, as between two captures: no more is lost than can have been sent meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.logs.ip import Datagram
from devices.ouster.driver import DRIVER, OusterConfig
from devices.udp.captured import out_of_a_capture
from devices.udp.source import UdpSource
from devices.velodyne.gaps import VelodyneGaps
from devices.velodyne.packet import KINDS
from tests.devices.builders import ouster_metadata, ouster_turn

TURN_NS, PACKETS = 100_000_000, 4
VLP_16, STRONGEST, PERIOD_US = 0x22, 0x37, 1327.104


def ouster(tmp_path: Path) -> UdpSource:
    path = tmp_path / "metadata.json"
    path.write_text(ouster_metadata())
    with out_of_a_capture() as made:
        DRIVER.open("lidar", OusterConfig(metadata=str(path)))
    for source in made[1:]:
        source.close()
    return made[0]


def turn(frame: int, arrived_ns: int) -> list[Datagram]:
    """Its clock has gone with its frames since it was switched on."""
    packets = ouster_turn(ouster_metadata(), frame, start_ns=frame * TURN_NS)
    return [Datagram(arrived_ns, "", 0, "", 0, packet) for packet in packets]


def lost(source: UdpSource, arrived: list[Datagram]) -> int:
    for each in arrived:
        source.packet(each.payload, each.t_ns)
    source.close()
    return source.lost


@pytest.mark.parametrize("passed_s", [0.1, 5, 40, 200])
def test_an_ouster_that_leaps_further_than_time_did_has_lost_nothing(passed_s: float, tmp_path: Path) -> None:
    before = [each for number in range(20) for each in turn(1000 + number, number * TURN_NS)]
    begun_ns = 19 * TURN_NS + round(passed_s * 1e9)
    after = [each for number in range(20) for each in turn(1020 + 3300 + number, begun_ns + number * TURN_NS)]
    assert lost(ouster(tmp_path), before + after) == 0
    assert lost(ouster(tmp_path), before + after[:9] + after[11:]) == 2, "what is missing behind it counts"


@pytest.mark.parametrize("faster", [1.0, 1.4])
def test_an_ouster_that_was_away_as_long_as_its_clock_says_has_lost_all_of_it(faster: float, tmp_path: Path) -> None:
    before = [each for number in range(20) for each in turn(1000 + number, number * TURN_NS)]
    begun_ns = 19 * TURN_NS + round(3301 * TURN_NS / faster)
    after = [each for number in range(20) for each in turn(1020 + 3300 + number, begun_ns + number * TURN_NS)]
    assert lost(ouster(tmp_path), before + after) == 3300 * PACKETS


def test_an_ouster_whose_packets_a_link_held_up_before_it_lost_some_has_lost_them(tmp_path: Path) -> None:
    """What came before the gap came late, so that less time passed here than there."""
    held_up_ns = 700_000_000
    before = [each for number in range(20) for each in turn(1000 + number, number * TURN_NS + held_up_ns)]
    after = [each for number in range(25, 40) for each in turn(1000 + number, number * TURN_NS)]
    assert lost(ouster(tmp_path), before + after) == 5 * PACKETS


def velodyne_lost(leap_us: float, passed_us: float) -> int:
    """Of a VLP-16 that turns ten times a second, half a second before and behind a leap of its clock."""
    gaps = VelodyneGaps(KINDS["VLP-16"])
    for number in range(750):
        us = number * PERIOD_US + (leap_us if number >= 375 else 0.0)
        host_us = number * PERIOD_US + (passed_us if number >= 375 else 0.0)
        places = [round(us / 1e5 * 36000 + block * 39.8) % 36000 for block in range(12)]
        blocks = [b"\xff\xee" + place.to_bytes(2, "little") + bytes(96) for place in places]
        gaps.take(b"".join(blocks) + bytes([0, 0, 0, 0, STRONGEST, VLP_16]), int(us), round(host_us * 1e3))
    return gaps.missing


@pytest.mark.parametrize("passed_s", [0, 40, 100, 200])
def test_a_velodyne_that_leaps_further_than_time_did_has_lost_nothing(passed_s: float) -> None:
    assert velodyne_lost(330e6, passed_s * 1e6) == 0


def test_a_velodyne_that_was_away_as_long_as_its_clock_says_has_lost_all_of_it() -> None:
    assert velodyne_lost(330e6, 330e6) == round(330e6 / PERIOD_US)
