"""How fast lidar packets become sweeps: seconds of a sensor's time decoded in a second of one core.

    .venv/bin/python -m benchmarks.decoding [PART OF A NAME]

CPU time (process_time), packets fed one at a time as they would arrive. ouster-sdk (in .venvs/ouster-sdk) and velodyne-decoder decode the same
bytes; "ratio" is our CPU time over theirs. ouster-sdk makes frames and the points of all that was measured, without a time, beam and
return of each; velodyne-decoder also decodes for our own driver, which adds the checks of each packet and the sweep. Made packets have no
pixel empty: the worst case.
"""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.table import Row, show
from devices.device import Stream, driver
from devices.hesai.angles import nominal_angles
from devices.logs.pcap import PcapReader
from devices.ouster.metadata import read_metadata
from devices.ouster.packet import LidarPackets
from devices.samples import Packet, Stamps, Sweep
from tests.devices.builders import ouster_packet, with_rows
from tests.devices.hesai_packets import SHAPES, angles_csv, hesai_packet
from tests.devices.livox_packets import first_packet, second_packet

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FIELDRIG_TEST_DATA", ROOT.parent / "shared" / "data"))
OUSTER_PYTHON = ROOT / ".venvs" / "ouster-sdk" / "bin" / "python"
OUSTER_PEER = Path(__file__).with_name("ouster_sdk_speed.py")
RUNS, TARGET = 5, 5.0
OUSTER, VELODYNE = "ouster-sdk", "velodyne-decoder"
START_NS = 1_700_000_000_000_000_000
RANDOM = np.random.default_rng(1)


@dataclass(frozen=True)
class Case:
    """seconds: of the sensor's time that the packets hold. peer: CPU seconds of another decoder for them; None: there is none."""

    name: str
    driver: str
    stream: Stream
    datas: Sequence[bytes]
    seconds: float
    peer: Callable[[Case], float | None] | None = None
    peer_name: str = ""


def main(wanted: str = "") -> None:
    show(
        "Decoding on one core, median of 5",
        [row(case) for case in cases() if wanted in case.name],
    )


def row(case: Case) -> Row:
    points, own_s = decode(case)
    speed = case.seconds / own_s
    figure = f"{speed:.1f}x real time ({own_s / case.seconds:.3f} CPU s a second)"
    peer_s = case.peer(case) if case.peer else None
    if peer_s is not None:
        figure += f"; {case.peer_name} {peer_s / case.seconds:.3f}, ratio {own_s / peer_s:.2f}"
    return Row(
        f"{case.name}, {points / case.seconds / 1e6:.2f} Mpoints/s", figure, f"at least {TARGET:g}x", speed >= TARGET
    )


def decode(case: Case) -> tuple[int, float]:
    """Points, and the median CPU seconds of decoding all packets."""
    packets = [Packet(case.stream.name, Stamps(START_NS), data) for data in case.datas]
    points, times = 0, []
    for _ in range(RUNS):
        decoder = driver(case.driver).decoder(case.stream)
        started = time.process_time()
        sweeps = [sweep for packet in packets for sweep in decoder.decode(packet)] + list(decoder.flush())
        times.append(time.process_time() - started)
        points = sum(len(sweep) for sweep in sweeps if isinstance(sweep, Sweep))
        if decoder.rejected:
            raise SystemExit(f"{case.name}: the benchmark's own packets are passed over: {dict(decoder.rejected)}")
    return points, statistics.median(times)


def cases() -> Iterable[Case]:
    yield from ouster_captures()
    yield ouster_made("Ouster OS1-128 2048x10", "RNG19_RFL8_SIG16_NIR16", 2048, 10)
    yield ouster_made("Ouster OS0-128 1024x20", "RNG19_RFL8_SIG16_NIR16", 1024, 20)
    yield ouster_made("Ouster OS1-128 2048x10 dual", "RNG19_RFL8_SIG16_NIR16_DUAL", 2048, 10)
    for model, returns, firings_hz in (("XT32", 1, 20_000), ("Pandar64", 2, 18_000), ("QT128", 2, 9_000)):
        yield hesai(model, returns, firings_hz)
    yield livox("Livox Mid-360", "Mid-360", 1, 200_000)
    yield livox("Livox Avia, one return", "Avia", 1, 240_000)
    yield livox("Livox Avia, three returns", "Avia", 3, 240_000)
    yield from velodyne_captures()


# --- Ouster ----------------------------------------------------------------------------------------------------------------


def ouster_captures() -> Iterable[Case]:
    if not DATA.is_dir():
        return
    for pcap, metadata in (
        ("OS-0-128-U1_v2.3.0_1024x10.pcap", "OS-0-128-U1_v2.3.0_1024x10.json"),
        ("OS-1-128_v2.3.0_1024x10_lb_n3.pcap", "OS-1-128_v2.3.0_1024x10.json"),
    ):
        text = (DATA / "ouster_pcap" / metadata).read_text()
        datas = [each.payload for each in PcapReader(DATA / "ouster_pcap" / pcap) if each.destination_port == 7502]
        seconds = len(datas) / (1024 / 16 * 10)
        yield Case(
            f"{pcap[:8]} 1024x10 (real)",
            "ouster",
            Stream("l/points", "ouster.lidar", text),
            datas,
            seconds,
            by_ouster,
            OUSTER,
        )


