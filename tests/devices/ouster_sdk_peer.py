"""Run by Ouster's own SDK in its own environment: packets -> the fields, times and points that it makes of them.

Usage: python ouster_sdk_peer.py METADATA.json PACKETS.npy OUT.npz, where PACKETS is (N, packet size) uint8.
"""

import sys
from pathlib import Path

import numpy as np
from ouster.sdk import core


def main(metadata: str, packets: str, out: str) -> None:
    info = core.SensorInfo(Path(metadata).read_text(encoding="utf-8"))
    layout = core.PacketFormat(info)
    batcher, frame = core.FrameBatcher(info), core.LidarFrame(info)
    lut = core.XYZLut(info)
    found: dict[str, np.ndarray] = {}
    for number, data in enumerate(np.load(packets)):
        packet = core.LidarPacket(layout)
        packet.buf[:] = data
        packet.host_timestamp = number + 1
        found[f"crc_{number}"] = np.array([packet.calculate_crc()], dtype=np.uint64)
        batcher(packet, frame)
    for name in frame.fields:
        found[name] = frame.field(name)
    found["TIMESTAMP"] = frame.timestamp
    for name in ("RANGE", "RANGE2"):
        if name in frame.fields:
            found[f"xyz_{name}"] = lut(frame.field(name))
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
