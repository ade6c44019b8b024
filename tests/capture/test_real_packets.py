"""Real captures of real lidars, played over loopback at their own pace, recorded, and decoded from the recording."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.attend import record
from capture.recorder_state import RecorderState
from capture.recording import Recorded, Recording, open_recording
from capture.verify import verify
from capture.workspace import Workspace
from devices.logs.pcap import PcapReader
from devices.logs.replay import replay
from devices.ouster.driver import OusterLidarDecoder
from devices.ouster.metadata import read_metadata
from devices.rig import rig_from_dict
from devices.samples import Packet, Sweep
from tests.capture.rigs import free_ports
from tests.devices.test_captures import OUSTER_CAPTURES, VELODYNE_CAPTURES, OusterCapture, check_digests


def recorded_replay(workspace: Path, pcap: Path, lidar: dict[str, Any], ports: dict[int, int]) -> Recording:
    """A recording of a capture file being played; every packet sent is in it."""
    sent: dict[int, int] = {}
    started, stop = threading.Event(), threading.Event()

    def play() -> None:
        sent.update(replay(pcap, ports=ports).sent)

    def watch(now: RecorderState) -> None:
        if not started.is_set():
            started.set()
            player.start()
        if not player.is_alive() and sum(row.received for row in now.streams) >= sum(sent.values()):
            stop.set()

    player = threading.Thread(target=play)
    rig = rig_from_dict({"name": "bench", "sensors": {"lidar": {"least_latency_ms": 1.0, **lidar}}})
    recording = open_recording(record(rig, Workspace(workspace), duration_s=20, stop=stop, progress=watch))
    by_count = sorted(count for count in recording.counts.values() if count)
    assert by_count == sorted(sent.values())
    assert {loss.total for loss in recording.info.losses.values()} == {0}
    assert verify(recording.folder).verdict == "good"
    return recording


def sweeps_of(recording: Recording) -> list[Recorded]:
    return [each for each in recording.samples(["lidar/points"]) if isinstance(each.sample, Sweep)]


@pytest.mark.parametrize("capture", OUSTER_CAPTURES, ids=lambda capture: capture.pcap)
def test_a_recorded_ouster_gives_the_returns_and_digests_that_ouster_states(
    capture: OusterCapture, test_data: Path, tmp_path: Path
) -> None:
    folder, (lidar_port, imu_port) = test_data / "ouster_pcap", free_ports(2)
    lidar = {
        "driver": "ouster", "metadata": str(folder / capture.metadata), "host": "127.0.0.1",
        "lidar_port": lidar_port, "imu_port": imu_port,
    }  # fmt: skip
    recording = recorded_replay(tmp_path, folder / capture.pcap, lidar, {7502: lidar_port, 7503: imu_port})
    sweeps = sweeps_of(recording)
    assert [int((each.sample.return_number == 0).sum()) for each in sweeps] == list(capture.returns)  # type: ignore[union-attr]
    assert sum(1 for _ in recording.samples(["lidar/imu"])) == capture.imu
    assert recording.rejected == {"lidar/points": {}, "lidar/imu": {}}
    check_ranges(recording, sweeps)
    packets = check_payloads(recording, folder / capture.pcap, 7502)
    turn = b"".join(each.data for each in packets[:64])  # 1024 columns, 16 a packet
    assert sweeps[0].span.sha256 == hashlib.sha256(turn).hexdigest()
    decoder = OusterLidarDecoder("lidar", read_metadata(recording.streams["lidar/points"].description))
    assert sum(1 for each in packets for _ in decoder.decode(each)) == len(
        capture.returns
    )  # whole: none waits for more
    if capture.digest:
        check_digests(packets, recording.streams["lidar/points"], json.loads((folder / capture.digest).read_text()))


@pytest.mark.parametrize(("name", "model", "returns", "positions"), VELODYNE_CAPTURES)
def test_a_recorded_velodyne_gives_every_return_of_its_packets_in_turns(
    name: str, model: str, returns: tuple[int, ...], positions: int, test_data: Path, tmp_path: Path
) -> None:
    ports = dict(zip((2368, 8308), free_ports(2), strict=True))
    lidar = {
        "driver": "velodyne",
        "model": model,
        "port": ports[2368],
        "position_port": ports[8308],
        "host": "127.0.0.1",
    }
    pcap = test_data / "velodyne_pcap" / name
    recording = recorded_replay(tmp_path, pcap, lidar, ports)
    sweeps = sweeps_of(recording)
    assert [len(each.sample) for each in sweeps] == list(returns)  # type: ignore[arg-type]
    assert recording.rejected == {"lidar/points": {}}
    assert recording.counts["lidar/position"] == positions
    assert None not in [each.stamps.device_ns for each in check_payloads(recording, pcap, 2368)]
    check_spans(recording, sweeps)
    check_ranges(recording, sweeps)


def check_payloads(recording: Recording, pcap: Path, port: int) -> list[Packet]:
    """The recording's packets, which are those that the capture has for the port, byte for byte and in order."""
    packets = [each.packet for each in recording.packets(["lidar/points"])]
    assert [each.data for each in packets] == [each.payload for each in PcapReader(pcap) if each.destination_port == port]  # fmt: skip
    return packets


def check_spans(recording: Recording, sweeps: list[Recorded]) -> None:
    """Spans cover the stream without a hole and hash to what they say; every point of a sweep can be made again from its span alone."""
    packets = {each.sequence: each.packet for each in recording.packets(["lidar/points"])}
    covered: set[int] = set()
    for each in sweeps:
        numbers = range(each.span.first_sequence, each.span.last_sequence + 1)
        assert each.span.sha256 == hashlib.sha256(b"".join(packets[number].data for number in numbers)).hexdigest()
        covered |= set(numbers)
    assert covered == set(packets)
    span, sweep = sweeps[1].span, sweeps[1].sample
    decoder = recording.rig.sensors["lidar"].loaded_driver().decoder(recording.streams["lidar/points"])
    (again,) = (
        sample
        for number in range(span.first_sequence, span.last_sequence + 1)
        for sample in decoder.decode(packets[number])
    )
    assert isinstance(sweep, Sweep)
    assert isinstance(again, Sweep)
    # The span's first packet may hold the end of the sweep before.
    assert np.array_equal(again.points_m[-len(sweep) :], sweep.points_m)
    assert len(again) - len(sweep) <= 12 * 32


def check_ranges(recording: Recording, sweeps: list[Recorded]) -> None:
    """Wherever a recording is cut in two ranges, both together give each sweep once, and whole."""
    sizes = [len(each.sample) for each in sweeps]  # type: ignore[arg-type]
    for part in (3, 5, 8):
        cut_ns = recording.start_ns + (recording.end_ns - recording.start_ns) * part // 10
        ranges = (
            recording.samples(["lidar/points"], end_ns=cut_ns),
            recording.samples(["lidar/points"], start_ns=cut_ns),
        )
        assert [len(each.sample) for samples in ranges for each in samples] == sizes  # type: ignore[arg-type]