def ouster_made(name: str, profile: str, columns: int, turns_hz: int) -> Case:
    """Half a second of every pixel measuring something."""
    said = json.loads(with_rows(128, profile, columns))
    said["data_format"] |= {"columns_per_packet": 16}
    text = json.dumps(said | {"lidar_mode": f"{columns}x{turns_hz}"})
    meta = read_metadata(text)
    words = LidarPackets(meta).profile.words
    pixels = RANDOM.integers(1, 1 << 19, (16, 128, words), dtype=np.uint32)
    datas = [
        ouster_packet(meta, turn, first, pixels, turn * 100_000_000 + first * 1000 + 1)
        for turn in range(turns_hz // 2)
        for first in range(0, columns, 16)
    ]
    return Case(name, "ouster", Stream("l/points", "ouster.lidar", text), datas, 0.5, by_ouster, OUSTER)


def by_ouster(case: Case) -> float | None:
    if not OUSTER_PYTHON.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/packets.npy", np.stack([np.frombuffer(data, dtype=np.uint8) for data in case.datas]))
        Path(folder, "metadata.json").write_text(case.stream.description)
        command = [str(OUSTER_PYTHON), str(OUSTER_PEER), f"{folder}/metadata.json", f"{folder}/packets.npy", str(RUNS)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(ran.stdout)


# --- Hesai, Livox, Velodyne -------------------------------------------------------------------------------------------------


def hesai(model: str, returns: int, firings_hz: int) -> Case:
    """Half a second; the second return of a firing is behind the first."""
    shape = SHAPES[model]
    near = RANDOM.integers(1000, 20_000, shape.channels).tolist()
    per_packet = shape.blocks // returns
    count = firings_hz // 2 // per_packet
    step = round(36000 * 10 / firings_hz)  # 10 turns a second
    datas = []
    for number in range(count):
        blocks = [
            (
                (number * per_packet + block // returns) * step % 36000,
                [(each + 500 * (block % returns), 50) for each in near],
            )
            for block in range(shape.blocks)
        ]
        t_ns = START_NS + number * per_packet * 1_000_000 // firings_hz * 1000
        datas.append(hesai_packet(model, blocks, t_ns, returns=0x39 if returns == 2 else 0x37, sequence=number))
    described = json.dumps({"model": model, "cut_deg": 0, "angles": nominal_angles(model) or angles_csv(model)})
    label = f"Hesai {model}, {'two returns' if returns == 2 else 'one return'}"
    return Case(label, "hesai", Stream("l/points", "hesai", described), datas, 0.5)


def livox(name: str, model: str, returns: int, firings_hz: int) -> Case:
    """One second."""
    points = [tuple(each) for each in RANDOM.uniform(-40, 40, (96, 3)).tolist()]
    datas = []
    if model == "Mid-360":
        for number in range(firings_hz // 96):
            t_ns = START_NS + number * 96 * 1_000_000_000 // firings_hz
            datas.append(second_packet(points, t_ns, counter=number, interval_100ns=4800))
    else:
        data_type, count = (7, 30) if returns == 3 else (2, 96)
        firings = [[points[number]] * returns for number in range(count)]
        body = first_packet(firings, bytes(8), data_type=data_type)
        for number in range(firings_hz // count):
            stamp = struct.pack("<Q", START_NS + number * count * 1_000_000_000 // firings_hz)
            datas.append(body[:10] + stamp + body[18:])
    described = json.dumps({"model": model, "window_ms": 100})
    return Case(name, "livox", Stream("l/points", "livox.points", described), datas, 1.0)


def velodyne_captures() -> Iterable[Case]:
    if not DATA.is_dir():
        return
    for pcap, model, packets_hz in (
        ("sample_velodyne_hdl32.pcap", "HDL-32E", 1808),
        ("sample_velodyne_vlp16_gps.pcap", "VLP-16", 754),
    ):
        datas = [each.payload for each in PcapReader(DATA / "velodyne_pcap" / pcap) if each.destination_port == 2368]
        stream = Stream("l/points", "velodyne", model)
        yield Case(
            f"Velodyne {model} (real)",
            "velodyne",
            stream,
            datas,
            len(datas) / packets_hz,
            by_velodyne_decoder,
            VELODYNE,
        )


def by_velodyne_decoder(case: Case) -> float:
    import velodyne_decoder

    names = {"HDL-32E": "HDL32E", "VLP-16": "VLP16"}
    times = []
    for _ in range(RUNS):
        config = velodyne_decoder.Config(model=getattr(velodyne_decoder.Model, names[case.stream.description]))
        decoder = velodyne_decoder.StreamDecoder(config)
        started = time.process_time()
        for number, data in enumerate(case.datas):
            decoder.decode(number * 1e-3, data, True)
        decoder.finish(True)
        times.append(time.process_time() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main(*sys.argv[1:])
