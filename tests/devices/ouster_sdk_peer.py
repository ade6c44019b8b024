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
        add_fields(found, layout, data, frame.w)
    for name in frame.fields:
        found[name] = frame.field(name)
    found["TIMESTAMP"] = frame.timestamp
    for name in ("RANGE", "RANGE2"):
        if name in found:
            found[f"xyz_{name}"] = lut(found[name].astype(np.uint32))
    np.savez(out, **found)


def add_fields(found: dict[str, np.ndarray], layout: core.PacketFormat, data: np.ndarray, width: int) -> None:
    """What stands in the packet's measured columns: also of fields that a frame does not have unless it is told."""
    buffer = data.tobytes()
    valid = layout.packet_header(core.ColHeader.STATUS, buffer) & 1 == 1
    ids = layout.packet_header(core.ColHeader.MEASUREMENT_ID, buffer)[valid]
    for name in layout.fields:
        if name == "RGB":  # R, G and B once more
            continue
        values = layout.packet_field(name, buffer)
        image = found.setdefault(name, np.zeros((values.shape[0], width), dtype=values.dtype))
        image[:, ids] = values[:, valid]


if __name__ == "__main__":
    main(*sys.argv[1:])
