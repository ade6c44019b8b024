"""Our Ouster decoding against Ouster's own, which runs in an environment of its own (.venvs/ouster-sdk)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.crc64 import crc64
from devices.ouster import OusterLidarDecoder
from devices.ouster_metadata import read_metadata
from devices.ouster_packet import PROFILES
from devices.pcap import PcapReader
from tests.devices.builders import ouster_packet, packet, with_rows
from tests.devices.test_captures import OUSTER_CAPTURES, OusterCapture

PEER = Path(__file__).with_name("ouster_sdk_peer.py")


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_every_field_point_and_crc_of_a_capture_is_the_one_that_ousters_own_sdk_finds(
    capture: OusterCapture, test_data: Path, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = test_data / "ouster_pcap"
    packets = [each.payload for each in PcapReader(folder / capture.pcap) if each.destination_port == 7502][:64]
    python = environment("ouster-sdk") / "python"
    check_against_ouster(python, (folder / capture.metadata).read_text(), packets, tmp_path)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_is_read_as_ousters_own_sdk_reads_it(
    profile: str, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    """Pixels of all random bits, from a made-up sensor of 32 beams."""
    metadata = with_rows(32, profile, columns=512)
    meta = read_metadata(metadata)
    random = np.random.default_rng(1)
    shape = (16, 32, PROFILES[profile].words)
    packets = [
        ouster_packet(meta, 7, first, random.integers(0, 1 << 32, shape, dtype=np.uint32), 1_000_000 + first)
        for first in range(0, 512, 16)
    ]
    check_against_ouster(environment("ouster-sdk") / "python", metadata, packets, tmp_path)


def check_against_ouster(python: Path, metadata: str, packets: list[bytes], folder: Path) -> None:
    meta = read_metadata(metadata)
    peer = by_ouster(python, metadata, packets, folder)
    by_scan, by_sweep = OusterLidarDecoder("lidar", meta), OusterLidarDecoder("lidar", meta)
    (scan,) = [scan for data in packets for scan in by_scan.scans(packet(data))]
    (sweep,) = [sweep for data in packets for sweep in by_sweep.decode(packet(data))]
    assert by_scan.rejected == {}
    assert set(scan.fields) == {*PROFILES[meta.lidar_profile].fields, "TIMESTAMP"}
    for name in scan.fields:
        np.testing.assert_array_equal(scan.field(name), peer[name], err_msg=name)
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
