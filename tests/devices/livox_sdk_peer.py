"""Run in an environment of its own: Livox's SDK2 as the host of a Mid-360. Prints a line of JSON: the packets that it was given.

Usage: python livox_sdk_peer.py CONFIG.json POINTS SECONDS, where POINTS is how many point packets suffice. Structures as in the SDK's livox_lidar_def.h.
"""

import ctypes
import json
import sys
import sysconfig
import time
from pathlib import Path

SAMPLING, CARTESIAN_MM = 1, 1


class Packet(ctypes.Structure):
    _pack_ = 1
    _fields_ = [
        ("version", ctypes.c_uint8), ("length", ctypes.c_uint16), ("time_interval", ctypes.c_uint16),
        ("dot_num", ctypes.c_uint16), ("udp_cnt", ctypes.c_uint16), ("frame_cnt", ctypes.c_uint8),
        ("data_type", ctypes.c_uint8), ("time_type", ctypes.c_uint8), ("rsvd", ctypes.c_uint8 * 12),
        ("crc32", ctypes.c_uint32), ("timestamp", ctypes.c_uint64),
    ]  # fmt: skip


class Point(ctypes.Structure):
    _pack_ = 1
    _fields_ = [
        ("x", ctypes.c_int32), ("y", ctypes.c_int32), ("z", ctypes.c_int32), ("reflectivity", ctypes.c_uint8), ("tag", ctypes.c_uint8),
    ]  # fmt: skip


OnPacket = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint8, ctypes.POINTER(Packet), ctypes.c_void_p)
OnLidar = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)


def main(config: str, enough: str, seconds: str) -> None:
    sdk = ctypes.CDLL(str(Path(sysconfig.get_path("platlib")) / "lib" / "liblivox_lidar_sdk_shared.so"))
    points, readings = [], []

    def on_points(_handle, device_type, packet, _data) -> None:
        head = packet.contents
        first = Point.from_address(ctypes.addressof(head) + ctypes.sizeof(Packet))
        values = [device_type, head.dot_num, head.udp_cnt, head.data_type, head.time_type, head.timestamp]
        points.append([*values, head.time_interval, first.x, first.y, first.z, first.reflectivity])

    def on_imu(_handle, _device_type, packet, _data) -> None:
        values = (ctypes.c_float * 6).from_address(ctypes.addressof(packet.contents) + ctypes.sizeof(Packet))
        readings.append([packet.contents.timestamp, *values])

    def on_lidar(handle, _info, _data) -> None:
        sdk.SetLivoxLidarPclDataType(handle, CARTESIAN_MM, None, None)
        sdk.EnableLivoxLidarImuData(handle, None, None)
        sdk.SetLivoxLidarWorkMode(handle, SAMPLING, None, None)

    kept = OnPacket(on_points), OnPacket(on_imu), OnLidar(on_lidar)  # the SDK holds no reference
    sdk.DisableLivoxSdkConsoleLogger()
    if not sdk.LivoxLidarSdkInit(config.encode(), b"", None):
        sys.exit("the SDK does not start: are its ports free?")
    sdk.SetLivoxLidarPointCloudCallBack(kept[0], None)
    sdk.SetLivoxLidarImuDataCallback(kept[1], None)
    sdk.SetLivoxLidarInfoChangeCallback(kept[2], None)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until and min(len(points), len(readings)) < int(enough):
        time.sleep(0.02)
    sdk.LivoxLidarSdkUninit()
    sys.stdout.write(json.dumps({"points": points, "readings": readings}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
