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
from devices.pcap import PcapReader
from tests.devices.builders import packet
from tests.devices.test_captures import OUSTER_CAPTURES, OusterCapture

PEER = Path(__file__).with_name("ouster_sdk_peer.py")


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_every_field_point_and_crc_is_the_one_that_ousters_own_sdk_finds(
    capture: OusterCapture, test_data: Path, environment: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = test_data / "ouster_pcap"
    packets = [each.payload for each in PcapReader(folder / capture.pcap) if each.destination_port == 7502][:64]
    peer = by_ouster(environment("ouster-sdk") / "python", folder / capture.metadata, packets, tmp_path)

    meta = read_metadata((folder / capture.metadata).read_text())
    by_scan, by_sweep = OusterLidarDecoder("lidar", meta), OusterLidarDecoder("lidar", meta)
    (scan,) = [scan for data in packets for scan in by_scan.scans(packet(data))]
    (sweep,) = [sweep for data in packets for sweep in by_sweep.decode(packet(data))]
    compared = [name for name in scan.fields if name in peer]
    assert set(compared) >= {"RANGE", "REFLECTIVITY", "NEAR_IR", "TIMESTAMP"}
    for name in compared:
        np.testing.assert_array_equal(scan.field(name), peer[name], err_msg=name)
    for number, suffix in enumerate(("", "2")[: scan.profile.returns]):
        theirs = peer[f"xyz_RANGE{suffix}"].transpose(1, 0, 2)[peer[f"RANGE{suffix}"].T > 0]
        ours = sweep.points_m[sweep.return_number == number]
        np.testing.assert_allclose(ours, theirs, atol=2e-6)  # float32 at some 30 m
    if not scan.profile.legacy:
        assert [crc64(data[:-8]) for data in packets] == [int(peer[f"crc_{number}"][0]) for number in range(64)]


def by_ouster(python: Path, metadata: Path, packets: list[bytes], folder: Path) -> dict[str, np.ndarray]:
    np.save(folder / "packets.npy", np.stack([np.frombuffer(data, dtype=np.uint8) for data in packets]))
    command = [python, PEER, metadata, folder / "packets.npy", folder / "peer.npz"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / "peer.npz") as found:
        return dict(found)
