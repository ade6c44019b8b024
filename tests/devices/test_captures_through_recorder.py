"""The same captures through the whole of capture: sockets, recorder, disk, reader, decoder."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from capture.attend import record
from capture.recorder_state import RecorderState
from capture.recording import Recording, open_recording
from capture.workspace import Workspace
from devices.ouster import OusterLidarDecoder
from devices.ouster_metadata import read_metadata
from devices.pcap import PcapReader
from devices.replay import replay
from devices.rig import rig_from_dict
from tests.devices.test_captures import OUSTER_CAPTURES, VELODYNE_CAPTURES, OusterCapture, check_digests


def free_ports(count: int) -> list[int]:
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in opened:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in opened]
    for each in opened:
        each.close()
    return ports


def recorded(pcap: Path, sensor: Mapping[str, Any], ports: dict[int, int], folder: Path) -> Recording:
    """A recording of the capture as it is played: begun before the first packet, ended after the last has come."""
    rig = rig_from_dict({"name": "bench", "sensors": {"lidar": {**sensor, "host": "127.0.0.1"}}})
    begun, stop, received = threading.Event(), threading.Event(), {}
    folders: list[Path] = []

    def progress(now: RecorderState) -> None:
        received.update({stream.name: stream.received for stream in now.streams})
        begun.set()
        if sent and sum(received.values()) >= sum(sent.values()):
            stop.set()

    sent: dict[int, int] = {}
    recorder = threading.Thread(
        target=lambda: folders.append(record(rig, Workspace(folder), duration_s=20, stop=stop, progress=progress))
    )
    recorder.start()
    assert begun.wait(10)
    sent.update(replay(pcap, ports=ports).sent)
    recorder.join()
    recording = open_recording(folders[0])
    assert sum(recording.counts.values()) == sum(sent.values())
    assert all(loss.before_read == loss.queue == loss.not_written == 0 for loss in recording.info.losses.values())
    return recording


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_a_recorded_ouster_capture_decodes_to_the_stated_returns_and_digests(
    capture: OusterCapture, test_data: Path, tmp_path: Path
) -> None:
    folder = test_data / "ouster_pcap"
    lidar, imu = free_ports(2)
    sensor = {"driver": "ouster", "metadata": str(folder / capture.metadata), "lidar_port": lidar, "imu_port": imu}
    recording = recorded(folder / capture.pcap, sensor, {7502: lidar, 7503: imu}, tmp_path)

    sweeps = list(recording.samples(["lidar/points"]))
    assert [int((each.sample.return_number == 0).sum()) for each in sweeps] == list(capture.returns)
    assert recording.rejected == {"lidar/points": {}}
    assert len(list(recording.samples(["lidar/imu"]))) == capture.imu
    packets = [each.packet for each in recording.packets(["lidar/points"])]
    assert [each.data for each in packets] == payloads(folder / capture.pcap, 7502)
    decoder = OusterLidarDecoder("lidar", read_metadata(recording.streams["lidar/points"].description))
    assert len([scan for each in packets for scan in decoder.scans(each)]) == len(capture.returns)
    if capture.digest:
        check_digests(packets, recording.streams["lidar/points"], json.loads((folder / capture.digest).read_text()))
    whole = hashlib.sha256(b"".join(payloads(folder / capture.pcap, 7502)[:64])).hexdigest()
    assert sweeps[0].span.sha256 == whole


@pytest.mark.parametrize(("name", "model", "returns", "positions"), VELODYNE_CAPTURES)
def test_a_recorded_velodyne_capture_decodes_to_the_stated_returns(
    name: str, model: str, returns: tuple[int, ...], positions: int, test_data: Path, tmp_path: Path
) -> None:
    pcap = test_data / "velodyne_pcap" / name
    points, position = free_ports(2)
    sensor = {"driver": "velodyne", "model": model, "port": points, "position_port": position}
    recording = recorded(pcap, sensor, {2368: points, 8308: position}, tmp_path)

    assert [len(each.sample) for each in recording.samples(["lidar/points"])] == list(returns)
    assert recording.rejected == {"lidar/points": {}}
    assert recording.counts["lidar/position"] == positions
    packets = [each.packet for each in recording.packets(["lidar/points"])]
    assert [each.data for each in packets] == payloads(pcap, 2368)
    assert None not in [each.stamps.device_ns for each in packets]


def payloads(pcap: Path, port: int) -> list[bytes]:
    return [each.payload for each in PcapReader(pcap) if each.destination_port == port]
