"""Our Ouster decoding against Ouster's own, which runs in an environment of its own (.venvs/ouster-sdk)."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.device import Rejections, Stream
from devices.logs.pcap import PcapReader
from devices.ouster.assembler import ScanAssembler
from devices.ouster.crc64 import crc64
from devices.ouster.driver import DRIVER, OusterLidarDecoder
from devices.ouster.imu_packet import IMU_PROFILES
from devices.ouster.metadata import read_metadata
from devices.ouster.profiles import PROFILES
from tests.devices.builders import decoded, field_of, ouster_packet, packet, with_rows
from tests.devices.test_captures import OUSTER_CAPTURES, OusterCapture

PEER = Path(__file__).with_name("ouster_sdk_peer.py")
IMU_PEER = Path(__file__).with_name("ouster_sdk_imu_peer.py")


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_every_field_point_and_crc_of_a_capture_is_the_one_that_ousters_own_sdk_finds(
    capture: OusterCapture, test_data: Path, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = test_data / "ouster_pcap"
    packets = [each.payload for each in PcapReader(folder / capture.pcap) if each.destination_port == 7502][:64]
    python = environment("ouster-sdk") / "python"
    check_against_ouster(python, (folder / capture.metadata).read_text(), packets, tmp_path)


SHAPES = [*((profile, 32, 512) for profile in sorted(PROFILES)), *(
    ("LEGACY", 16, 1024), ("RNG19_RFL8_SIG16_NIR16", 16, 2048), ("RNG15_RFL8_NIR8_DUAL", 64, 1024), ("LEGACY", 64, 4096),
    ("RNG19_RFL8_SIG16_NIR16_DUAL", 128, 2048), ("FIVE_WORD_PIXEL", 128, 512), ("RNG15_RFL8_NIR8", 128, 4096),
)]  # fmt: skip


@pytest.mark.parametrize(("profile", "rows", "width"), SHAPES)
def test_every_profile_is_read_as_ousters_own_sdk_reads_it(
    profile: str, rows: int, width: int, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    """Pixels of all random bits, from made-up sensors."""
    metadata = with_rows(rows, profile, columns=width)
    meta = read_metadata(metadata)
    random = np.random.default_rng(1)
    shape = (16, rows, PROFILES[profile].words)
    packets = [
        ouster_packet(meta, 7, first, random.integers(0, 1 << 32, shape, dtype=np.uint32), 1000 * first)
        for first in range(0, width, 16)
    ]
    check_against_ouster(environment("ouster-sdk") / "python", metadata, packets, tmp_path)


def check_against_ouster(python: Path, metadata: str, packets: list[bytes], folder: Path) -> None:
    meta = read_metadata(metadata)
    peer = by_ouster(python, metadata, packets, folder)
    rejections, decoder = Rejections(), OusterLidarDecoder("lidar", meta)
    assembler = ScanAssembler(meta, rejections)
    (scan,) = [scan for data in packets for scan in assembler.add(data)]
    (sweep,) = [sweep for data in packets for sweep in decoder.decode(packet(data))]
    assert rejections.counts == decoder.rejected == {}
    assert scan.profile == PROFILES[meta.lidar_profile]
    for name in (*scan.profile.fields, "TIMESTAMP"):
        np.testing.assert_array_equal(field_of(scan, name), peer[name], err_msg=name)
    for number, suffix in enumerate(("", "2")[: scan.profile.returns]):
        theirs = peer[f"xyz_RANGE{suffix}"].transpose(1, 0, 2)[peer[f"RANGE{suffix}"].T > 0]
        ours = sweep.points_m[sweep.return_number == number]
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-6)  # theirs are float64
    if not (scan.profile.legacy or meta.fusa):
        assert [crc64(data[:-8]) for data in packets] == [int(peer[f"crc_{n}"][0]) for n in range(len(packets))]


def by_ouster(python: Path, metadata: str, packets: list[bytes], folder: Path) -> dict[str, np.ndarray]:
    np.save(folder / "packets.npy", np.stack([np.frombuffer(data, dtype=np.uint8) for data in packets]))
    (folder / "metadata.json").write_text(metadata)
    command = [python, PEER, folder / "metadata.json", folder / "packets.npy", folder / "peer.npz"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / "peer.npz") as found:
        return dict(found)


@pytest.mark.parametrize("profile", IMU_PROFILES)
def test_imu_packets_are_read_as_ousters_own_sdk_reads_them(
    profile: str, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    said = json.loads(with_rows(32, "RNG19_RFL8_SIG16_NIR16", columns=512))
    said["data_format"]["udp_profile_imu"] = profile
    said["imu_data_format"] = {"imu_measurements_per_packet": 8, "imu_packets_per_frame": 8}
    metadata, data = tmp_path / "metadata.json", tmp_path / "packet"
    metadata.write_text(json.dumps(said))
    random = np.random.default_rng(2)
    if profile == "LEGACY":
        data.write_bytes(np.array([1, 2, 3_000], dtype="<u8").tobytes() + random.normal(size=6).astype("<f4").tobytes())
    else:
        records = np.zeros(8, dtype=[("t", "<u8"), ("id", "<u2"), ("status", "<u2"), ("values", "<f4", 6)])
        records["t"], records["status"], records["values"] = (
            np.arange(8) * 1000,
            [1, 1, 0, 1, 1, 1, 0, 1],
            random.normal(size=(8, 6)),
        )
        body = struct.pack("<HHI", 2, 5, said["initialization_id"]).ljust(132, b"\0") + records.tobytes() + bytes(24)
        data.write_bytes(body + struct.pack("<Q", crc64(body)))
    ran = subprocess.run(
        [environment("ouster-sdk") / "python", IMU_PEER, metadata, data], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    peer = {name: np.array(values) for name, values in json.loads(ran.stdout).items()}
    valid = peer["status"] & 1 == 1
    samples = decoded(DRIVER.decoder(Stream("lidar/imu", "ouster.imu", metadata.read_text())), [data.read_bytes()])
    assert [sample.t_ns for sample in samples] == peer["t_ns"][valid].tolist()
    np.testing.assert_allclose([sample.acceleration for sample in samples], peer["acceleration"][valid], rtol=1e-6)
    np.testing.assert_allclose([sample.angular_rate for sample in samples], peer["rate"][valid], rtol=1e-6)
