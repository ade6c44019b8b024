"""The player over real sockets, read by the drivers that a crew would use."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from devices.device import Source, Stream
from devices.errors import DeviceError
from devices.rig import load_rig
from devices.samples import Packet
from devices.virtual.ouster_packets import metadata
from devices.virtual.play import play
from devices.virtual.rig_file import ports, rig_toml
from devices.virtual.takes import VirtualTakes
from devices.virtual.truth import load_played, load_truth
from tests.virtual.conftest import copy_of, free_base_port


def _read(source: Source, packets: list[Packet], done: threading.Event) -> None:
    while not done.is_set():
        try:
            packets += source.read(0.1)
        except (EOFError, DeviceError):
            return


@pytest.fixture(scope="module")
def heard(
    short_drive: VirtualTakes, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, list[Packet]], dict[str, int], VirtualTakes]:
    """Every packet of one playing, by stream, and what the player says that it sent."""
    counts = tmp_path_factory.mktemp("sent") / "sent.json"
    player = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "devices.virtual.play",
            short_drive.cache,
            "drive",
            "--sent",
            counts,
            "--wait",
            "60",
            "--hold",
            "0.5",
        ]
    )
    rig, sources = load_rig(short_drive.rig), []
    _await_port(ports_of(short_drive)["http"])
    for name, sensor in rig.sensors.items():
        sources += sensor.loaded_driver().open(name, sensor.config())
    packets: dict[str, list[Packet]] = {source.stream.name: [] for source in sources}
    done = threading.Event()
    threads = [threading.Thread(target=_read, args=(s, packets[s.stream.name], done)) for s in sources]
    for thread in threads:
        thread.start()
    code = player.wait(timeout=90)
    sent, until_s = json.loads(counts.read_text()), time.monotonic() + 60
    while any(len(packets[stream]) < count for stream, count in sent.items()) and time.monotonic() < until_s:
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    for source in sources:
        source.close()
    assert code == 0
    return packets, sent, short_drive


def ports_of(takes: VirtualTakes) -> dict[str, int]:
    lidar_port = int(
        next(line for line in takes.rig.read_text().splitlines() if line.startswith("lidar_port")).split("=")[1]
    )
    return ports(lidar_port - ports(0)["lidar"])


def _await_port(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on port {port}")


def test_what_arrives_is_what_the_player_counted(heard) -> None:
    packets, sent, _ = heard
    assert {stream: len(found) for stream, found in packets.items()} == sent
    assert sent["lidar/points"] == 8 * 64
    assert sent["camera_left/image"] == sent["camera_right/image"] == 8


def test_arrival_is_never_before_capture_and_least_latency_and_the_floor_is_near(heard) -> None:
    packets, _, takes = heard
    truth, played = load_truth(takes.truth("drive")), load_played(takes.played("drive"))
    for stream, found in packets.items():
        sensor = stream.partition("/")[0]
        clock = truth.clocks[sensor]
        late_ns = []
        for packet in found:
            assert packet.stamps.device_ns is not None
            since = packet.stamps.device_ns - played.start_host_ns - clock.offset_ns
            captured = since / (1 + clock.drift_ppm * 1e-6)
            late_ns.append(packet.stamps.host_ns - played.start_host_ns - captured - truth.least_latency_ns[sensor])
        assert min(late_ns) > -1000, stream
        if len(found) > 50:
            assert min(late_ns) < 3_000_000, f"{stream}: the least delay that was ever met"


def test_sweeps_and_pictures_decode_and_point_to_their_true_instants(heard) -> None:
    packets, _, takes = heard
    rig, played = load_rig(takes.rig), load_played(takes.played("drive"))
    sensor = rig.sensors["lidar"]
    port = ports_of(takes)
    about = json.dumps(metadata(port["lidar"], port["imu"]))
    decoder = sensor.loaded_driver().decoder(Stream("lidar/points", "ouster.lidar", about))
    sweeps = [sample for packet in packets["lidar/points"] for sample in decoder.decode(packet)] + list(decoder.flush())
    assert len(sweeps) == 8
    assert not decoder.rejected
    truth = load_truth(takes.truth("drive"))
    first = 12_000_000 + 100_000_000 * np.arange(8)
    wanted = truth.clocks["lidar"].device_ns(first, played.start_host_ns)
    assert [sweep.t_ns for sweep in sweeps] == wanted.tolist()
    assert min(map(len, sweeps)) > 30_000


def test_a_port_in_use_is_one_clear_error(short_drive: VirtualTakes, tmp_path: Path) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    base = free_base_port()
    takes.rig.write_text(rig_toml(base))
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", ports(base)["http"]))
        squatter.listen()
        with pytest.raises(DeviceError, match=f"port {ports(base)['http']} .* in use"):
            play(takes.cache, "drive", wait_s=0.2)


def test_playing_to_nobody_ends_with_what_to_do(short_drive: VirtualTakes, tmp_path: Path) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    takes.rig.write_text(rig_toml(free_base_port()))
    with pytest.raises(DeviceError, match="nobody reads camera_left, camera_right; start `fieldrig record`"):
        play(takes.cache, "drive", wait_s=0.2)


def test_a_take_that_was_not_rendered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="virtual render"):
        play(tmp_path, "drive")


def test_another_rigs_file_is_refused_by_name(short_drive: VirtualTakes, tmp_path: Path) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    takes.rig.write_text('name = "van"\n[sensors.camera]\ndriver = "mjpeg"\nurl = "http://127.0.0.1:1/"\n')
    with pytest.raises(DeviceError, match=r"rig.toml is not the virtual rig's .*'lidar'"):
        play(takes.cache, "drive", wait_s=0.2)


def test_a_tied_player_ends_with_the_program_that_started_it(short_drive: VirtualTakes, tmp_path: Path) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    takes.rig.write_text(rig_toml(free_base_port()))
    words = [sys.executable, "-m", "devices.virtual.play", takes.cache, "drive", "--wait", "60", "--tied"]
    player = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert player.stdout.readline().startswith("ready")
        player.stdin.close()
        assert player.wait(timeout=60) != 0
    finally:
        player.kill()
        player.stdout.close()


def test_a_player_that_is_interrupted_says_nothing_more(short_drive: VirtualTakes, tmp_path: Path) -> None:
    takes = copy_of(short_drive, tmp_path / "cache")
    takes.rig.write_text(rig_toml(free_base_port()))
    words = [sys.executable, "-m", "devices.virtual.play", takes.cache, "drive", "--wait", "60"]
    player = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert player.stdout.readline().startswith("ready")
        player.send_signal(signal.SIGINT)
        assert player.communicate(timeout=60) == ("", "")
    finally:
        player.kill()
    assert player.returncode == 130
