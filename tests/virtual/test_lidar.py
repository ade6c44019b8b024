"""Sweeps and packets: each column from where and when it was cast, readable by Ouster's own SDK."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.virtual.imu import imu_packets
from devices.virtual.lidar import Sweeps, beams
from devices.virtual.motion import Motion
from devices.virtual.ouster_packets import BEAM_ORIGIN_MM, G_M_S2, PACKET, column_offsets_ns, metadata, restamped
from devices.virtual.rig_truth import RANGE_NOISE_M, RIG_FROM
from devices.virtual.scenes import Scene
from devices.virtual.takes import VirtualTakes
from devices.virtual.truth import load_truth

TURNING_NS = 20_700_000_000  # in the left turn, with the yellow van coming
READ_WITH_SDK = """
import json, sys, numpy as np
from ouster.sdk import core
folder = sys.argv[1]
info = core.SensorInfo(open(folder + "/metadata.json").read())
layout, to_xyz = core.PacketFormat(info), core.XYZLut(info, False)
data = np.fromfile(folder + "/packets", dtype=np.uint8).reshape(-1, layout.lidar_packet_size)
scan, batch, faults = core.LidarScan(info), core.ScanBatcher(info), []
for row in data:
    packet = core.LidarPacket(layout)
    packet.buf[:] = row
    faults.append(packet.validate(info, layout).name)
    faults.append("NONE" if layout.crc(packet.buf) == layout.calculate_crc(packet.buf) else "CRC")
    batch(packet, scan)
staggered = to_xyz(scan.field(core.ChanField.RANGE))
np.savez(folder + "/read.npz", xyz=staggered, range=scan.field(core.ChanField.RANGE), timestamp=scan.timestamp, complete=scan.complete(),
         faults=np.array(sorted(set(faults))))
"""


@pytest.fixture(scope="module")
def sweeps(drive: Scene) -> Sweeps:
    return Sweeps.of(drive.world, drive.robot.motion, RIG_FROM["lidar"], parked=False)


def _points_in_world(drive: Scene, packets: np.ndarray, at_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points seen, each taken to the world with the lidar's pose at its column's at_ns; their columns and beams."""
    range_mm = packets["columns"].reshape(-1)["pixel"][..., 0] & 0x7FFFF
    origins, directions = beams()
    own = origins[:, None] + directions * ((range_mm - BEAM_ORIGIN_MM) / 1000)[..., None]
    world_from_lidar = drive.robot.motion.matrices(at_ns) @ RIG_FROM["lidar"].matrix
    world = np.einsum("cij,cbj->cbi", world_from_lidar[:, :3, :3], own) + world_from_lidar[:, None, :3, 3]
    columns, beam = np.nonzero(range_mm)
    return world[columns, beam], columns, beam


def _off_surface_m(drive: Scene, points: np.ndarray, at_ns: np.ndarray) -> np.ndarray:
    """How far each point lies off the nearest surface, things standing where they were at at_ns."""
    off = drive.world.caster.distance(points)
    for mover in drive.world.movers:
        pose = mover.motion.matrices(at_ns)
        own = np.einsum("nji,nj->ni", pose[:, :3, :3], points - pose[:, :3, 3])
        near = np.flatnonzero(np.linalg.norm(own - mover.middle_m, axis=1) < mover.reach_m + 0.5)
        if len(near):
            off[near] = np.minimum(off[near], mover.caster.distance(own[near]))
    return off


def test_a_columns_points_lie_on_the_surfaces_of_its_own_instant_and_of_no_other(drive: Scene, sweeps: Sweeps) -> None:
    packets = sweeps.packets(TURNING_NS, 1, np.random.default_rng(1))
    times = TURNING_NS + column_offsets_ns()
    points, columns, _ = _points_in_world(drive, packets, times)
    off = _off_surface_m(drive, points, times[columns])
    assert len(points) > 40_000
    assert np.quantile(off, 0.999) < 4 * RANGE_NOISE_M
    frozen = np.full_like(times, TURNING_NS)
    smeared, columns, _ = _points_in_world(drive, packets, frozen)
    assert np.quantile(_off_surface_m(drive, smeared, frozen[columns]), 0.9) > 4 * RANGE_NOISE_M


