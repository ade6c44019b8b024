"""Run in .venvs/ouster-sdk: prints the median CPU seconds that Ouster's own decoder takes for packets -> frames -> points.

Usage: python ouster_sdk_speed.py METADATA.json PACKETS.npy RUNS
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from ouster.sdk import core


def main(metadata: str, packets: str, runs: str) -> None:
    info = core.SensorInfo(Path(metadata).read_text(encoding="utf-8"))
    layout, lut = core.PacketFormat(info), core.XYZLut(info)
    datas = []
    for number, data in enumerate(np.load(packets)):
        packet = core.LidarPacket(layout)
        packet.buf[:] = data
        packet.host_timestamp = number + 1
        datas.append(packet)
    times = []
    for _ in range(int(runs)):
        batcher, frame = core.FrameBatcher(info), core.LidarFrame(info)
        started = time.process_time()
        for packet in datas:
            if batcher(packet, frame):
                points(frame, lut)
                frame = core.LidarFrame(info)
        times.append(time.process_time() - started)
    print(statistics.median(times))


def points(frame: "core.LidarFrame", lut: "core.XYZLut") -> None:
    """The points of every pixel that measured something, as a sweep holds them."""
    for name in ("RANGE", "RANGE2"):
        if name in frame.fields:
            ranges = frame.field(name)
            lut(ranges)[ranges > 0].astype(np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
