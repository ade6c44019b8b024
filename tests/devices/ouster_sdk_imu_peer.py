"""Run by Ouster's own SDK in its own environment: one IMU packet -> its readings, printed as JSON.

Usage: python ouster_sdk_imu_peer.py METADATA.json PACKET
"""

import json
import sys
from pathlib import Path

import numpy as np
from ouster.sdk import core


def main(metadata: str, data: str) -> None:
    layout = core.PacketFormat(core.SensorInfo(Path(metadata).read_text(encoding="utf-8")))
    packet = core.ImuPacket(layout)
    packet.buf[:] = np.frombuffer(Path(data).read_bytes(), dtype=np.uint8)
    legacy = layout.imu_packet_size == 48
    said = {
        "t_ns": [int(packet.gyro_ts())] if legacy else packet.timestamp().tolist(),
        "status": [1] if legacy else packet.status().tolist(),
        "acceleration": np.reshape(packet.accel(), (-1, 3)).tolist(),
        "rate": np.reshape(packet.gyro(), (-1, 3)).tolist(),
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