def test_moving_things_are_hit_where_they_were_at_each_column(drive: Scene, sweeps: Sweeps) -> None:
    distance, triangle, _ = sweeps.cast(TURNING_NS)
    columns, beam = np.nonzero(triangle >= len(drive.world.standing))
    assert len(columns) > 100
    times = TURNING_NS + column_offsets_ns()
    world_from_lidar = drive.robot.motion.matrices(times) @ RIG_FROM["lidar"].matrix
    own = sweeps.origins[columns] + sweeps.directions[columns, beam] * distance[columns, beam][:, None]
    points = np.einsum("nij,nj->ni", world_from_lidar[columns, :3, :3], own) + world_from_lidar[columns, :3, 3]
    assert _off_surface_m(drive, points, times[columns]).max() < 2e-3
    wrong = _off_surface_m(drive, points, times[columns] + 100_000_000)
    assert np.median(wrong) > 0.02


def test_ousters_sdk_reads_the_packets_and_finds_the_points_of_the_cast(
    sweeps: Sweeps, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    programs = environment("ouster-sdk")
    device_ns = 1_790_000_000_000_000_000
    packets = sweeps.packets(TURNING_NS, 7, np.random.default_rng(2))
    stamped = [restamped(packet, packet["columns"]["t_ns"].astype(np.int64) + device_ns) for packet in packets]
    (tmp_path / "packets").write_bytes(b"".join(stamped))
    (tmp_path / "metadata.json").write_text(json.dumps(metadata(7502, 7503)))
    subprocess.run([programs / "python", "-W", "ignore", "-c", READ_WITH_SDK, tmp_path], check=True, timeout=120)
    read = np.load(tmp_path / "read.npz")
    assert read["faults"].tolist() == ["NONE"]
    assert read["complete"]
    np.testing.assert_array_equal(read["timestamp"].astype(np.int64), device_ns + TURNING_NS + column_offsets_ns())
    distance, _, _ = sweeps.cast(TURNING_NS)
    seen = read["range"].T > 0
    exact = (sweeps.origins[:, None] + sweeps.directions * distance[..., None])[seen]
    along = sweeps.directions[seen]
    error = read["xyz"].transpose(1, 0, 2)[seen] - exact
    ranged = np.einsum("ij,ij->i", error, along)
    assert np.abs(error - ranged[:, None] * along).max() < 1e-5, "across the beam there is no noise"
    assert ranged.std() == pytest.approx(RANGE_NOISE_M, rel=0.03)
    assert abs(ranged.mean()) < 4 * RANGE_NOISE_M / np.sqrt(len(ranged))


def test_the_checksum_follows_the_stamps(short_drive: VirtualTakes) -> None:
    packets = np.memmap(short_drive.cache / "drive" / "lidar.packets", dtype=PACKET, mode="r")
    assert len(packets) == 8 * 64  # sweeps that begin within 0.8 s, the first at 12 ms, are whole
    one = np.frombuffer(restamped(packets[3], np.arange(16)), dtype=PACKET)[0]
    two = np.frombuffer(restamped(packets[3], np.arange(16) + 1), dtype=PACKET)[0]
    assert one["crc"] != two["crc"]
    assert one["columns"]["t_ns"].tolist() == list(range(16))
    np.testing.assert_array_equal(one["columns"]["pixel"], packets[3]["columns"]["pixel"])


def test_the_imu_feels_gravity_at_rest_and_the_turn_and_pull_of_a_circle() -> None:
    t = np.arange(0, 4_000_000_000, 1_000_000, dtype=np.int64)
    rate, speed = 0.5, 1.5
    yaw = rate * t * 1e-9
    radius = speed / rate
    circle = Motion(t, np.column_stack([radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 0 * yaw]), yaw)
    asked = np.arange(1_000_000_000, 3_000_000_000, 10_000_000, dtype=np.int64)
    turning = imu_packets(circle, RIG_FROM["lidar"], asked, np.random.default_rng(0))
    mean_rate = np.radians(turning["rate_deg_s"].mean(axis=0)) @ RIG_FROM["lidar"].rotation.T
    np.testing.assert_allclose(mean_rate, (0, 0, rate), atol=1e-3)
    force = turning["acceleration_g"].mean(axis=0) * G_M_S2 @ RIG_FROM["lidar"].rotation.T
    lever = RIG_FROM["lidar"].translation_m
    assert force[2] == pytest.approx(G_M_S2, abs=0.01)
    assert force[1] == pytest.approx(rate**2 * (radius - lever[1]), abs=0.03)


def test_the_robots_speed_and_the_truth_of_the_take_agree(short_drive: VirtualTakes, drive: Scene) -> None:
    truth = load_truth(short_drive.truth("drive"))
    for t_ns in (0, 333_000_000, 777_000_000):
        np.testing.assert_allclose(truth.world_from_rig(t_ns).matrix, drive.robot.motion.matrices([t_ns])[0], atol=2e-4)
