"""Real captures of real lidars, played over loopback sockets at their own pace, received and decoded."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.device import Rejections, Stream
from devices.logs.pcap import PcapReader
from devices.logs.replay import replay
from devices.ouster.assembler import ScanAssembler
from devices.ouster.driver import DRIVER as OUSTER
from devices.ouster.driver import OusterConfig
from devices.ouster.metadata import read_metadata
from devices.samples import ImuSample, Packet, Sweep
from devices.velodyne.driver import DRIVER as VELODYNE
from devices.velodyne.driver import VelodyneConfig
from devices.velodyne.position import read_position
from tests.devices.builders import Reader, decoded, field_of


@dataclass(frozen=True)
class OusterCapture:
    """returns: of each turn, the first return of every pixel. second: the same for the second return."""

    pcap: str
    metadata: str
    returns: tuple[int, ...]
    second: tuple[int, ...]
    imu: int
    digest: str = ""


# The first returns are the figures of the data's PROVENANCE.txt, from ouster-sdk; the last capture's sum is 322,536 there.
OUSTER_CAPTURES = [
    OusterCapture(
        "OS-0-128-U1_v2.3.0_1024x10.pcap", "OS-0-128-U1_v2.3.0_1024x10.json", (97_299,), (0,), 10,
        "OS-0-128-U1_v2.3.0_1024x10_digest.json",
    ),
    OusterCapture(
        "OS-0-32-U1_v2.2.0_1024x10.pcap", "OS-0-32-U1_v2.2.0_1024x10.json", (21_631,), (172,), 10,
        "OS-0-32-U1_v2.2.0_1024x10_digest.json",
    ),
    OusterCapture(
        "OS-1-32-G_v2.1.1_1024x10.pcap", "OS-1-32-G_v2.1.1_1024x10.json", (27_310,), (0,), 0,
        "OS-1-32-G_v2.1.1_1024x10_digest.json",
    ),
    OusterCapture(
        "OS-1-128_v2.3.0_1024x10_lb_n3.pcap", "OS-1-128_v2.3.0_1024x10.json", (107_647, 107_357, 107_532), (0, 0, 0), 30,
    ),
]  # fmt: skip
# Sweeps and returns as the data's PROVENANCE.txt has them from velodyne-decoder, which the driver decodes with: where a turn ends is its word.
# What the returns are is checked against the packets themselves: check_velodyne_points().
VELODYNE_CAPTURES = [
    ("sample_velodyne_hdl32.pcap", "HDL-32E", (58_169, 58_078, 30_458), 0),
    ("sample_velodyne_vlp16_gps.pcap", "VLP-16", (18_790, 18_701, 18_678, 17_317), 57),
]


def over_loopback(pcap: Path, sources: Sequence[object], ports: dict[int, int]) -> dict[str, list[Packet]]:
    """What the sources receive of the capture; nothing may be lost."""
    expected: dict[int, int] = {}
    for datagram in PcapReader(pcap):
        expected[datagram.destination_port] = expected.get(datagram.destination_port, 0) + 1
    names = {source.port: source.stream.name for source in sources}
    with Reader(sources) as reader:
        sent = replay(pcap, ports=ports).sent
        for port, count in sent.items():
            reader.wait_for(names[port], count)
        lost = [source.lost for source in sources]
    assert lost == [0] * len(sources)
    received = {port: len(reader.packets[names[ports[port]]]) for port in expected}
    assert received == expected == {port: sent[ports[port]] for port in expected}
    return reader.packets


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_an_ouster_capture_over_udp_gives_the_returns_and_field_digests_that_ouster_states(
    capture: OusterCapture, test_data: Path
) -> None:
    folder = test_data / "ouster_pcap"
    config = OusterConfig(metadata=str(folder / capture.metadata), host="127.0.0.1", lidar_port=0, imu_port=0)
    lidar, imu = OUSTER.open("lidar", config)
    packets = over_loopback(folder / capture.pcap, [lidar, imu], {7502: lidar.port, 7503: imu.port})

    decoder = OUSTER.decoder(lidar.stream)
    sweeps = [sweep for each in packets["lidar/points"] for sweep in decoder.decode(each)] + list(decoder.flush())
    assert [int((sweep.return_number == 0).sum()) for sweep in sweeps] == list(capture.returns)
    assert [int((sweep.return_number == 1).sum()) for sweep in sweeps] == list(capture.second)
    assert decoder.rejected == {}
    assert all(99_000_000 < sweep.offset_ns.max() < 100_100_000 for sweep in sweeps)  # 10 turns a second
    assert all(each.stamps.device_ns is not None for each in packets["lidar/points"])

    readings = [sample for each in packets["lidar/imu"] for sample in OUSTER.decoder(imu.stream).decode(each)]
    assert len(readings) == capture.imu
    check_gravity(readings)
    if capture.digest:
        check_digests(packets["lidar/points"], lidar.stream, json.loads((folder / capture.digest).read_text()))


def check_digests(packets: Sequence[Packet], stream: Stream, digest: dict[str, list[dict[str, str]]]) -> None:
    assembler = ScanAssembler(read_metadata(stream.description), Rejections())
    scans = [scan for each in packets for scan in assembler.add(each.data)] + list(assembler.end())
    assert [str(scan.frame_id) for scan in scans] == [stated["FRAME_ID"] for stated in digest["scans"]]
    for scan, stated in zip(scans, digest["scans"], strict=True):
        # The rest of the digest is not what the sensor measured: status and encoder widened to 64 bit, and a count of columns.
        named = {name for name in stated if name not in {"FRAME_ID", "STATUS", "MEASUREMENT_ID", "ENCODER_COUNT"}}
        assert named >= {"RANGE", "REFLECTIVITY", "NEAR_IR", "TIMESTAMP"}
        found = {name: hashlib.md5(field_of(scan, name).tobytes()).hexdigest() for name in named}
        assert found == {name: stated[name] for name in named}
        assert hashlib.md5(scan.status.astype("<u8").tobytes()).hexdigest() == stated["STATUS"]


def check_gravity(readings: Sequence[ImuSample]) -> None:
    """On average a sensor on the ground measures 1 g, and does not turn."""
    if readings:
        assert np.mean([np.linalg.norm(each.acceleration) for each in readings]) == pytest.approx(9.81, rel=0.12)
        assert np.linalg.norm(np.mean([each.angular_rate for each in readings], axis=0)) < 0.1


@pytest.mark.parametrize(("name", "model", "returns", "positions"), VELODYNE_CAPTURES)
def test_a_velodyne_capture_over_udp_gives_every_return_of_its_packets_where_the_manual_puts_it(
    name: str, model: str, returns: tuple[int, ...], positions: int, test_data: Path
) -> None:
    config = VelodyneConfig(model=model, port=0, position_port=0, host="127.0.0.1")
    points, position = VELODYNE.open("lidar", config)
    pcap = test_data / "velodyne_pcap" / name
    packets = over_loopback(pcap, [points, position], {2368: points.port, 8308: position.port})

    decoder = VELODYNE.decoder(points.stream)
    sweeps = [sweep for each in packets["lidar/points"] for sweep in decoder.decode(each)] + list(decoder.flush())
    assert [len(sweep) for sweep in sweeps] == list(returns)
    assert decoder.rejected == {}
    check_velodyne_times(sweeps, packets["lidar/points"])
    check_velodyne_points(sweeps, [each.data for each in packets["lidar/points"]], ELEVATIONS_DEG[model])
    assert len(packets["lidar/position"]) == positions
    for each in packets["lidar/position"]:
        assert read_position(each.data).nmea.startswith("$GPRMC,081802")
        assert read_position(each.data).pps == 2


# Of the 32 returns of a block, by the models' manuals (a VLP-16 fires twice a block).
ELEVATIONS_DEG = {
    "HDL-32E": [-92 / 3 + 4 / 3 * (laser // 2) + (64 / 3 if laser % 2 else 0) for laser in range(32)],
    "VLP-16": [laser if laser % 2 else laser - 15 for laser in range(16)] * 2,
}


def check_velodyne_points(sweeps: Sequence[Sweep], payloads: Sequence[bytes], elevations_deg: Sequence[float]) -> None:
    """Each return that the packets hold is one point, in their order, at their distance, reflectivity and direction.

    A packet is 12 blocks: flag, azimuth in 0.01 degrees clockwise, 32 returns of a distance in 2 mm (0: none) and a reflectivity.
    """
    blocks = np.frombuffer(b"".join(each[:1200] for each in payloads), dtype=np.dtype([("flag", "<u2"), ("azimuth", "<u2"), ("returns", [("distance", "<u2"), ("reflectivity", "u1")], 32)]))  # fmt: skip
    is_hit = blocks["returns"]["distance"] > 0
    distance_m = blocks["returns"]["distance"][is_hit] * 0.002
    azimuth_deg = np.broadcast_to(blocks["azimuth"][:, None] / 100, is_hit.shape)[is_hit]
    elevation_deg = np.broadcast_to(np.array(elevations_deg), is_hit.shape)[is_hit]
    points_m = np.concatenate([sweep.points_m for sweep in sweeps]).astype(np.float64)
    assert len(points_m) == len(distance_m)
    assert np.concatenate([sweep.intensity for sweep in sweeps]).tolist() == blocks["returns"]["reflectivity"][is_hit].tolist()  # fmt: skip
    assert np.abs(np.linalg.norm(points_m, axis=1) - distance_m).max() < 0.01  # the lasers do not all sit in the middle
    assert np.abs(points_m[:, 2] - distance_m * np.sin(np.radians(elevation_deg))).max() < 0.025
    turned_deg = (-np.degrees(np.arctan2(points_m[:, 1], points_m[:, 0])) - azimuth_deg + 180) % 360 - 180
    assert turned_deg.min() > -0.01  # the head has gone on
    assert turned_deg.max() < 0.4  # until the block's last laser fired


def check_velodyne_times(sweeps: Sequence[Sweep], packets: Sequence[Packet]) -> None:
    """Every point lies between the first packet's stamp and the last's newest firing, and no two sweeps overlap."""
    stamps = [each.stamps.device_ns for each in packets]
    assert stamps == sorted(stamps)
    first, last = stamps[0], stamps[-1]
    assert first - 2_000_000 < sweeps[0].t_ns <= first
    assert sweeps[-1].t_ns + sweeps[-1].offset_ns.max() == pytest.approx(last, abs=600_000)
    for before, after in itertools.pairwise(sweeps):
        assert before.offset_ns.min() == 0
        assert before.t_ns + before.offset_ns.max() < after.t_ns + 2_000_000
    assert {int(ring) for sweep in sweeps for ring in np.unique(sweep.ring)} <= set(range(32))


def test_ring_0_is_the_highest_beam_of_both_makers(test_data: Path) -> None:
    ouster = test_data / "ouster_pcap"
    text = (ouster / OUSTER_CAPTURES[2].metadata).read_text()
    for name, stream, port in (
        (ouster / OUSTER_CAPTURES[2].pcap, Stream("lidar/points", "ouster.lidar", text), 7502),
        (
            test_data / "velodyne_pcap/sample_velodyne_vlp16_gps.pcap",
            Stream("lidar/points", "velodyne", "VLP-16"),
            2368,
        ),
    ):
        driver = OUSTER if port == 7502 else VELODYNE
        decoder = driver.decoder(stream)
        datas = [each.payload for each in PcapReader(name) if each.destination_port == port]
        sweep = decoded(decoder, datas)[0]
        elevation = np.arctan2(sweep.points_m[:, 2], np.hypot(sweep.points_m[:, 0], sweep.points_m[:, 1]))
        by_ring = [np.median(elevation[sweep.ring == ring]) for ring in np.unique(sweep.ring)]
        assert by_ring == sorted(by_ring, reverse=True)


CAPTURED = [(each.pcap, each.metadata, 7502) for each in OUSTER_CAPTURES] + [
    (name, model, 2368) for name, model, _, _ in VELODYNE_CAPTURES
]


@pytest.mark.parametrize(("name", "description", "port"), CAPTURED)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8)
def test_a_capture_damaged_doubled_and_shuffled_never_raises_and_adds_no_point(
    name: str, description: str, port: int, seed: int, test_data: Path
) -> None:
    if port == 7502:
        text = (test_data / "ouster_pcap" / description).read_text()
        driver, stream, folder = OUSTER, Stream("lidar/points", "ouster.lidar", text), "ouster_pcap"
    else:
        driver, stream, folder = VELODYNE, Stream("lidar/points", "velodyne", description), "velodyne_pcap"
    good = [each.payload for each in PcapReader(test_data / folder / name) if each.destination_port == port]
    whole = sum(len(sweep) for sweep in decoded(driver.decoder(stream), good))
    decoder = driver.decoder(stream)
    sweeps = decoded(decoder, spoiled(good, np.random.default_rng(seed)))
    assert whole * 0.3 < sum(len(sweep) for sweep in sweeps) < whole
    assert sum(decoder.rejected.values()) >= len(good) // 20


def spoiled(datas: Sequence[bytes], random: np.random.Generator) -> list[bytes]:
    """One in ten cut short, one in ten doubled, one in ten swapped with the next; foreign packets between."""
    out: list[bytes] = []
    for data in datas:
        fate = random.integers(0, 10)
        if fate == 0:
            out.append(data[: random.integers(0, len(data))])
        elif fate == 1:
            out.extend([data, data])
        elif fate == 2 and out:
            out.insert(-1, data)
        else:
            out.append(data)
        if fate == 3:
            out.append(random.bytes(len(data)))
    return [*out, b""]
