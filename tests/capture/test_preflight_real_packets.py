"""Preflight and rig new on packets that a real lidar sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from capture.preflight.finding import Colour
from capture.preflight.rates import rates
from capture.preflight.sensors import decoding, losses, speaking
from capture.preflight.trial import run_trial
from devices.cameras.thumbnail import thumbnail
from devices.device import Found
from devices.logs.replay import replay
from devices.rig import rig_from_dict
from devices.stated_rate import stated_rate_hz
from tests.capture.rigs import free_ports
from tests.capture.trials import only

CAPTURE, METADATA = "OS-1-128_v2.3.0_1024x10_lb_n3.pcap", "OS-1-128_v2.3.0_1024x10.json"


@contextmanager
def played_over_and_over(pcap: Path, ports: Mapping[int, int]) -> Iterator[None]:
    stop = threading.Event()

    def play() -> None:
        while not stop.is_set():
            replay(pcap, ports=dict(ports))

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_real_ouster_speaks_decodes_and_states_its_rate(test_data: Path) -> None:
    folder = test_data / "ouster_pcap"
    lidar, imu = free_ports(2)
    keys = {"metadata": str(folder / METADATA), "lidar_port": lidar, "imu_port": imu, "host": "127.0.0.1"}
    rig = rig_from_dict({"name": "bench", "sensors": {"lidar": {"driver": "ouster", **keys}}})
    player = threading.Thread(target=replay, args=(folder / CAPTURE,), kwargs={"ports": {7502: lidar, 7503: imu}})

    def begin(what: str, _: float) -> None:
        if what.startswith("listening") and player.ident is None:
            player.start()

    trial = run_trial(rig, 1.0, begin)  # the capture is 0.3 s long
    player.join()
    points = trial.streams[0]
    assert (points.packets, points.size_bytes) == (192, 192 * 8448)
    assert (points.lost, points.rejected, len(points.sample_arrivals_ns)) == (0, {}, 3)
    assert stated_rate_hz(points.stream) == 10
    assert only(speaking(rig, trial)).colour is Colour.GREEN
    assert [each.colour for each in decoding(trial)] == [Colour.GREEN, Colour.GREEN]
    assert only(losses(trial)).colour is Colour.GREEN


def test_another_models_packets_are_red_though_they_come_at_the_right_rate(test_data: Path) -> None:
    pcap = test_data / "velodyne_pcap" / "sample_velodyne_vlp16_gps.pcap"
    for model, colour in (("VLP-16", Colour.GREEN), ("HDL-32E", Colour.RED)):
        port, elsewhere = free_ports(2)
        keys = {
            "driver": "velodyne",
            "model": model,
            "port": port,
            "position_port": 0,
            "host": "127.0.0.1",
            "rate_hz": 10,
        }
        rig = rig_from_dict({"name": "bench", "sensors": {"lidar": keys}})
        with played_over_and_over(pcap, {2368: port, 8308: elsewhere}):
            trial = run_trial(rig, 1.5)
        assert only(speaking(rig, trial)).colour is Colour.GREEN
        assert only(decoding(trial)).colour is colour
        measured = only(rates(rig, trial)).measured
        assert "10 expected" in measured if model == "VLP-16" else measured.startswith("0 samples")


def test_a_real_lidar_is_shown_from_above(test_data: Path) -> None:
    folder = test_data / "ouster_pcap"
    lidar, imu = free_ports(2)
    config = {"metadata": str(folder / METADATA), "lidar_port": lidar, "imu_port": imu, "host": "127.0.0.1"}
    with played_over_and_over(folder / CAPTURE, {7502: lidar, 7503: imu}):
        shown = thumbnail(Found("ouster", "", config), timeout_s=10.0)
    assert shown.pixels is not None, shown.why
    coloured = np.ptp(shown.pixels.astype(int), axis=2) > 30
    assert 0.05 < coloured.mean() < 0.95
